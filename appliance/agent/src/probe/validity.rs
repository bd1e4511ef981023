//! When a certificate ends: the one field of X.509 that is read here (RFC 5280, section 4.1). Whoever shows a certificate has been
//! verified by then, as the check says; a parser for all of X.509 would be ten crates. Must not: decide whom to trust.

use std::time::{Duration, SystemTime};

pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// Of a TBSCertificate: there if it is not version 1.
pub(super) const VERSION: u8 = 0xa0;

/// `None`: it cannot be read, or it lies before 1970.
pub(super) fn end(certificate: &[u8]) -> Option<SystemTime> {
    let (certificate, _) = expect(SEQUENCE, certificate)?;
    let (mut rest, _) = expect(SEQUENCE, certificate)?;
    if rest.first() == Some(&VERSION) {
        rest = value(rest)?.2;
    }
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        // Serial number, algorithm of the signature, issuer.
        rest = expect(tag, rest)?.1;
    }
    let (validity, _) = expect(SEQUENCE, rest)?;
    let (_, _, not_after) = value(validity)?;
    let (tag, text, _) = value(not_after)?;
    time(tag, text)
}

pub(super) fn expect(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = value(bytes)?;
    (found == tag).then_some((content, rest))
}

/// Tag, contents, what follows; DER (X.690, sections 8.1 and 10.1).
pub(super) fn value(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit));
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`: RFC 5280, section 4.1.2.5.
pub(super) fn time(tag: u8, text: &[u8]) -> Option<SystemTime> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = text.split_at_checked(if tag == GENERALIZED_TIME { 4 } else { 2 })?;
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if rest.len() != 10 || !plain(rest) || !plain(year) {
        return None;
    }
    let year = match (tag, year.parse::<i64>().ok()?) {
        (GENERALIZED_TIME, year) => year,
        (UTC_TIME, year @ 0..50) => 2000 + year,
        (UTC_TIME, year) => 1900 + year,
        _ => return None,
    };
    let part = |at: usize| rest[at..at + 2].parse::<i64>().ok();
    let days = days(year, part(0)?, part(2)?);
    let seconds = days * 86_400 + part(4)? * 3_600 + part(6)? * 60 + part(8)?;
    let seconds = u64::try_from(seconds).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// Since 1970, in the Gregorian calendar; years begin in March, so that a leap day is the last one.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * month + 2) / 5 + day - 1;
    let leap_days = of_era / 4 - of_era / 100;
    era * 146_097 + of_era * 365 + leap_days + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn seconds(year: i32, month: u8, day: u8) -> u64 {
        let end = rcgen::date_time_ymd(year, month, day);
        u64::try_from(end.unix_timestamp()).unwrap()
    }

    proptest! {
        #[test]
        fn the_end_is_what_the_certificate_was_made_with(year in 1970i32..2400, month in 1u8..=12, day in 1u8..=28) {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
            params.not_before = rcgen::date_time_ymd(1970, 1, 1);
            params.not_after = rcgen::date_time_ymd(year, month, day);
            let certificate = params.self_signed(&key).unwrap();
            let expected = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds(year, month, day));
            prop_assert_eq!(end(certificate.der()), Some(expected));
        }

        #[test]
        fn anything_else_is_harmless(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = end(&bytes);
        }

        #[test]
        fn a_damaged_certificate_is_harmless(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
            let key = KeyPair::generate().unwrap();
            let certificate = CertificateParams::new(vec!["a.example".to_owned()]).unwrap().self_signed(&key).unwrap();
            let mut bytes = certificate.der().to_vec();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = end(&bytes);
            bytes.truncate(cut.index(bytes.len()));
            prop_assert_eq!(end(&bytes).filter(|_| bytes.len() < 60), None);
        }
    }

    #[test]
    fn leap_days_are_days() {
        assert_eq!(days(1970, 1, 1), 0);
        assert_eq!(days(2000, 2, 29), 11_016);
        assert_eq!(days(2000, 3, 1), 11_017);
        assert_eq!(days(2100, 3, 1) - days(2100, 2, 28), 1);
    }
}
