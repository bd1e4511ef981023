//! The questions, answered well and badly.

use super::*;

fn setup(cards: &[&str]) -> Setup {
    let card = |name: &&str| Card {
        name: (*name).to_owned(),
        mac: None,
        state: "down".to_owned(),
        speed: None,
    };
    Setup::new(cards.iter().map(card).collect())
}

fn answer_all(setup: &mut Setup, lines: &[&str]) {
    for line in lines {
        let question = setup.question().unwrap();
        assert_eq!(setup.answer(line), Ok(()), "{question:?} {line:?}");
    }
}

#[test]
fn two_interfaces_and_a_service() {
    let mut setup = setup(&["eth0", "eth1"]);
    answer_all(
        &mut setup,
        &[
            "",
            "192.168.0.1/24",
            "192.168.0.254",
            "2",
            "172.16.0.254/24",
            "",
            "web",
            "",
            "172.16.0.11:30080, 172.16.0.12:30080",
            "",
        ],
    );
    assert_eq!(setup.question(), None);
    assert_eq!(
        setup.text(),
        r#"[[interface]]
name = "eth0"
addresses = ["192.168.0.1/24"]
gateway = "192.168.0.254"

[[interface]]
name = "eth1"
addresses = ["172.16.0.254/24"]

[[masquerade]]
from = "172.16.0.0/24"
out = "eth0"

[[virtual_server]]
name = "web"
listen = "192.168.0.1:80"
check = { type = "tcp" }

[[virtual_server.real_server]]
address = "172.16.0.11:30080"

[[virtual_server.real_server]]
address = "172.16.0.12:30080"
"#
    );
    assert!(config::parse(&setup.text()).is_ok());
    let note = setup.note().unwrap();
    assert!(note.contains("default gateway has to be 172.16.0.254"), "{note}");
}

#[test]
fn one_interface_and_nothing_else() {
    let mut setup = setup(&["ens3"]);
    answer_all(&mut setup, &["ens3", "2001:db8::1/64", "none", "", "none"]);
    assert_eq!(setup.question(), None);
    assert_eq!(
        setup.text(),
        "[[interface]]\nname = \"ens3\"\naddresses = [\"2001:db8::1/64\"]\n"
    );
    assert_eq!(setup.note(), None);
    setup.answer("back").unwrap();
    answer_all(&mut setup, &["web", "", "[2001:db8::2]:80", ""]);
    let note = setup.note().unwrap();
    assert!(
        note.starts_with("ens3 is on both sides") && note.contains("it has to be 2001:db8::1."),
        "{note}"
    );
}

#[test]
fn a_wrong_answer_is_refused_where_it_was_given() {
    let mut setup = setup(&["eth0", "eth1"]);
    let mut refuse = |line: &str, part: &str, then: &str| {
        let question = setup.question().unwrap();
        let why = setup.answer(line).unwrap_err();
        assert!(why.contains(part), "{question:?} {line:?}: {why}");
        assert_eq!(setup.question().unwrap(), question);
        setup.answer(then).unwrap();
    };
    refuse("eth7", "there are eth0, eth1", "eth0");
    refuse("192.168.0.1", "prefix length", "192.168.0.1/24");
    refuse("10.0.0.1", "gateway", "192.168.0.254");
    refuse("3", "no such interface", "eth1");
    refuse("", "needs an answer", "172.16.0.254/24");
    refuse("maybe", "yes or no", "no");
    setup.answer("web").unwrap();
    let mut refuse = |line: &str, part: &str, then: &str| {
        let why = setup.answer(line).unwrap_err();
        assert!(why.contains(part), "{line:?}: {why}");
        setup.answer(then).unwrap();
    };
    refuse("192.168.0.1", "port", "192.168.0.1:80");
    refuse("172.16.0.11", "port", "172.16.0.11:80");
    refuse("ping", "tcp, http or https", "http");
}

#[test]
fn back_is_the_question_before_with_what_was_answered_there() {
    let mut setup = setup(&["eth0", "eth1"]);
    assert!(setup.answer("back").is_err());
    let mut seen = Vec::new();
    for line in [
        "eth1",
        "10.0.0.1/8 10.0.0.2/8",
        "none",
        "eth0",
        "172.16.0.1/16",
        "no",
        "db",
        "10.0.0.2:5432",
    ] {
        seen.push((setup.question().unwrap().text, setup.text(), line));
        setup.answer(line).unwrap();
    }
    while let Some((question, text, line)) = seen.pop() {
        setup.answer("back").unwrap();
        let again = setup.question().unwrap();
        assert_eq!((again.text, setup.text()), (question, text));
        assert_eq!(again.default.as_deref(), Some(line));
    }
    assert!(setup.answer("back").is_err());
    // What does not fit any more is not offered again.
    answer_all(&mut setup, &["", "10.0.0.9/8", "", "", "", "", ""]);
    let question = setup.question().unwrap();
    assert_eq!(question.default.as_deref(), Some("10.0.0.9:80"));
}

#[test]
fn an_interface_has_several_addresses_and_a_service_one_of_them() {
    let mut setup = setup(&["eth0", "eth1"]);
    answer_all(&mut setup, &["", "192.168.0.1/24 192.168.0.2/24", "", "eth1"]);
    assert_eq!(setup.answer(" , "), Err("this needs an answer".to_owned()));
    answer_all(
        &mut setup,
        &[
            "172.16.0.254/24, 172.16.0.253/24,10.0.0.1/8",
            "yes",
            "web",
            "192.168.0.2:80",
            "172.16.0.11:80",
            "https",
        ],
    );
    let text = setup.text();
    for part in [
        "addresses = [\"192.168.0.1/24\", \"192.168.0.2/24\"]\n",
        "addresses = [\"172.16.0.254/24\", \"172.16.0.253/24\", \"10.0.0.1/8\"]\n",
        "listen = \"192.168.0.2:80\"\ncheck = { type = \"https\", verify = false }\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(
        text.matches("[[masquerade]]").count(),
        2,
        "each network once: {text}"
    );
    assert!(config::parse(&text).is_ok(), "{text}");
    let note = setup.note().unwrap();
    assert!(
        note.contains("has to be 172.16.0.254 or 172.16.0.253 or 10.0.0.1,"),
        "{note}"
    );
}

#[test]
fn what_is_typed_stays_text() {
    let mut setup = setup(&["eth0"]);
    answer_all(&mut setup, &["", "192.168.0.1/24", "", ""]);
    for name in ["a\" \\ b", "my service"] {
        let why = setup.answer(name).unwrap_err();
        assert!(why.contains("name"), "{why}");
    }
}
