//! Time since the kernel started, and the floor under the wall clock: a machine whose clock stands before the day it was
//! built on has no clock, and what depends on the date (certificates) starts from that day instead.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};

use crate::refused::Refused;

/// 2026-11-01, for builds without SOURCE_DATE_EPOCH.
const OLDEST_S: i64 = 1_793_491_200;

/// The day of the build, in seconds since 1970.
const BUILT_S: i64 = match option_env!("SOURCE_DATE_EPOCH") {
    Some(text) => decimal(text.as_bytes()),
    None => OLDEST_S,
};

const fn decimal(digits: &[u8]) -> i64 {
    let mut value = 0;
    let mut at = 0;
    while at < digits.len() {
        assert!(
            digits[at].is_ascii_digit(),
            "SOURCE_DATE_EPOCH is a number of seconds"
        );
        value = value * 10 + (digits[at] - b'0') as i64;
        at += 1;
    }
    value
}

pub fn since_kernel_start() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Sets the wall clock to the day of the build if it stands before; says so.
pub fn raise_to_floor() -> Result<bool, Refused> {
    let now = clock_gettime(ClockId::Realtime);
    let floor = BUILT_S.max(OLDEST_S);
    if now.tv_sec >= floor {
        return Ok(false);
    }
    clock_settime(
        ClockId::Realtime,
        Timespec {
            tv_sec: floor,
            tv_nsec: 0,
        },
    )
    .map_err(Refused::to("set the clock"))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_is_read_from_decimal_digits() {
        assert_eq!(decimal(b"1793491200"), OLDEST_S);
        assert!(since_kernel_start() > Duration::ZERO);
    }
}
