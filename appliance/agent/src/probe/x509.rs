//! A certificate in words, for whoever watches a check: whose it is, who has signed it, its names and its time (RFC 5280). What cannot be read
//! is left out. Must not: decide whom to trust.

use lb_core::date;
use std::net::{Ipv4Addr, Ipv6Addr};
#[cfg(test)]
use std::time::Duration;
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use super::validity::{INTEGER, SEQUENCE, VERSION, expect, time, value};

const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
const OCTET_STRING: u8 = 0x04;
const BOOLEAN: u8 = 0x01;
/// Of a TBSCertificate.
const EXTENSIONS: u8 = 0xa3;
/// id-at-commonName, id-at-organizationName, id-ce-subjectAltName.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
/// Of a GeneralName.
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;
/// Names that are listed.
const MOST_NAMES: usize = 12;
const DAY_S: u64 = 86_400;

/// What is read of a certificate.
#[derive(Debug, Default, PartialEq, Eq)]
struct Certificate {
    subject: Option<String>,
    issuer: Option<String>,
    names: Vec<String>,
    begins: Option<SystemTime>,
    ends: Option<SystemTime>,
}

pub(super) fn lines(der: &[u8], now: SystemTime) -> Vec<String> {
    let Certificate {
        subject,
        issuer,
        names,
        begins,
        ends,
    } = read(der).unwrap_or_default();
    let mut lines = vec![
        format!("subject: {}", subject.as_deref().unwrap_or("without a name")),
        format!("issuer: {}", issuer.as_deref().unwrap_or("without a name")),
    ];
    if !names.is_empty() {
        let more = names.len().saturating_sub(MOST_NAMES);
        let listed = names[..names.len() - more].join(", ");
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        lines.push(format!("names: {listed}{more}"));
    }
    if let (Some(begins), Some(ends)) = (begins, ends) {
        lines.push(format!(
            "valid: {} to {}, {}",
            date::day(begins),
            date::day(ends),
            state(begins, ends, now)
        ));
    }
    lines.push(format!("SHA-256: {}", hex(&Sha256::digest(der))));
    lines
}

