//! Marks in the place of what differs between two runs of one story: times, durations that were measured, amounts of memory and traffic, hashes. Each digit of it becomes a `%`, so the
//! text stays as it was laid out. What the story chose itself (addresses, MACs, weights, times of lb.toml) is never marked. Must not: know the stories.

use std::sync::LazyLock;

use regex::{Captures, Regex};

/// A duration that was measured, as `applctl` shows it.
const SPAN: &str = r"(?:\d+[dhm] \d\d[hms]|\d+s)";

/// In each match the group of this number is marked.
static MARKED: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let patterns = [
        // Dates and times of day.
        r"(\b\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d)?\b)".to_owned(),
        // The clock of the kernel and of the boot.
        r"(?m)^\[ *(\d+\.\d+)\] ".to_owned(),
        // Hashes, and those that the history shortens.
        r"(\b[0-9a-f]{64}\b)".to_owned(),
        r"B,\s+([0-9a-f]{12})\)".to_owned(),
        // What something took: latencies, the stages of a boot. Those of lb.toml have no blank before the unit, and no fraction.
        r"(\b\d+(?:\.\d+)?\s+ms\b|\b\d+\.\d+\s+s\b)".to_owned(),
        // Connections of a server: the column behind its health, time and weight.
        format!(r"(?m)^\s+\d+\.\d+\.\d+\.\d+:\d+\s+\S+\s+{SPAN}\s+\S+\s+(\d+)\s"),
        // What has gone by, or is left.
        format!(r"({SPAN}) ago\b"),
        format!(r"(?:\bfor|\bin|\bup|\bdown|\bunproven|\bcannot-check)\s+({SPAN})\b"),
        r"to the former one\s+in (\d+ s);".to_owned(),
        // Memory and traffic.
        r"\bTracked\s+([\d,]+ of [\d,]+) ".to_owned(),
        r"(\b\d+(?:\.\d+)? [MG]B\b)".to_owned(),
        r"\binit (\d+(?:\.\d+)? [kM]B\b)".to_owned(),
        r"\b(?:in|out) (\d+(?:\.\d+)? k?B, \d+ packets?)".to_owned(),
        r"(?m)^\s+(\d+) connections?;".to_owned(),
        r"\bpid (\d+)".to_owned(),
    ];
    let compiled = patterns
        .iter()
        .map(|pattern| Regex::new(pattern).expect("the patterns are fixed"));
    compiled.collect()
});

/// The echo of Ctrl-O that is held down, where it comes between two things that are drawn.
static HELD_DOWN: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?m) ?(?:\^O)+$").expect("the pattern is fixed"));

/// The screen with its marks.
pub fn set(screen: &str) -> String {
    let screen = HELD_DOWN.replace_all(screen, "");
    let mut text = screen.replace(
        env!("CARGO_PKG_VERSION"),
        &env!("CARGO_PKG_VERSION").replace(|c: char| c.is_ascii_digit(), "%"),
    );
    for pattern in MARKED.iter() {
        text = pattern.replace_all(&text, mark).into_owned();
    }
    text
}

fn mark(found: &Captures<'_>) -> String {
    let whole = found.get(0).expect("group 0 is the match");
    let part = found.get(1).expect("each pattern has one group");
    let hash = matches!(part.len(), 12 | 64) && part.as_str().chars().all(|c| c.is_ascii_hexdigit());
    let masked = part.as_str().replace(|c: char| c.is_ascii_digit() || hash, "%");
    let (before, behind) = (part.start() - whole.start(), part.end() - whole.start());
    format!(
        "{}{masked}{}",
        &whole.as_str()[..before],
        &whole.as_str()[behind..]
    )
}

/// Whether two marked texts are the same. A mark may be longer or shorter, and then blanks are another number, and a paragraph is folded at another place.
pub fn same(one: &str, other: &str) -> bool {
    one == other || (one.contains('%') && other.contains('%') && loosened(one) == loosened(other))
}

/// A mark with its unit, which may be another one, and the blanks before it.
static MARK: LazyLock<Regex> = LazyLock::new(|| {
    let pattern =
        r" *(?:%+[dhm] %%[hms]|%+(?:[.,]%+)*(?: ?(?:ms|s|B|kB|MB|GB)\b| (?:connection|packet)s?\b)?)";
    Regex::new(pattern).expect("the pattern is fixed")
});
static BLANKS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(\S)  +").expect("the pattern is fixed"));

