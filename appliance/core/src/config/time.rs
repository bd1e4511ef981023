//! Times as they are written in lb.toml: a decimal number and one unit, "500ms", "1.5s", "2m", "1h".
//! Must not: know which times make sense where; the caller gives the limits.

use std::fmt::Write;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;
use toml::Spanned;

use super::fault::{Wrong, quoted};
use super::reader::{Reader, Value};

/// A time of the file. No sign, no exponent, exact to the nanosecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Time(pub Duration);

/// Why a text is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum TimeError {
    #[error("no unit")]
    NoUnit,
    #[error("unknown unit")]
    Unit,
    #[error("no number")]
    Number,
    #[error("space between number and unit")]
    Space,
    #[error("too long or too exact")]
    Range,
}

const UNITS: [(&str, u64); 4] = [
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

impl FromStr for Time {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Time, TimeError> {
        let digits = text
            .bytes()
            .take_while(|b| b.is_ascii_digit() || *b == b'.')
            .count();
        let (number, unit) = text.split_at(digits);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !plain(whole) || !plain(fraction) {
            return Err(TimeError::Number);
        }
        let scale = match UNITS.iter().find(|(name, _)| *name == unit) {
            Some((_, scale)) => *scale,
            None if unit.trim().is_empty() => return Err(TimeError::NoUnit),
            None if unit.starts_with(' ') && UNITS.iter().any(|(name, _)| *name == unit.trim()) => {
                return Err(TimeError::Space);
            }
            None => return Err(TimeError::Unit),
        };
        nanoseconds(whole, fraction, scale)
            .map(|n| Time(Duration::from_nanos(n)))
            .ok_or(TimeError::Range)
    }
}

/// The number times the scale; `None` if that overflows or is no whole number of nanoseconds.
fn nanoseconds(whole: &str, fraction: &str, scale: u64) -> Option<u64> {
    let fraction = fraction.trim_end_matches('0');
    let parts = 10u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let fraction: u64 = if fraction.is_empty() {
        0
    } else {
        fraction.parse().ok()?
    };
    let fraction = u128::from(fraction) * u128::from(scale);
    let rest = u64::try_from(fraction / u128::from(parts)).ok()?;
    let exact = fraction.is_multiple_of(u128::from(parts));
    whole
        .parse::<u64>()
        .ok()?
        .checked_mul(scale)?
        .checked_add(rest)
        .filter(|_| exact)
}

impl TryFrom<String> for Time {
    type Error = TimeError;

    fn try_from(text: String) -> Result<Time, TimeError> {
        text.parse()
    }
}

/// What is wrong with a value that is no time.
pub(super) fn explain(value: Value<'_, '_>, written: &str, allowed: &str) -> Wrong {
    let units = format!("allowed: {allowed}; units are ms, s, m and h");
    let Some(text) = value.text() else {
        return if value.is_number() && written.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            let help = format!("write \"{written}s\" or \"{written}ms\", in quotes; {units}");
            Wrong::new(format!("{} has no unit", quoted(written)), help)
        } else {
            value.mismatch("a time in quotes", &units)
        };
    };
    let shown = quoted(text);
    match text.parse::<Time>() {
        Err(TimeError::NoUnit) => {
            let number = text.trim();
            Wrong::new(
                format!("{shown} has no unit"),
                format!("write \"{number}s\" or \"{number}ms\"; {units}"),
            )
        }
        Err(TimeError::Space) => {
            let together: String = text.split_whitespace().collect();
            Wrong::new(
                format!("{shown} has a space before its unit"),
                format!("write \"{together}\"; {units}"),
            )
        }
        Err(TimeError::Unit) => {
            let help =
                meant(text).map_or_else(|| units.clone(), |meant| format!("write \"{meant}\"; {units}"));
            Wrong::new(format!("{shown} has no unit that is known"), help)
        }
        Err(TimeError::Number) => Wrong::new(
            format!("{shown} is no time"),
            format!("a number and a unit, such as \"1.5s\"; {units}"),
        ),
        Err(TimeError::Range) | Ok(_) => Wrong::new(format!("{shown} is out of range"), units),
    }
}

/// A time whose units are written out or abbreviated in another way, or that has several of them: "2 days", "1m30s".
fn meant(text: &str) -> Option<String> {
    let text: String = text.split_whitespace().collect();
    let mut rest = text.to_ascii_lowercase();
    let (mut nanos, mut smallest) = (0_u64, UNITS[UNITS.len() - 1]);
    while !rest.is_empty() {
        let letters = rest.find(|c: char| c.is_ascii_alphabetic())?;
        let (number, tail) = rest.split_at(letters);
        let end = tail
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(tail.len());
        let (times, unit) = usual_unit(&tail[..end])?;
        let Time(time) = format!("{number}{}", unit.0).parse().ok()?;
        let part = u64::try_from(time.as_nanos()).ok()?.checked_mul(times)?;
        nanos = nanos.checked_add(part)?;
        smallest = if unit.1 < smallest.1 { unit } else { smallest };
        rest = tail[end..].to_owned();
    }
    let whole = nanos.is_multiple_of(smallest.1);
    let fits = text.bytes().any(|b| b.is_ascii_digit());
    fits.then(|| match whole {
        true => format!("{}{}", nanos / smallest.1, smallest.0),
        false => show(Duration::from_nanos(nanos)),
    })
}

