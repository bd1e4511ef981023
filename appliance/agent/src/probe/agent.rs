//! A program on the server that says in one line how it is: HAProxy's agent-check (its configuration manual, "agent-check").
//! Must not: decide what follows from it.

use lb_core::check::AgentCheck;
use lb_core::health::{Outcome, Told};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::account::quoted;
use super::way::Way;
use super::{Progress, Stage, broken, shown};

/// Of an answer; a longer line is none.
const MOST: usize = 1_024;

pub(super) async fn exchange(way: &Way, check: &AgentCheck, progress: &Progress) -> Result<Told, Outcome> {
    let mut stream = way.stream(progress).await?;
    progress.is_at(Stage::Line);
    if let Some(line) = &check.send {
        let line = format!("{line}\n");
        stream
            .write_all(line.as_bytes())
            .await
            .map_err(|error| broken(&error))?;
        progress.note("request", || vec![format!("a line: {}", quoted(line.as_bytes()))]);
    }
    let mut answer = Vec::new();
    let mut stream = stream.take(MOST as u64);
    while !answer.contains(&b'\n') {
        let read = stream.read_buf(&mut answer).await;
        if read.map_err(|error| broken(&error))? == 0 {
            break;
        }
    }
    let line = answer.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    progress.note("answer", || vec![format!("a line: {}", quoted(line))]);
    if answer.len() == MOST && line.len() == MOST {
        return Err(senseless(line));
    }
    judge(line)
}

/// Words and percentages, with spaces or commas between; what follows a `#` is for people. That it is down counts more than that it
/// wants no more connections, and that more than how many.
fn judge(line: &[u8]) -> Result<Told, Outcome> {
    let text = std::str::from_utf8(line).map_err(|_| senseless(line))?;
    let (words, reason) = text.split_once('#').unwrap_or((text, ""));
    let mut told = None;
    let mut down = None;
    let separators = |c: char| c == ',' || c.is_ascii_whitespace();
    for word in words.split(separators).filter(|word| !word.is_empty()) {
        match word.to_ascii_lowercase().as_str() {
            "up" | "ready" => told = told.or(Some(Told::Nothing)),
            "drain" | "maint" => told = Some(Told::Drain),
            "down" | "fail" | "failed" | "stopped" => down = Some(word.to_ascii_lowercase()),
            // HAProxy would send no more connections than that; `max_connections` of the file is what counts here.
            other if other.strip_prefix("maxconn:").is_some_and(is_number) => {
                told = told.or(Some(Told::Nothing))
            }
            other => {
                let percent = other.strip_suffix('%').and_then(percent);
                let percent = percent.ok_or_else(|| senseless(line))?;
                if told != Some(Told::Drain) {
                    told = Some(Told::Percent(percent));
                }
            }
        }
    }
    match (down, told) {
        (Some(word), _) => {
            let reason = reason.trim();
            let about = if reason.is_empty() {
                String::new()
            } else {
                format!(": {}", shown(reason.as_bytes()))
            };
            Err(Outcome::Fail(format!("its agent says {word}{about}")))
        }
        (None, Some(told)) => Ok(told),
        (None, None) => Err(senseless(line)),
    }
}

fn is_number(digits: &str) -> bool {
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// More than the whole weight is taken for the whole.
fn percent(digits: &str) -> Option<u8> {
    let number: u32 = digits.parse().ok().filter(|_| is_number(digits))?;
    u8::try_from(number.min(100)).ok()
}

fn senseless(line: &[u8]) -> Outcome {
    Outcome::Fail(match line {
        [] => "its agent says nothing".to_owned(),
        line => format!("its agent's answer makes no sense: {}", shown(line)),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_and_percentages_are_understood() {
        for (line, told) in [
            ("up", Told::Nothing),
            ("ready\r", Told::Nothing),
            ("75%", Told::Percent(75)),
            ("up 75%", Told::Percent(75)),
            ("ready,UP , 0%", Told::Percent(0)),
            ("200%", Told::Percent(100)),
            ("drain", Told::Drain),
            ("maint 50%", Told::Drain),
            ("50% drain # a disk is changed", Told::Drain),
            ("75% maxconn:30", Told::Percent(75)),
            ("maxconn:30", Told::Nothing),
            ("maxconn:30 drain", Told::Drain),
        ] {
            assert_eq!(judge(line.as_bytes()), Ok(told), "{line}");
        }
        for (line, why) in [
            ("down", "its agent says down"),
            ("up stopped", "its agent says stopped"),
            (
                "FAIL # the disk is full",
                "its agent says fail: \"the disk is full\"",
            ),
            ("down#\u{1b}[2J", "its agent says down: \"\\x1b[2J\""),
            ("", "its agent says nothing"),
            (" \r", "its agent's answer makes no sense: \" \\r\""),
            ("75", "its agent's answer makes no sense: \"75\""),
            (
                "up maxconn:",
                "its agent's answer makes no sense: \"up maxconn:\"",
            ),
            ("up -5%", "its agent's answer makes no sense: \"up -5%\""),
            (
                "HTTP/1.1 400 Bad Request\r",
                "its agent's answer makes no sense: \"HTTP/1.1 400 Bad Request\\r\"",
            ),
        ] {
            assert_eq!(
                judge(line.as_bytes()),
                Err(Outcome::Fail(why.to_owned())),
                "{line}"
            );
        }
    }

    proptest! {
        #[test]
        fn anything_is_harmless(line in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Err(Outcome::Fail(why)) = judge(&line) {
                prop_assert!(why.len() < 300 && !why.chars().any(char::is_control), "{why}");
            }
        }
    }
}
