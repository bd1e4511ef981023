//! Numbers as humans read them: counts with thousands, spans of time, amounts of memory.
//! Must not: fail; every number has a text, also one that no real machine gives.

/// `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(String::from_utf8_lossy)
        .collect();
    groups.join(",")
}

/// `1 server`, `2 servers`.
pub fn some(number: usize, thing: &str) -> String {
    format!(
        "{} {thing}{}",
        count(number as u64),
        if number == 1 { "" } else { "s" }
    )
}

/// `1 Gbit/s`, `2.5 Gbit/s`, `100 Mbit/s`.
pub fn speed(megabits: u32) -> String {
    match (megabits / 1000, megabits % 1000) {
        (0, _) => format!("{megabits} Mbit/s"),
        (whole, 0) => format!("{whole} Gbit/s"),
        (whole, part) => format!("{whole}.{} Gbit/s", part / 100),
    }
}

/// Two units at most, never longer than eight characters below a thousand days: `12s`, `3m 05s`, `3h 04m`, `12d 03h`.
pub fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m {:02}s", seconds % 60),
        3600..86_400 => format!("{hours}h {:02}m", minutes % 60),
        _ => format!("{}d {:02}h", count(days), hours % 24),
    }
}

/// A short time, exactly: `12 ms`, `2.31 s`.
pub fn exact(ms: u64) -> String {
    if ms < 1000 {
        format!("{ms} ms")
    } else {
        format!("{}.{:02} s", count(ms / 1000), ms % 1000 / 10)
    }
}

/// `0.4 ms`, `35 ms`, `1.2 s`. What is not a time (broken JSON can say anything) reads as `?`.
pub fn latency(ms: f64) -> String {
    match ms {
        ms if !ms.is_finite() || ms < 0.0 => "? ms".to_owned(),
        ms if ms < 9.95 => format!("{ms:.1} ms"),
        ms if ms < 999.5 => format!("{ms:.0} ms"),
        ms => format!("{:.1} s", ms / 1000.0),
    }
}

/// `512 B`, `8.1 MB`; decimal units, as network people count.
pub fn bytes(number: u64) -> String {
    if number < 1000 {
        return format!("{number} B");
    }
    let (value, prefix) = scaled(number as f64);
    format!("{value:.1} {prefix}B")
}

/// `999`, `8.1 M`: seven characters at most.
pub fn amount(number: u64) -> String {
    if number < 1000 {
        return number.to_string();
    }
    let (value, prefix) = scaled(number as f64);
    format!("{value:.1} {prefix}")
}

/// Something per second: `0`, `0.25`, `7.5`, `512`, `8.1 M`; seven characters at most. What is not a rate (broken JSON
/// can say anything) reads as `?`.
pub fn rate(value: f64) -> String {
    match value {
        value if !value.is_finite() || value < 0.0 => "?".to_owned(),
        0.0 => "0".to_owned(),
        value if value < 0.995 => format!("{value:.2}"),
        value if value < 9.95 => format!("{value:.1}"),
        value if value < 999.5 => format!("{value:.0}"),
        value => {
            let (value, prefix) = scaled(value.max(1000.0));
            format!("{value:.1} {prefix}")
        }
    }
}

/// Powers of 1000, as network people count.
fn scaled(mut value: f64) -> (f64, &'static str) {
    let mut prefix = "";
    for next in ["k", "M", "G", "T", "P", "E"] {
        if value < 999.95 {
            break;
        }
        value /= 1000.0;
        prefix = next;
    }
    (value.min(999.9), prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(
            ["0", "999", "1,000", "1,234,567"],
            [count(0), count(999), count(1000), count(1_234_567)]
                .each_ref()
                .map(|s| &s[..])
        );
        assert_eq!(
            [some(1, "server"), some(1000, "server")],
            ["1 server", "1,000 servers"]
        );
    }

    #[test]
    fn spans() {
        for (ms, expected) in [
            (0, "0s"),
            (12_999, "12s"),
            (60_000, "1m 00s"),
            (11_040_000, "3h 04m"),
            (1_047_600_000, "12d 03h"),
            (u64::MAX, "213,503,982,334d 14h"),
        ] {
            assert_eq!(span(ms), expected);
        }
        assert_eq!(
            [exact(12), exact(2310), exact(999)],
            ["12 ms", "2.31 s", "999 ms"]
        );
    }

    #[test]
    fn amounts_and_rates_are_short() {
        assert_eq!(
            [0, 999, 1000, 999_950, 12_345_678, u64::MAX].map(amount),
            ["0", "999", "1.0 k", "1.0 M", "12.3 M", "18.4 E"]
        );
        assert_eq!(
            [
                0.0,
                0.004,
                0.25,
                7.54,
                512.4,
                999.6,
                8_100_000.0,
                1e300,
                f64::NAN,
                -1.0
            ]
            .map(rate),
            [
                "0", "0.00", "0.25", "7.5", "512", "1.0 k", "8.1 M", "999.9 E", "?", "?"
            ]
        );
    }

    #[test]
    fn latencies_and_sizes() {
        assert_eq!(
            [0.42, 9.96, 34.7, 1234.0, f64::NAN, -1.0].map(latency),
            ["0.4 ms", "10 ms", "35 ms", "1.2 s", "? ms", "? ms"]
        );
        assert_eq!(
            [0, 999, 1000, 8_100_000, 999_999_999, u64::MAX].map(bytes),
            ["0 B", "999 B", "1.0 kB", "8.1 MB", "1.0 GB", "18.4 EB"]
        );
    }
}
