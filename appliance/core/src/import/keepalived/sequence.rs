//! `~SEQ(var, start, step, end)` and `~SEQx`: a line once for each number. Must not: go on without end.

use super::super::remarks::Place;
use super::lines::Lines;

/// So many numbers has one sequence at most.
const MOST: i64 = 65_536;

/// What a line costs however short it is, in bytes.
const OF_A_LINE: usize = 64;

/// Writes the rest of the line once for each number.
pub(super) fn expand(lines: &mut Lines<'_, '_>, place: Place, line: &str, depth: usize) {
    let Some((sequence, rest)) = read(line) else {
        let message = "this sequence cannot be read, and the line is left out: write its lines out";
        lines.remarks.fault(place, message);
        return;
    };
    let Sequence {
        name,
        start,
        step,
        end,
        hex,
    } = sequence;
    if (end - start) / step >= MOST || depth > 8 {
        lines
            .remarks
            .fault(place, "this sequence is too long, and the line is left out");
        return;
    }
    let mut number = start;
    while (step > 0 && number <= end) || (step < 0 && number >= end) {
        let text = if hex {
            format!("{number:x}")
        } else {
            number.to_string()
        };
        lines.variables.insert(name.to_owned(), text);
        if !lines.spend(place, rest.len() + OF_A_LINE) {
            return;
        }
        lines.line(place, rest, depth + 1);
        number += step;
    }
}

struct Sequence<'l> {
    name: &'l str,
    start: i64,
    step: i64,
    end: i64,
    hex: bool,
}

fn read(line: &str) -> Option<(Sequence<'_>, &str)> {
    let (kind, rest) = line.split_once('(')?;
    let hex = match kind {
        "~SEQ" => false,
        "~SEQx" => true,
        _ => return None,
    };
    let (inner, rest) = rest.split_once(')')?;
    let parts: Vec<&str> = inner.split(',').map(str::trim).collect();
    let (name, numbers) = parts.split_first()?;
    let numbers: Option<Vec<i64>> = numbers.iter().map(|text| number(text)).collect();
    let (start, step, end) = match numbers?.as_slice() {
        [end] => (end.signum(), end.signum(), *end),
        [start, end] => (*start, if end < start { -1 } else { 1 }, *end),
        [start, step, end] => (*start, *step, *end),
        _ => return None,
    };
    let named = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    (named && step != 0).then(|| {
        (
            Sequence {
                name,
                start,
                step,
                end,
                hex,
            },
            rest.trim(),
        )
    })
}

fn number(text: &str) -> Option<i64> {
    let number = match text.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok()?,
        None => text.parse().ok()?,
    };
    // Far from where sums overflow.
    (number.abs() < 1 << 40).then_some(number)
}