/// So many of one of our units.
fn usual_unit(word: &str) -> Option<(u64, (&'static str, u64))> {
    let [ms, s, m, h] = UNITS;
    Some(match word {
        "ms" | "msec" | "msecs" | "milliseconds" | "millis" => (1, ms),
        "s" | "sec" | "secs" | "second" | "seconds" => (1, s),
        "m" | "min" | "mins" | "minute" | "minutes" => (1, m),
        "h" | "hr" | "hrs" | "hour" | "hours" => (1, h),
        "d" | "day" | "days" => (24, h),
        "w" | "week" | "weeks" => (24 * 7, h),
        _ => return None,
    })
}

/// The shortest way to write a time in lb.toml: the largest unit in which it has no more than three decimals.
pub(super) fn show(time: Duration) -> String {
    let nanos = time.as_nanos();
    let exact = |scale: u64| (nanos * 1_000).is_multiple_of(u128::from(scale));
    let mut units = UNITS.iter().rev();
    let fits = units.find(|(_, scale)| nanos >= u128::from(*scale) && exact(*scale));
    let (unit, scale) = match nanos {
        0 => UNITS[1],
        _ => fits.copied().unwrap_or(UNITS[0]),
    };
    let in_thousandths = nanos * 1_000 / u128::from(scale);
    let mut shown = (in_thousandths / 1_000).to_string();
    let fraction = in_thousandths % 1_000;
    if fraction > 0 {
        let _ = write!(shown, ".{}", format!("{fraction:03}").trim_end_matches('0'));
    }
    shown + unit
}

/// A time within limits.
pub(super) fn read(
    reader: &mut Reader<'_>,
    value: Value<'_, '_>,
    allowed: &RangeInclusive<Duration>,
) -> Option<Spanned<Duration>> {
    let limits = format!("\"{}\" to \"{}\"", show(*allowed.start()), show(*allowed.end()));
    let written = reader.source(&value.span());
    let Time(duration) = reader
        .leaf(value, |value| explain(value, written, &limits))?
        .into_inner();
    if allowed.contains(&duration) {
        return Some(Spanned::new(value.span(), duration));
    }
    let extreme = if duration < *allowed.start() {
        "short"
    } else {
        "long"
    };
    let message = format!("{} is too {extreme} for `{}`", show(duration), value.key);
    reader.fault(value.span(), message, format!("allowed: {limits}"));
    None
}

/// The same in whole seconds, as the kernel counts.
pub(super) fn whole_seconds(
    reader: &mut Reader<'_>,
    value: Value<'_, '_>,
    allowed: &RangeInclusive<Duration>,
) -> Option<u32> {
    let time = read(reader, value, allowed)?.into_inner();
    if time.subsec_nanos() == 0 {
        return u32::try_from(time.as_secs()).ok();
    }
    let message = format!("{} has parts of a second", show(time));
    let help = format!("the kernel counts whole seconds: \"{}s\"", time.as_secs().max(1));
    reader.fault(value.span(), message, help);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_one_number_and_one_unit() {
        for (text, millis) in [
            ("500ms", 500),
            ("0s", 0),
            ("1.5s", 1_500),
            ("10s", 10_000),
            ("2m", 120_000),
            ("0.25h", 900_000),
        ] {
            assert_eq!(text.parse(), Ok(Time(Duration::from_millis(millis))), "{text}");
            let shown = show(Duration::from_millis(millis));
            assert_eq!(shown.parse(), Ok(Time(Duration::from_millis(millis))), "{shown}");
        }
        assert_eq!("0.000001ms".parse(), Ok(Time(Duration::from_nanos(1))));
    }

    #[test]
    fn what_is_no_time_says_why() {
        for (text, error) in [
            ("", TimeError::Number),
            ("s", TimeError::Number),
            ("-5s", TimeError::Number),
            ("1.s", TimeError::Number),
            (".5s", TimeError::Number),
            ("1.2.3s", TimeError::Number),
            ("10", TimeError::NoUnit),
            ("10 s", TimeError::Space),
            ("10S", TimeError::Unit),
            ("10sec", TimeError::Unit),
            ("1m30s", TimeError::Unit),
            ("1e3s", TimeError::Unit),
            ("99999999999999999999s", TimeError::Range),
            ("9999999999999h", TimeError::Range),
            ("0.0000001ms", TimeError::Range),
        ] {
            assert_eq!(text.parse::<Time>(), Err(error), "{text}");
        }
    }

    #[test]
    fn what_was_meant_is_one_number_and_one_unit() {
        for (text, expected) in [
            ("10sec", Some("10s")),
            ("1m30s", Some("90s")),
            ("1h30m", Some("90m")),
            ("1 h 30 min", Some("90m")),
            ("14d", Some("336h")),
            ("0.5d", Some("12h")),
            ("2 weeks", Some("336h")),
            ("1.5sec", Some("1.5s")),
            ("10x", None),
            ("s", None),
            ("1m30", None),
            ("99999999999d", None),
        ] {
            assert_eq!(meant(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn times_are_shown_short() {
        for (nanos, shown) in [
            (0, "0s"),
            (10_000_000, "10ms"),
            (1_500_000_000, "1.5s"),
            (300_000_000_000, "5m"),
            (3_600_000_000_000, "1h"),
            (7_440_000_000_000, "124m"),
            (1_500, "0.001ms"),
        ] {
            assert_eq!(show(Duration::from_nanos(nanos)), shown);
        }
    }
}
