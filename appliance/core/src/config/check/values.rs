//! The values of an HTTP check's keys, one by one, and what is wrong with each. Must not: know which type of check they
//! are for, or what else the table says.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use toml::Spanned;

use super::super::fault::quoted;
use super::super::reader::{Reader, Section, Value};
use crate::check::{BodyTest, Close, Method, Pattern, Statuses};

/// A header's name or value; a path with its query.
pub(in crate::config) const LONGEST: usize = 1_024;
pub(in crate::config) const MOST_HEADERS: usize = 16;
pub(in crate::config) const LONGEST_HOST: usize = 255;
pub(in crate::config) const STATUS: RangeInclusive<u32> = Statuses::LEAST as u32..=Statuses::MOST as u32;
/// Fields that the check itself writes: RFC 9112, sections 3.2, 6 and 9.
const OWN_FIELDS: [&str; 5] = ["host", "connection", "content-length", "transfer-encoding", "te"];
const STATUS_HELP: &str = "write status = 200, status = \"200-299\", or a list of both";

pub(super) fn text<T>(
    reader: &mut Reader<'_>,
    value: Value<'_, '_>,
    help: &str,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Option<Spanned<T>> {
    let text = reader.leaf::<String>(value, |value| value.mismatch("text", help))?;
    match read(text.get_ref()) {
        Ok(read) => Some(Spanned::new(value.span(), read)),
        Err(message) => {
            reader.fault(value.span(), message, help);
            None
        }
    }
}

pub(super) fn close(reader: &mut Reader<'_>, value: Value<'_, '_>) -> Option<Spanned<Close>> {
    reader.one_of(value, &Close::ALL, &Close::WORDS, false)
}

pub(super) fn method(reader: &mut Reader<'_>, value: Value<'_, '_>) -> Option<Spanned<Method>> {
    reader.one_of(value, &Method::ALL, &Method::WORDS, false)
}

/// What RFC 9110 allows in a field's value (section 5.5), without what is not ASCII.
fn is_field_value(text: &str) -> bool {
    let plain = text
        .bytes()
        .all(|byte| (b' '..=b'~').contains(&byte) || byte == b'\t');
    plain && text.len() <= LONGEST && text.trim() == text
}

/// A token: RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
    plain && !text.is_empty() && text.len() <= LONGEST
}

pub(super) fn host(reader: &mut Reader<'_>, value: Value<'_, '_>) -> Option<Spanned<String>> {
    let help = "the value of the Host field: a name or an address, and a port if it is not the usual one";
    text(reader, value, help, |text| {
        let plain = text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(&byte));
        let fits = plain && !text.is_empty() && text.len() <= LONGEST_HOST;
        fits.then(|| text.to_owned())
            .ok_or_else(|| format!("{} is no host", quoted(text)))
    })
}

pub(super) fn path(reader: &mut Reader<'_>, value: Value<'_, '_>) -> Option<Spanned<String>> {
    let help = "a path and perhaps a query, such as \"/healthz?full\"; what is not ASCII is written with %";
    text(reader, value, help, |text| {
        // pchar, `/` and `?`: RFC 3986, sections 3.3 and 3.4.
        let plain = text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(&byte));
        let fits = text.starts_with('/') && plain && text.len() <= LONGEST;
        fits.then(|| text.to_owned())
            .ok_or_else(|| format!("{} is no path", quoted(text)))
    })
}

pub(super) fn headers(
    reader: &mut Reader<'_>,
    value: Value<'_, '_>,
) -> Option<Spanned<Vec<(String, String)>>> {
    let help = "write headers = { \"X-Check\" = \"lb\" }";
    let wrong = |value: Value<'_, '_>| value.mismatch("a table of names and texts", help);
    // To serde a date is a table as well.
    if !value.is_table() {
        reader.faults.add(value.span(), wrong(value));
        return None;
    }
    let table: Spanned<BTreeMap<String, String>> = reader.leaf(value, wrong)?;
    let mut fields = Vec::new();
    for (name, content) in table.into_inner() {
        let wrong = if !is_token(&name) {
            Some(format!("{} is no name of a header field", quoted(&name)))
        } else if OWN_FIELDS.contains(&name.to_ascii_lowercase().as_str()) {
            Some(format!(
                "the field {} is written by the check itself",
                quoted(&name)
            ))
        } else if !is_field_value(&content) {
            Some(format!("{} cannot be a field's value", quoted(&content)))
        } else {
            None
        };
        match wrong {
            Some(message) => {
                let help = match name.to_ascii_lowercase().as_str() {
                    "host" => "set it by the key `host`",
                    _ => help,
                };
                reader.fault(value.span(), message, help);
            }
            None => fields.push((name, content)),
        }
    }
    if fields.len() > MOST_HEADERS {
        reader.fault(
            value.span(),
            format!("{} header fields", fields.len()),
            format!("at most {MOST_HEADERS}"),
        );
        return None;
    }
    Some(Spanned::new(value.span(), fields))
}

pub(super) fn statuses(reader: &mut Reader<'_>, value: Value<'_, '_>) -> Option<Spanned<Statuses>> {
    let allowed = Statuses::LEAST..=Statuses::MOST;
    let mut ranges: Vec<RangeInclusive<u16>> = Vec::new();
    for one in reader.one_or_more(value, STATUS_HELP) {
        if one.is_integer() {
            let status = reader.integer(one, STATUS)?;
            let status = u16::try_from(status.into_inner()).ok()?;
            ranges.push(status..=status);
            continue;
        }
        let range = text(reader, one, STATUS_HELP, |text| {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            let number = |text: &str| text.parse::<u16>().ok().filter(|status| allowed.contains(status));
            let range = number(first)
                .zip(number(last))
                .filter(|(first, last)| first <= last);
            range.map(|(first, last)| first..=last).ok_or_else(|| {
                format!(
                    "{} is no status or range of statuses from 100 to 599",
                    quoted(text)
                )
            })
        })?;
        ranges.push(range.into_inner());
    }
    (!ranges.is_empty()).then(|| Spanned::new(value.span(), Statuses(ranges)))
}

pub(super) fn body(reader: &mut Reader<'_>, section: &Section<'_, '_>) -> Option<Spanned<BodyTest>> {
    let contains = section.value("body_contains");
    let matches = section.value("body_matches");
    if let (Some(_), Some(matches)) = (contains, matches) {
        let message = "`body_matches` beside `body_contains`";
        reader.fault(
            matches.span(),
            message,
            "remove one of the two; a pattern can do both",
        );
        return None;
    }
    if let Some(value) = contains {
        return text(
            reader,
            value,
            "the text that has to be in the body",
            |text| match text {
                "" => Err("every body contains nothing".to_owned()),
                text => Ok(BodyTest::Contains(text.to_owned())),
            },
        );
    }
    let help = "a regular expression, such as \"^ok\\\\b\"";
    text(reader, matches?, help, |text| {
        let pattern =
            Pattern::new(text).map_err(|error| format!("{} is no pattern: {error}", quoted(text)))?;
        Ok(BodyTest::Matches(pattern))
    })
}
