//! What `[[virtual_server]]` says about its pool: quorum, panic, and how servers come and go.
//! Must not: read the servers themselves.

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;

use super::fault::quoted;
use super::model::RealServer;
use super::reader::{Reader, Section, Value};
use super::time;
use crate::model::Weight;
use crate::pool::{Panic, PoolRules, Quorum, RAMP, Tier};

pub(super) const KILL_AFTER: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(24);
pub(super) const DRAIN_TIMEOUT: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(24);
pub(super) const SLOW_START: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(1);
pub(super) const WEIGHTS: RangeInclusive<u32> = 1..=u32::MAX;

/// The keys as they are given; one that could not be read is a fault already.
#[derive(Debug, Default)]
pub(super) struct PoolKeys {
    quorum: Option<Spanned<Quorum>>,
    hysteresis: Option<Spanned<Quorum>>,
    panic: Option<Spanned<Panic>>,
    kill_after: Option<Spanned<Duration>>,
    drain_timeout: Option<Spanned<Duration>>,
    slow_start: Option<Spanned<Duration>>,
    broken: bool,
}

impl PoolKeys {
    pub fn read(reader: &mut Reader<'_>, section: &Section<'_, '_>) -> PoolKeys {
        let mut broken = false;
        let quorum = section.value("quorum").map(|value| part(reader, value));
        let hysteresis = section
            .value("quorum_hysteresis")
            .map(|value| part(reader, value));
        let panic = section
            .value("panic")
            .map(|value| reader.word(value, &Panic::WORDS, &[]));
        broken |= [&quorum, &hysteresis]
            .into_iter()
            .any(|key| matches!(key, Some(None)));
        broken |= matches!(panic, Some(None));
        let mut span = |key, range| {
            let value = section.value(key)?;
            let read = time::read(reader, value, range);
            broken |= read.is_none();
            read
        };
        PoolKeys {
            kill_after: span("kill_after", &KILL_AFTER),
            drain_timeout: span("drain_timeout", &DRAIN_TIMEOUT),
            slow_start: span("slow_start", &SLOW_START),
            quorum: quorum.flatten(),
            hysteresis: hysteresis.flatten(),
            panic: panic.flatten(),
            broken,
        }
    }

    /// `None`: there is a fault among them.
    pub fn rules(&self) -> Option<PoolRules> {
        let default = PoolRules::DEFAULT;
        (!self.broken).then(|| PoolRules {
            kill_after: given(&self.kill_after, default.kill_after),
            drain_timeout: given(&self.drain_timeout, default.drain_timeout),
            slow_start: given(&self.slow_start, default.slow_start),
            quorum: given(&self.quorum, default.quorum),
            hysteresis: given(&self.hysteresis, default.hysteresis),
            panic: given(&self.panic, default.panic),
        })
    }

    /// Keys that do not fit to the servers or to each other.
    pub fn judge(&self, reader: &mut Reader<'_>, servers: &[RealServer]) {
        let Some(rules) = self.rules() else {
            return;
        };
        self.judge_slow_start(reader, servers);
        let primary = || servers.iter().filter(|real| real.tier == Tier::Primary);
        let all: u64 = primary().map(|real| u64::from(real.weight.value())).sum();
        let (quorum, hysteresis) = (rules.quorum.of(all), rules.hysteresis.of(all));
        if let Some(given) = self.quorum.as_ref().filter(|_| all > 0 && quorum > all) {
            let message = format!(
                "a quorum of {quorum} is never reached: the weights of the primary servers add up to {all}"
            );
            reader.fault(
                given.span(),
                message,
                format!("allowed: 1 to {all}, or a percentage such as \"50%\""),
            );
            return;
        }
        if let Some(given) = self
            .hysteresis
            .as_ref()
            .filter(|_| all > 0 && (hysteresis >= quorum || quorum + hysteresis > all))
        {
            let most = (quorum.saturating_sub(1)).min(all - quorum);
            let message = format!(
                "a quorum of {quorum} that is won at {hysteresis} more and lost at {hysteresis} less: the weights of the primary servers add up to {all}"
            );
            let help = format!("allowed here: at most {most}; leave it out for none");
            reader.fault(given.span(), message, help);
        }
    }

    /// So that a tenth of a weight can be told to the kernel.
    fn judge_slow_start(&self, reader: &mut Reader<'_>, servers: &[RealServer]) {
        let most = Weight::MAX / RAMP;
        let heavy = servers.iter().find(|real| real.weight.value() > most);
        let slow = self
            .slow_start
            .as_ref()
            .filter(|given| !given.get_ref().is_zero());
        if let (Some(heavy), Some(slow)) = (heavy, slow) {
            let message = format!(
                "`slow_start` with a weight of {} ({})",
                heavy.weight, heavy.address
            );
            let help = format!("a server begins with a tenth of its weight: give weights of at most {most}");
            reader.fault(slow.span(), message, help);
        }
    }
}

fn given<T: Copy>(key: &Option<Spanned<T>>, default: T) -> T {
    key.as_ref().map_or(default, |key| *key.get_ref())
}

/// A weight, or `"50%"` of the weight of all primary servers.
fn part(reader: &mut Reader<'_>, value: Value<'_, '_>) -> Option<Spanned<Quorum>> {
    let Some(text) = value.text() else {
        let weight = reader.integer(value, WEIGHTS)?;
        return Some(Spanned::new(weight.span(), Quorum::Weight(weight.into_inner())));
    };
    let number = text
        .strip_suffix('%')
        .and_then(|number| number.trim().parse::<u8>().ok());
    if let Some(percent) = number.filter(|percent| (1..=100).contains(percent)) {
        return Some(Spanned::new(value.span(), Quorum::Percent(percent)));
    }
    let message = format!("{} is no part of a weight", quoted(text));
    let allowed =
        "a weight without quotes, such as 2, or \"1%\" to \"100%\" of the weight of all primary servers";
    let help = match text.trim().parse::<u32>() {
        Ok(number @ 1..=100) => {
            format!(
                "write {number} for a weight, or \"{number}%\" for so much of the weight of all primary servers"
            )
        }
        Ok(number) => format!("write {number} without quotes; allowed: {allowed}"),
        Err(_) => format!("allowed: {allowed}"),
    };
    reader.fault(value.span(), message, help);
    None
}