fn loosened(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    // How far the paragraph is indented that a mark was seen in.
    let mut open: Option<usize> = None;
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        match (open, lines.last_mut()) {
            (Some(of), Some(last)) if indent > of => {
                last.push(' ');
                last.push_str(line.trim_start());
            }
            _ => {
                open = line.contains('%').then_some(indent);
                lines.push(line.to_owned());
            }
        }
    }
    let tight = lines.iter().map(|line| {
        let marked = MARK.replace_all(line, "%");
        BLANKS.replace_all(&marked, "$1  ").into_owned() + "\n"
    });
    tight.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_is_marked() {
        for (screen, marked) in [
            ("boot> ^O^O", "boot>"),
            (
                "* 12  2026-11-24 09:58:24  put (console ttyS0, 1.2 kB, 5f2a9c01b3d4)",
                "* 12  %%%%-%%-%% %%:%%:%%  put (console ttyS0, 1.2 kB, %%%%%%%%%%%%)",
            ),
            ("lb.toml, in force for 3h 04m", "lb.toml, in force for %h %%m"),
            (
                "Boot            Mounts 12 ms; 2.31 s after the kernel's start",
                "Boot            Mounts %% ms; %.%% s after the kernel's start",
            ),
            (
                "former configuration in 1m 27s,",
                "former configuration in %m %%s,",
            ),
            (
                "  172.16.0.11:30080  up      12s       1     12  connected in 0.4 ms, 3s ago",
                "  172.16.0.11:30080  up      %%s       1     %%  connected in %.% ms, %s ago",
            ),
            (
                "  2 connections; in 960 B, 12 packets; out 2.1 kB, 8 packets",
                "  % connections; in %%% B, %% packets; out %.% kB, % packets",
            ),
            (
                "Agent           pid 61, running for 9s, 8.1 MB; init 2.2 MB",
                "Agent           pid %%, running for %s, %.% MB; init %.% MB",
            ),
            ("3.7 MB; init 819.2 kB", "%.% MB; init %%%.% kB"),
            ("[  5.05] Mounts ... ok 12 ms", "[  %.%%] Mounts ... ok %% ms"),
            (
                "Mounts 12 ms, Boot menu 2\n                ms",
                "Mounts %% ms, Boot menu %\n                ms",
            ),
            (
                "Tracked         9 of 233,902 connections",
                "Tracked         % of %%%,%%% connections",
            ),
            ("[    5.896044] agent: ready", "[    %.%%%%%%] agent: ready"),
            (&"0123456789abcdef".repeat(4), &"%".repeat(64)),
        ] {
            assert_eq!(set(screen), marked);
        }
    }

    #[test]
    fn what_the_story_chose_stays() {
        for screen in [
            "  1  eth0  52:54:00:00:00:01  not switched on yet",
            "address = \"172.16.0.11:30080\"\nweight = 2",
            "interval = \"1s\"\ntimeout = \"500ms\"",
            "lb> config put --confirm 10s",
            "OK. A console locks after 10 seconds without a key.",
            "The next one is looked at in 1 s.",
            "was not confirmed within 10 s",
        ] {
            assert_eq!(set(screen), screen);
        }
    }

    #[test]
    fn marks_of_any_length_are_the_same() {
        let of = |span: &str| {
            format!(
                "  SERVER  FOR{:1$}  WEIGHT\n  a  up  {span}  1\n",
                "",
                span.len() - 2
            )
        };
        assert!(same(&set(&of("12s")), &set(&of("1m 02s"))));
        let folded =
            "Boot            Mounts % ms, Agent %% ms,\n                Ready % ms\nSlot            a\n";
        let longer =
            "Boot            Mounts %%% ms,\n                Agent %% ms, Ready % ms\nSlot            a\n";
        assert!(same(folded, longer));
        assert!(same("  % connection; in %% B\n", "  %% connections; in %.% kB\n"));
        assert!(same("[  %.%%] Mounts\n", "[ %%.%%] Mounts\n"));
        assert!(!same(folded, &longer.replace("Slot   ", "Spot   ")));
        assert!(!same(folded, &longer.replace("\nSlot", " Slot")));
    }

    #[test]
    fn without_a_mark_each_blank_counts() {
        assert!(same("a  b\n", "a  b\n"));
        assert!(!same("a  b\n", "a   b\n"));
        assert!(!same("", "a\n"));
    }
}
