//! What words become, and what is said of those that become nothing.

use super::*;

#[test]
fn a_long_word_is_not_repeated_whole() {
    assert_eq!(shown("status"), "status");
    assert_eq!(shown(&"ä".repeat(41)), format!("{}...", "ä".repeat(40)));
}

fn words(line: &str) -> Vec<String> {
    crate::applctl::line::split(line).unwrap()
}

fn run(line: &str) -> Invocation {
    match parse(&words(line)) {
        Ok(Parsed::Run(invocation)) => invocation,
        other => panic!("{line}: {other:?}"),
    }
}

fn fault(line: &str) -> String {
    match parse(&words(line)) {
        Err(error) => error.to_string(),
        Ok(parsed) => panic!("{line}: {parsed:?}"),
    }
}

#[test]
fn commands_arguments_and_options() {
    assert_eq!(run("status").path, "status");
    assert_eq!(run("applctl status").path, "status");
    assert_eq!(run("conf sh").path, "config show");
    assert_eq!(run("serv nginx --json").arguments, ["nginx"]);
    assert!(run("serv --json nginx").json());
    assert_eq!(run("log --last 3 --last=5").number("--last"), Some(5));
    assert!(run("log --fol").has("--follow"));
    let put = run("config put --confirm 1.5m --comment 'two words'");
    assert_eq!(put.time("--confirm"), Some(Duration::from_secs(90)));
    assert_eq!(put.text("--comment"), Some("two words"));
    assert_eq!(run("config diff 12 14").arguments, ["12", "14"]);
    assert_eq!(run("services -- --odd").arguments, ["--odd"]);
    assert_eq!(run("help config put").arguments, ["config", "put"]);
    assert!(matches!(parse(&[]), Ok(Parsed::Nothing)));
    assert!(matches!(parse(&words("applctl")), Ok(Parsed::Nothing)));
}

#[test]
fn a_question_mark_asks_for_help() {
    for line in ["config put ?", "config put --help", "config put -h --json"] {
        assert!(
            matches!(parse(&words(line)), Ok(Parsed::Help(p)) if p == ["config", "put"]),
            "{line}"
        );
    }
    assert!(matches!(parse(&words("?")), Ok(Parsed::Help(p)) if p.is_empty()));
}

#[test]
fn every_usage_error_says_what_to_do() {
    for (line, expected) in [
        (
            "statsu",
            "there is no command `statsu`, did you mean `status`? `help` lists all commands",
        ),
        (
            "frobnicate",
            "there is no command `frobnicate`; `help` lists all commands",
        ),
        (
            "[[interface]]",
            "`[[interface]]` is no command; to paste lb.toml, type `config put` first",
        ),
        (
            "con",
            "`con` can be connections, config or console; type more of it",
        ),
        (
            "config",
            "`config` needs one of show, check, diff, edit, set, add, delete, put, apply, export, import, confirm, abort, history, rollback, files or remove after it",
        ),
        (
            "config shwo",
            "`config` has no `shwo`, did you mean `show`? it has show, check, diff, edit, set, add, delete, put, apply, export, import, confirm, abort, history, rollback, files or remove",
        ),
        (
            "status --jsno",
            "`status` has no option `--jsno`, did you mean `--json`? its options are --json",
        ),
        ("clear --now", "`clear` has no option `--now`; it has no options"),
        (
            "log --last",
            "`--last` needs a number after it, as in `--last 50`",
        ),
        (
            "log --last many",
            "`--last` takes a number from 0 to 1000000, not `many`",
        ),
        (
            "log --last -1",
            "`--last` takes a number from 0 to 1000000, not `-1`",
        ),
        ("status --json=1", "`--json` takes no value"),
        (
            "config apply --confirm",
            "`--confirm` needs a time after it, as in `--confirm 2m`",
        ),
        (
            "config apply --confirm 2h",
            "`--confirm` takes a time from 1s to 1h, such as 30s or 2m, not `2h`",
        ),
        (
            "config put --confirm=120",
            "`--confirm` takes a time from 1s to 1h, such as 30s or 2m, not `120`",
        ),
        (
            "config put --comment",
            "`--comment` needs a text after it, as in `--comment \"new gateway\"`",
        ),
        (
            "config rollback last",
            "`config rollback` takes a number of `config history`, `returned`, `pending` or `sample`, not `last`",
        ),
        (
            "config rollback",
            "`config rollback` needs N: config rollback N; `help config rollback` says more",
        ),
        (
            "probe 172.16.0.11:80",
            "`probe` needs to know what to ask 172.16.0.11:80: `probe SERVICE 172.16.0.11:80` as lb.toml says, or `probe tcp 172.16.0.11:80`, or another type of check",
        ),
        (
            "probe nginx",
            "`probe` needs SERVER: probe WHAT SERVER [KEY=VALUE...]; `help probe` says more",
        ),
        ("status now", "`status` takes no argument; `now` is too much"),
        (
            "services a b",
            "`services` takes one NAME; `b` is too much; one with blanks goes in single quotes: '...'",
        ),
        ("poweroff now", "`poweroff` takes no argument; `now` is too much"),
        (
            "power",
            "there is no command `power`, did you mean `poweroff`? `help` lists all commands",
        ),
    ] {
        assert_eq!(fault(line), expected, "{line}");
    }
}

/// What somebody types who knows other machines; none of it is a command here, and each hint names one that there is.
#[test]
fn words_of_other_machines_are_told_what_says_the_same() {
    for (word, instead) in FOREIGN {
        assert!(ROOT.child(word).is_none(), "{word} is a command");
        let error = parse(&[word.to_owned(), "x".to_owned()]).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("there is no command `{word}` here: {instead}")
        );
        let command: Vec<String> = instead
            .split('`')
            .nth(1)
            .unwrap()
            .split(' ')
            .map(str::to_owned)
            .collect();
        assert!(command_of(&command[..1]).is_ok(), "{instead}");
    }
}
