//! The statuses that `http-check expect` takes for right. Must not: know checks.

use super::super::remarks::{Place, Remarks, shown};
use super::super::values;

/// `200`, `200-399`, and several with commas.
pub(super) fn numbers(given: &str, place: Place, remarks: &mut Remarks) -> Option<String> {
    let number = |text: &str| {
        text.trim()
            .parse::<u16>()
            .ok()
            .filter(|status| (100..=599).contains(status))
    };
    let mut all = Vec::new();
    for part in given.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        match number(first)
            .zip(number(last))
            .filter(|(first, last)| first <= last)
        {
            Some((first, last)) if first == last => all.push(first.to_string()),
            Some((first, last)) => all.push(format!("\"{first}-{last}\"")),
            None => remarks.fault(
                place,
                format!("{} is no status from 100 to 599; it is left out", shown(part)),
            ),
        }
    }
    (!all.is_empty()).then(|| values::one_or_list(&all))
}

/// The patterns that are in use: `^2`, `(2|3)[0-9][0-9]`, `^2\d\d$`.
pub(super) fn classes(given: &str, place: Place, remarks: &mut Remarks) -> Option<String> {
    let plain = given.trim_matches(['^', '$']);
    let tail = |text: &str| ["", "..", "[0-9][0-9]", "\\d\\d", "[0-9]{2}", "\\d{2}", "xx"].contains(&text);
    let (classes, rest) = match plain.strip_prefix(['(', '[']) {
        Some(inner) => inner.split_once([')', ']']).unwrap_or((inner, "?")),
        None => plain.split_at(plain.chars().next().map_or(0, char::len_utf8)),
    };
    let digits: Vec<char> = classes.chars().filter(|c| !"|?:".contains(*c)).collect();
    if digits.is_empty() || !digits.iter().all(|c| ('1'..='5').contains(c)) || !tail(rest) {
        let message = format!(
            "the pattern of statuses {} cannot be used here; 200-399 are right",
            shown(given)
        );
        remarks.fault(place, message);
        return None;
    }
    let all: Vec<String> = digits.iter().map(|c| format!("\"{c}00-{c}99\"")).collect();
    Some(values::one_or_list(&all))
}