fn state(begins: SystemTime, ends: SystemTime, now: SystemTime) -> String {
    let days = |from: SystemTime, to: SystemTime| match to.duration_since(from) {
        Ok(time) if time.as_secs() < DAY_S => "less than a day".to_owned(),
        Ok(time) if time.as_secs() < 2 * DAY_S => "1 day".to_owned(),
        Ok(time) => format!("{} days", time.as_secs() / DAY_S),
        Err(_) => String::new(),
    };
    if now < begins {
        format!(
            "not valid yet: it begins in {}; is the appliance's clock right?",
            days(now, begins)
        )
    } else if now > ends {
        format!("expired {} ago", days(ends, now))
    } else {
        format!("ends in {}", days(now, ends))
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(der: &[u8]) -> Option<Certificate> {
    let (certificate, _) = expect(SEQUENCE, der)?;
    let (mut rest, _) = expect(SEQUENCE, certificate)?;
    if rest.first() == Some(&VERSION) {
        rest = value(rest)?.2;
    }
    for tag in [INTEGER, SEQUENCE] {
        // Serial number, algorithm of the signature.
        rest = expect(tag, rest)?.1;
    }
    let (issuer, rest) = expect(SEQUENCE, rest)?;
    let (validity, rest) = expect(SEQUENCE, rest)?;
    let (subject, rest) = expect(SEQUENCE, rest)?;
    let (tag, begins, after) = value(validity)?;
    let begins = time(tag, begins);
    let (tag, ends, _) = value(after)?;
    Some(Certificate {
        subject: name(subject),
        issuer: name(issuer),
        names: alternative_names(rest).unwrap_or_default(),
        begins,
        ends: time(tag, ends),
    })
}

/// The common name, or the organization.
fn name(mut rest: &[u8]) -> Option<String> {
    let (mut common, mut organization) = (None, None);
    while !rest.is_empty() {
        let (set, after) = expect(SET, rest)?;
        rest = after;
        let (attribute, _) = expect(SEQUENCE, set)?;
        let (kind, text) = expect(OBJECT_IDENTIFIER, attribute)?;
        let (_, text, _) = value(text)?;
        let text = || Some(String::from_utf8_lossy(text).into_owned());
        match kind {
            COMMON_NAME => common = text(),
            ORGANIZATION => organization = text(),
            _ => {}
        }
    }
    common.or(organization)
}

/// Behind the public key.
fn alternative_names(mut rest: &[u8]) -> Option<Vec<String>> {
    let extensions = loop {
        let (tag, content, after) = value(rest)?;
        if tag == EXTENSIONS {
            break content;
        }
        rest = after;
    };
    let (mut rest, _) = expect(SEQUENCE, extensions)?;
    while !rest.is_empty() {
        let (extension, after) = expect(SEQUENCE, rest)?;
        rest = after;
        let (kind, mut content) = expect(OBJECT_IDENTIFIER, extension)?;
        if kind != ALTERNATIVE_NAMES {
            continue;
        }
        if content.first() == Some(&BOOLEAN) {
            content = value(content)?.2;
        }
        let (content, _) = expect(OCTET_STRING, content)?;
        return general_names(expect(SEQUENCE, content)?.0);
    }
    None
}

fn general_names(mut rest: &[u8]) -> Option<Vec<String>> {
    let mut names = Vec::new();
    while !rest.is_empty() {
        let (tag, content, after) = value(rest)?;
        rest = after;
        match tag {
            DNS_NAME => names.push(String::from_utf8_lossy(content).into_owned()),
            IP_ADDRESS => {
                let v4 = <[u8; 4]>::try_from(content).map(|octets| Ipv4Addr::from(octets).to_string());
                let v6 = <[u8; 16]>::try_from(content).map(|octets| Ipv6Addr::from(octets).to_string());
                names.extend(v4.or(v6));
            }
            _ => {}
        }
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn certificate() -> Vec<u8> {
        let key = KeyPair::generate().unwrap();
        let names = ["www.example.com", "172.16.0.1", "2001:db8::1"];
        let mut params = CertificateParams::new(names.map(str::to_owned)).unwrap();
        params.distinguished_name.push(DnType::CommonName, "the server");
        params.not_before = rcgen::date_time_ymd(2024, 2, 29);
        params.not_after = rcgen::date_time_ymd(2034, 12, 31);
        params.self_signed(&key).unwrap().der().to_vec()
    }

    fn at(year: i32, month: u8, day: u8) -> SystemTime {
        let seconds = rcgen::date_time_ymd(year, month, day).unix_timestamp();
        SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap())
    }

    #[test]
    fn a_certificate_is_told_in_words() {
        let der = certificate();
        let text = lines(&der, at(2034, 12, 1));
        assert_eq!(text[0], "subject: the server");
        assert_eq!(text[1], "issuer: the server");
        assert_eq!(text[2], "names: www.example.com, 172.16.0.1, 2001:db8::1");
        assert_eq!(text[3], "valid: 2024-02-29 to 2034-12-31, ends in 30 days");
        assert!(text[4].starts_with("SHA-256: ") && text[4].len() == 9 + 64);
        assert!(lines(&der, at(2035, 1, 2))[3].ends_with("expired 2 days ago"));
        assert!(lines(&der, at(2024, 1, 1))[3].contains("not valid yet: it begins in 59 days"));
    }

    proptest! {
        #[test]
        fn dates_go_there_and_back(year in 1970i32..2400, month in 1u8..=12, day in 1u8..=28) {
            prop_assert_eq!(date::day(at(year, month, day)), format!("{year:04}-{month:02}-{day:02}"));
        }

        #[test]
        fn a_damaged_certificate_is_harmless(place in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
            let mut bytes = certificate();
            let place = place.index(bytes.len());
            bytes[place] = byte;
            let _ = lines(&bytes, SystemTime::UNIX_EPOCH);
            bytes.truncate(cut.index(bytes.len()));
            let _ = lines(&bytes, SystemTime::UNIX_EPOCH);
        }
    }
}
