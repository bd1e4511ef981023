//! The rescue prompt: what can be typed when no console program can work, and the texts that it answers with.
//! Pure: the machine reads the lines and carries out the commands.

use lb_core::control::StageReport;

use crate::fold::fold;

pub const PROMPT: &str = "rescue> ";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Nothing,
    Why,
    Stages,
    Log,
    Retry,
    Continue,
    Reboot,
    PowerOff,
    Help,
    Unknown(String),
}

pub fn parse(line: &str) -> Command {
    match line.trim().to_ascii_lowercase().as_str() {
        "" => Command::Nothing,
        "why" => Command::Why,
        "stages" => Command::Stages,
        "log" => Command::Log,
        "retry" => Command::Retry,
        "continue" => Command::Continue,
        "reboot" => Command::Reboot,
        "poweroff" => Command::PowerOff,
        "help" | "?" => Command::Help,
        other => Command::Unknown(printable(other)),
    }
}

pub const HELP: &str = "\
why        what failed
stages     the stages of this boot
log        the last lines of the kernel's log
retry      run the failed stage again
continue   go on without it
reboot     restart the machine
poweroff   switch it off
help       this list
";

/// What a seat shows when it falls into rescue.
pub fn banner(reason: &str) -> String {
    format!("\n{}\n*** `help` lists what can be typed.\n", headline(reason))
}

/// Its first lines, which are no secret.
pub fn headline(reason: &str) -> String {
    fold(&format!("*** This machine needs help: {reason}"))
}

pub fn unknown(word: &str) -> String {
    format!("there is no command {word:?} here; `help` lists what there is\n")
}

pub fn why(reason: &str, problems: &[String]) -> String {
    let others = problems.iter().filter(|problem| !problem.contains(reason));
    std::iter::once(reason.to_owned())
        .chain(others.cloned())
        .map(|line| line + "\n")
        .collect()
}

pub fn stages(stages: &[StageReport]) -> String {
    if stages.is_empty() {
        return "no stage has ended yet\n".to_owned();
    }
    let line = |stage: &StageReport| {
        let result = stage
            .failed
            .as_deref()
            .map_or("ok".to_owned(), |why| format!("FAILED: {why}"));
        let at = stage.at_ms as f64 / 1000.0;
        format!("[{at:6.2}] {} ({} ms) {result}\n", stage.name, stage.took_ms)
    };
    stages.iter().map(line).collect()
}

/// Without control characters, and short: it goes back to a terminal.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_of_the_help_is_understood() {
        for line in HELP.lines() {
            let word = line.split_whitespace().next().unwrap();
            assert!(
                !matches!(parse(word), Command::Unknown(_) | Command::Nothing),
                "{word}"
            );
        }
        assert_eq!(parse("  Retry \r"), Command::Retry);
        assert_eq!(parse("\t"), Command::Nothing);
    }

    #[test]
    fn what_is_not_understood_is_given_back_without_harm() {
        let Command::Unknown(word) = parse("\x1b[2Jrm -rf / --no-preserve-root and a lot more of it") else {
            panic!("understood");
        };
        assert_eq!(word, "[2jrm -rf / --no-preserve-root and a lot");
        assert!(unknown(&word).contains("`help`"));
    }

    #[test]
    fn the_reason_comes_first_and_once() {
        let problems = [
            "stage Mounts failed: EIO".to_owned(),
            "the clock was wrong".to_owned(),
        ];
        assert_eq!(why("EIO", &problems), "EIO\nthe clock was wrong\n");
    }

    #[test]
    fn stages_are_listed_with_their_reasons() {
        let failed = StageReport {
            name: "Mounts".into(),
            at_ms: 2310,
            took_ms: 4,
            failed: Some("EIO".into()),
        };
        let done = StageReport {
            name: "Console".into(),
            at_ms: 2400,
            took_ms: 1,
            failed: None,
        };
        assert_eq!(
            stages(&[failed, done]),
            "[  2.31] Mounts (4 ms) FAILED: EIO\n[  2.40] Console (1 ms) ok\n"
        );
        assert_eq!(stages(&[]), "no stage has ended yet\n");
    }
}
