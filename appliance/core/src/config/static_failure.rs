//! `[checks]`: what holds for all checks together.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::reader::{Reader, Section};
use super::{shape, time};

pub(super) const DEFAULT: Duration = Duration::from_secs(30);
pub(super) const ALLOWED: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(1);

/// `fail_static`.
pub(super) fn read(reader: &mut Reader<'_>, root: &Section<'_, '_>) -> Duration {
    let written = "write [checks] on a line of its own, and its keys on the lines below";
    let table = root
        .value("checks")
        .and_then(|value| reader.table(value, &shape::CHECKS, written));
    let value = table.as_ref().and_then(|table| table.value("fail_static"));
    let read = value.and_then(|value| time::read(reader, value, &ALLOWED));
    read.map_or(DEFAULT, toml::Spanned::into_inner)
}
