//! Moments as text, in UTC and the Gregorian calendar. Must not: know what time it is.

use std::time::{Duration, SystemTime};

const DAY_S: u64 = 86_400;
/// The end of the year 9999: what is later is a number that was never a time.
const FAR_S: u64 = 253_402_300_799;

/// So many seconds after 1970 began.
pub fn of_unix(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.min(FAR_S))
}

/// `2026-11-23T21:58:24.250Z` (RFC 3339); a time before 1970 reads as 1970.
pub fn rfc3339(time: SystemTime) -> String {
    let millis = since_1970(time).subsec_millis();
    format!("{}T{}.{millis:03}Z", day(time), time_of_day(time))
}

/// `2026-11-23 21:58:24`.
pub fn second(time: SystemTime) -> String {
    format!("{} {}", day(time), time_of_day(time))
}

/// `2026-11-23`.
pub fn day(time: SystemTime) -> String {
    let (year, month, day) = civil(since_1970(time).as_secs() / DAY_S);
    format!("{year:04}-{month:02}-{day:02}")
}

fn time_of_day(time: SystemTime) -> String {
    let seconds = since_1970(time).as_secs() % DAY_S;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{hour:02}:{minute:02}:{second:02}")
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// Year, month and day of a number of days since 1970-01-01.
fn civil(days: u64) -> (u64, u64, u64) {
    // Years are counted from March, so that the day that leap years add is their last.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.250Z"),
            (951_782_400, "2000-02-29T00:00:00.250Z"),
            (1_078_099_199, "2004-02-29T23:59:59.250Z"),
            (1_795_471_104, "2026-11-23T21:58:24.250Z"),
            (4_107_542_400, "2100-03-01T00:00:00.250Z"),
        ] {
            let time = SystemTime::UNIX_EPOCH + Duration::from_millis(seconds * 1000 + 250);
            assert_eq!(rfc3339(time), expected);
            assert_eq!(second(time), expected[..19].replace('T', " "));
            assert_eq!(day(time), expected[..10]);
        }
        assert_eq!(
            rfc3339(SystemTime::UNIX_EPOCH - Duration::from_secs(9)),
            "1970-01-01T00:00:00.000Z"
        );
        assert_eq!(second(of_unix(1_795_471_104)), "2026-11-23 21:58:24");
        assert_eq!(second(of_unix(u64::MAX)), "9999-12-31 23:59:59");
    }
}
