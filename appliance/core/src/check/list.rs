//! The checks of one server: nearly always one, else several that all have to pass. Servers of one service share theirs, and a server keeps one
//! pointer to them. Must not: know what a check asks.

use std::sync::Arc;

use super::{CheckKind, CheckParams};
use crate::model::RealKey;

/// Never empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CheckList(Arc<Listed>);

#[derive(Debug, PartialEq, Eq, Hash)]
enum Listed {
    One(Arc<CheckParams>),
    /// At least two.
    Several(Box<[Arc<CheckParams>]>),
}

impl CheckList {
    /// More are hardly meant; each is a probe of its own.
    pub const MOST: usize = 8;

    /// In the order of the file.
    pub fn new(first: Arc<CheckParams>, others: impl IntoIterator<Item = Arc<CheckParams>>) -> CheckList {
        let mut all = vec![first];
        all.extend(others);
        CheckList(Arc::new(match all.len() {
            1 => Listed::One(all.swap_remove(0)),
            _ => Listed::Several(all.into()),
        }))
    }

    pub fn one(params: CheckParams) -> CheckList {
        CheckList::new(Arc::new(params), [])
    }

    pub fn all(&self) -> &[Arc<CheckParams>] {
        match &*self.0 {
            Listed::One(only) => std::slice::from_ref(only),
            Listed::Several(all) => all,
        }
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Arc<CheckParams>> {
        self.all().iter()
    }

    /// Whether the server is never checked.
    pub fn is_none(&self) -> bool {
        self.iter().all(|check| check.kind == CheckKind::None)
    }

    /// Whether the server's weight follows from what one of them is told.
    pub fn counts_endpoints(&self) -> bool {
        self.iter().any(|check| check.kind.counts_endpoints())
    }

    /// What each is called beside the others: `tcp`, `http :8080`, `icmp 172.16.1.11`; those that would be called the same also by their places,
    /// `http #2`.
    pub fn labels(&self, server: RealKey) -> Vec<String> {
        let names: Vec<String> = self.iter().map(|check| check.label(server)).collect();
        let alone = |name: &String| names.iter().filter(|other| *other == name).count() == 1;
        let labels = names.iter().enumerate().map(|(at, name)| match alone(name) {
            true => name.clone(),
            false => format!("{name} #{}", at + 1),
        });
        labels.collect()
    }

    /// `tcp`; `tcp, http`: the words of the file.
    pub fn words(&self) -> String {
        let words: Vec<&str> = self.iter().map(|check| check.kind.word()).collect();
        words.join(", ")
    }
}

impl<'l> IntoIterator for &'l CheckList {
    type Item = &'l Arc<CheckParams>;
    type IntoIter = std::slice::Iter<'l, Arc<CheckParams>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_keeps_one_pointer_however_many_checks_it_has() {
        assert_eq!(size_of::<CheckList>(), size_of::<usize>());
        let tcp = Arc::new(CheckParams::default());
        let icmp = Arc::new(CheckParams {
            kind: CheckKind::Icmp,
            ..CheckParams::default()
        });
        let both = CheckList::new(tcp.clone(), [icmp.clone()]);
        assert_eq!(
            (both.all(), both.words().as_str()),
            (&[tcp.clone(), icmp][..], "tcp, icmp")
        );
        assert_eq!(CheckList::new(tcp, []), CheckList::one(CheckParams::default()));
    }

    #[test]
    fn checks_are_called_by_what_they_ask_and_where() {
        let tcp = |address: Option<&str>, port| {
            Arc::new(CheckParams {
                address: address.map(|address| address.parse().unwrap()),
                port,
                ..CheckParams::default()
            })
        };
        let icmp = |address: &str| {
            Arc::new(CheckParams {
                kind: CheckKind::Icmp,
                address: Some(address.parse().unwrap()),
                ..CheckParams::default()
            })
        };
        let server = RealKey {
            address: "10.0.0.1".parse().unwrap(),
            port: 80,
        };
        let all = [
            tcp(None, Some(8080)),
            tcp(Some("10.9.0.1"), None),
            icmp("10.9.0.1"),
            icmp("10.0.0.1"),
            tcp(Some("10.0.0.1"), Some(80)),
        ];
        let list = CheckList::new(tcp(None, None), all);
        assert_eq!(
            list.labels(server),
            [
                "tcp #1",
                "tcp :8080",
                "tcp 10.9.0.1:80",
                "icmp 10.9.0.1",
                "icmp",
                "tcp #6"
            ]
        );
    }
}
