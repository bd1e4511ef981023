//! What becomes of a server that is down for long, or that goes down again and again.
//! Must not: know what is checked.

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;

use super::{INTERVAL, value_or};
use crate::check::CheckParams;
use crate::config::reader::{Reader, Section};
use crate::config::time;

pub(in crate::config) const HOLD: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(1);
pub(in crate::config) const HOLD_MAX: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(24);

#[derive(Debug, Clone, Default)]
pub(super) struct DownKeys {
    interval: Option<Spanned<Duration>>,
    hold: Option<Spanned<Duration>>,
    hold_max: Option<Spanned<Duration>>,
    /// One that could not be read: they cannot be compared.
    incomparable: bool,
}

impl DownKeys {
    pub fn read(reader: &mut Reader<'_>, section: &Section<'_, '_>) -> DownKeys {
        let mut incomparable = false;
        let mut key = |name: &'static str, range: &RangeInclusive<Duration>| {
            let value = section.value(name)?;
            let read = time::read(reader, value, range);
            incomparable |= read.is_none();
            read
        };
        DownKeys {
            interval: key("down_interval", &INTERVAL),
            hold: key("hold_down", &HOLD),
            hold_max: key("hold_down_max", &HOLD_MAX),
            incomparable,
        }
    }

    pub fn over(self, base: &DownKeys) -> DownKeys {
        DownKeys {
            interval: self.interval.or_else(|| base.interval.clone()),
            hold: self.hold.or_else(|| base.hold.clone()),
            hold_max: self.hold_max.or_else(|| base.hold_max.clone()),
            incomparable: self.incomparable || base.incomparable,
        }
    }

    pub fn says_anything(&self) -> bool {
        self.interval.is_some() || self.hold.is_some() || self.hold_max.is_some()
    }

    pub fn lay_over(&self, params: &mut CheckParams) {
        params.down_interval = self.interval.as_ref().map(|given| *given.get_ref());
        params.hold_down = value_or(&self.hold, params.hold_down);
        params.hold_down_max = value_or(&self.hold_max, params.hold_down_max);
    }

    /// `params`: with these keys.
    pub fn judge(&self, reader: &mut Reader<'_>, params: &CheckParams) {
        if self.incomparable {
            return;
        }
        let shown = time::show;
        if let Some(given) = self
            .interval
            .as_ref()
            .filter(|given| *given.get_ref() < params.interval)
        {
            let message = format!(
                "a down_interval of {} is shorter than the interval of {}",
                shown(*given.get_ref()),
                shown(params.interval)
            );
            let help = "it makes the checks of a server rarer that has been down for long; leave it out for the same pace";
            reader.fault(given.span(), message, help);
        }
        let spans = [&self.hold, &self.hold_max]
            .into_iter()
            .flatten()
            .map(Spanned::span);
        if let Some(span) = spans
            .max_by_key(|span| span.start)
            .filter(|_| params.hold_down > params.hold_down_max)
        {
            let message = format!(
                "a hold_down of {} is longer than the hold_down_max of {}",
                shown(params.hold_down),
                shown(params.hold_down_max)
            );
            let help = "the first is doubled up to the second; hold_down = \"0s\" holds nobody";
            reader.fault(span, message, help);
        }
    }
}
