//! `check` of a service or of a server: one check, or a list of those that all have to pass. Single keys of a server's check replace those of the
//! service's; a list replaces all of it. Must not: know what is checked.

use std::net::IpAddr;
use std::ops::Range;

use super::{CheckKeys, Kind};
use crate::check::{CheckList, CheckParams};
use crate::config::fault::Wrong;
use crate::config::reader::{Reader, Value};
use crate::config::topology::Topology;

const HELP: &str = "one check, or a list of 1 to 8 that all have to pass: check = [\"tcp\", { type = \"http\", port = 8080 }]";

/// What a key `check` gives; at least one.
#[derive(Debug, Clone)]
pub(in crate::config) struct CheckListKeys {
    all: Vec<CheckKeys>,
    /// Where each stands; none where the key is not given.
    places: Vec<Range<usize>>,
    is_list: bool,
    /// Something of it could not be read: whether it fits to others is not known.
    broken: bool,
}

impl CheckListKeys {
    pub fn read(reader: &mut Reader<'_>, value: Option<Value<'_, '_>>, topology: &Topology) -> CheckListKeys {
        let before = reader.faults.found();
        let is_list = value.is_some_and(|value| value.is_list());
        let mut values = match value {
            Some(value) if is_list => reader.one_or_more(value, HELP),
            value => value.into_iter().collect(),
        };
        if let Some(first_too_many) = values.get(CheckList::MOST) {
            let message = format!("{} checks of one server", values.len());
            let help = format!(
                "at most {}; one of type \"http\" can ask for several pages: `urls`",
                CheckList::MOST
            );
            reader.fault(first_too_many.span(), message, help);
        }
        values.truncate(CheckList::MOST);
        let read = |value: &Value<'_, '_>| CheckKeys::read(reader, Some(*value), topology);
        let mut all: Vec<CheckKeys> = values.iter().map(read).collect();
        if all.is_empty() {
            all.push(CheckKeys::default());
        }
        CheckListKeys {
            all,
            places: values.iter().map(Value::span).collect(),
            is_list,
            broken: reader.faults.found() > before,
        }
    }

    fn is_several(&self) -> bool {
        self.all.len() > 1
    }

    /// A server's over those of its service.
    pub fn over(mut self, reader: &mut Reader<'_>, base: &CheckListKeys) -> CheckListKeys {
        if self.is_list {
            return self;
        }
        if base.is_several() {
            let replaces = self.all.iter().all(|keys| keys.kind() == Kind::None);
            if let Some(place) = self.places.first().filter(|_| !replaces && !self.broken) {
                let count = base.all.len();
                let message = format!("one check of this server over the {count} of its service");
                let help = "which of them is meant cannot be told: write all checks of this server as a list, which replaces that of the service, such \
                            as check = [\"tcp\"]; or check = \"none\"";
                reader.fault(place.clone(), message, help);
            }
            return self;
        }
        self.all = self
            .all
            .into_iter()
            .zip(&base.all)
            .map(|(own, base)| own.over(base))
            .collect();
        self
    }

    /// Whether it says something that others may not fit to.
    pub fn says_anything(&self) -> bool {
        self.is_list || self.all.iter().any(CheckKeys::says_anything)
    }

    /// Whether one looks at a TCP port only because the file does not say what is checked.
    pub fn looks_at_tcp_by_default(&self) -> bool {
        self.all.iter().any(CheckKeys::looks_at_tcp_by_default)
    }

    /// Whether the traffic has to have a port that one can look at.
    pub fn needs_the_port(&self) -> bool {
        self.all.iter().any(CheckKeys::needs_the_port)
    }

    /// Keys that do not fit together, and checks that do not fit beside each other.
    pub fn judge(&self, reader: &mut Reader<'_>) {
        for keys in &self.all {
            keys.judge(reader);
        }
        if !self.is_list || self.broken {
            return;
        }
        let checks: Vec<CheckParams> = self.all.iter().map(CheckKeys::params).collect();
        for (at, place) in self.places.iter().enumerate() {
            let own = &checks[at];
            if self.all[at].kind() == Kind::None {
                reader.faults.add(place.clone(), never_checked());
            } else if let Some(first) = (0..at).find(|first| checks[*first].asks_as(own)) {
                let message = format!("the same check twice: {}", own.kind.word());
                let help = format!(
                    "the first of the two is on {}; remove one, or let it ask something else",
                    reader.line(&self.places[first])
                );
                reader.fault(place.clone(), message, help);
            }
        }
    }

    /// What a check lacks whose type takes nothing for granted; `true` if a fault was found.
    pub fn judge_whole(&self, reader: &mut Reader<'_>, server: Option<IpAddr>) -> bool {
        let mut found = false;
        for keys in &self.all {
            found |= keys.judge_whole(reader, server);
        }
        found
    }

    /// In the order of the file.
    pub fn params(&self) -> impl Iterator<Item = CheckParams> {
        self.all.iter().map(CheckKeys::params)
    }
}

fn never_checked() -> Wrong {
    let help = "remove it; a server that is never checked has check = \"none\" and no list";
    Wrong::new("\"none\" in a list of checks", help)
}
