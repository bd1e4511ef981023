//! The console on a pseudo-terminal, with a scripted agent behind it and somebody typing in front of it.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod stage;

use std::num::NonZero;
use std::time::Duration;

use stage::{FakeAgent, Kind, SCREEN, SERIAL, Terminal, answer, encode, find, shows};

#[test]
fn a_serial_line_of_no_size_that_never_answers_gets_24_by_80() {
    let agent = FakeAgent::well();
    let terminal = Terminal::start(SERIAL, &agent);
    assert_eq!(terminal.size(), (24, 80));
    let output = terminal.output();
    assert!(find(&output, b"\x1b[6n").is_some(), "it was asked");
    for unwanted in [&b"\x1b[?2004h"[..], b"\x1b[?2026h"] {
        assert!(find(&output, unwanted).is_none());
    }
}

#[test]
fn a_serial_line_that_answers_gets_its_size() {
    let agent = FakeAgent::well();
    let mut terminal = Terminal::start(
        Kind {
            answer: Some((50, 132)),
            ..SERIAL
        },
        &agent,
    );
    assert_eq!(terminal.size(), (50, 132));
    assert!(terminal.command("resize").contains("132 columns, 50 lines."));
}

#[test]
fn a_known_size_is_not_asked_for() {
    let agent = FakeAgent::well();
    let terminal = Terminal::start(SCREEN, &agent);
    assert!(find(&terminal.output(), b"\x1b[6n").is_none());
    assert_eq!(terminal.size(), (24, 80));
}

#[test]
fn the_banner_tells_the_state() {
    let agent = FakeAgent::well();
    let terminal = Terminal::start(SCREEN, &agent);
    let output = String::from_utf8(terminal.output()).unwrap();
    assert!(output.contains("IPVS load balancer 0.1.0"), "{output}");
    assert!(output.contains("OK. 2 services, all 2 servers up."), "{output}");
}

#[test]
fn commands_with_and_without_the_word_applctl_and_abbreviated() {
    let agent = FakeAgent::well();
    let mut terminal = Terminal::start(SERIAL, &agent);
    for line in [
        "services nginx",
        "applctl services nginx",
        "serv nginx",
        "  services   'nginx'",
    ] {
        let output = terminal.command(line);
        assert!(output.contains("172.16.0.11:30080  up"), "{line}: {output}");
        assert!(!output.contains("kube-apiserver"), "{line}: {output}");
    }
    assert!(terminal.command("config show").contains("hostname = \"lb\"\r\n"));
    assert!(terminal.command("applctl").is_empty());
    assert!(terminal.command("").is_empty());
    let json = terminal.command("status --json");
    let document: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(document["servers_up"], 2);
    let json = terminal.command("services nowhere --json");
    let document: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(document["error"].as_str().unwrap().contains("nowhere"));
}

#[test]
fn mistakes_are_explained() {
    let agent = FakeAgent::well();
    let mut terminal = Terminal::start(SERIAL, &agent);
    assert!(terminal.command("statsu").contains("did you mean `status`?"));
    assert!(terminal.command("conf shwo").contains("did you mean `show`?"));
    assert!(terminal.command("con").contains("connections, config or console"));
    assert!(
        terminal
            .command("services nowhere")
            .contains("there is no service `nowhere`")
    );
    assert!(terminal.command("log --last x").contains("takes a number"));
    assert!(terminal.command("status 'x").contains("is not closed"));
    assert!(terminal.command("exit").contains("nothing to log out of"));
    assert!(terminal.command("reboot").contains("on the appliance only"));
    assert!(terminal.command("config put ?").contains("one dot"));
    assert!(terminal.command("?").contains("poweroff"));
}

#[test]
fn tab_completes_commands_options_and_services() {
    let agent = FakeAgent::well();
    let mut terminal = Terminal::start(SERIAL, &agent);
    terminal.send("serv\t");
    terminal.expect("services ");
    terminal.send("ng\t");
    terminal.expect("nginx ");
    terminal.send("--j\t");
    terminal.expect("--json ");
    terminal.send("\r");
    terminal.expect("\"name\": \"nginx\"");
    terminal.prompt();
    terminal.send("con\t");
    terminal.expect("connections");
    terminal.expect("config");
    terminal.send("fig p\t");
    terminal.expect("config put ");
}

#[test]
fn history_goes_back() {
    let agent = FakeAgent::well();
    let mut terminal = Terminal::start(SERIAL, &agent);
    terminal.command("services nginx");
    terminal.command("version");
    terminal.send("\x1b[A\x1b[A\r");
    terminal.expect("172.16.0.11:30080");
    terminal.prompt();
}

#[test]
fn control_keys_never_end_the_console() {
    let agent = FakeAgent::well();
    let mut terminal = Terminal::start(SERIAL, &agent);
    terminal.send("poweroff\x03");
    terminal.prompt();
    terminal.send("\x04");
    terminal.expect("nothing to log out of");
    terminal.prompt();
    terminal.send("\x1a\x1c\x13\x11version\r");
    terminal.expect("Kernel");
    terminal.prompt();
    assert!(terminal.is_running());
}

#[test]
fn noise_on_the_line_does_no_harm() {
    let agent = FakeAgent::well();
    let mut terminal = Terminal::start(SERIAL, &agent);
    terminal.send(b"\xff\xfe\x80\xc3");
    terminal.send(b"\x1b[24;80R");
    terminal.send("version\r");
    terminal.expect("Kernel");
    terminal.prompt();
}

#[test]
fn commands_typed_ahead_are_all_carried_out_in_order() {
    let agent = FakeAgent::well();
    let mut terminal = Terminal::start(SERIAL, &agent);
    terminal.send("services nginx\rversion\rstatsu\rstatus\r");
    for text in [
        "172.16.0.11:30080",
        "Kernel",
        "did you mean `status`?",
        "OK. 2 services",
    ] {
        terminal.expect(text);
    }
    terminal.prompt();
}

/// A configuration as long and odd as it may be: tabs, long lines, characters of several bytes.
fn text_of(lines: usize) -> String {
    let mut text: String = (1..lines)
        .map(|n| format!("# {n}\tä€\u{1F600} [[virtual_server]] \"quoted\" \\ {n}\n"))
        .collect();
    text.push_str(&format!("# {}\n", "long".repeat(3000)));
    text
}

fn as_typed(text: &str) -> String {
    text.replace('\n', "\r")
}

#[test]
fn a_thousand_pasted_lines_arrive_whole() {
    let agent = FakeAgent::well();
    let mut terminal = Terminal::start(SERIAL, &agent);
    terminal.send("config put\r");
    terminal.expect("Ctrl-C gives up.");
    let text = text_of(1000);
    terminal.send(as_typed(&text));
    terminal.send(".\r");
    terminal.expect("1,000 lines received");
    terminal.expect("OK. Applied, 1 step.");
    terminal.prompt();
    assert!(agent.put() == [text]);
}

#[test]
fn a_paste_that_holds_the_command_and_what_follows_is_taken_apart_rightly() {
    let agent = FakeAgent::well();
    for _ in 0..3 {
        let mut terminal = Terminal::start(SERIAL, &agent);
        let text = text_of(200);
        terminal.send(format!(
            "config put\r{}.\rversion\rconfig put\rx\r.\rstatus\r",
            as_typed(&text)
        ));
        terminal.expect("200 lines received");
        terminal.expect("Kernel");
        terminal.expect("1 line received");
        terminal.expect("OK. 2 services");
        terminal.prompt();
        let put = agent.put();
        assert!(put[put.len() - 2..] == [text, "x\n".to_owned()]);
    }
}

#[test]
fn line_feeds_and_both_are_line_ends_too() {
    let agent = FakeAgent::well();
    let mut terminal = Terminal::start(SERIAL, &agent);
    terminal.send("config put\r");
    terminal.expect("Ctrl-C gives up.");
    terminal.send("a\nb\r\n\r\n.\n");
    terminal.expect("lines received");
    terminal.prompt();
    assert_eq!(agent.put(), ["a\nb\n\n"]);
}

#[test]
fn ctrl_c_gives_up_a_paste_and_its_rest_runs_nothing() {
    let agent = FakeAgent::well();
    let mut terminal = Terminal::start(SERIAL, &agent);
    terminal.send("config put\r");
    terminal.expect("Ctrl-C gives up.");
    terminal.send("hostname = \"x\"\r");
    terminal.expect("hostname");
    terminal.send("\x03");
    std::thread::sleep(Duration::from_millis(50));
    terminal.send("config apply\r.\r");
    terminal.expect("given up; nothing was changed");
    terminal.prompt();
    assert!(terminal.command("version").contains("Kernel"));
    let asked = agent.asked();
    assert!(
        asked
            .iter()
            .all(|r| matches!(r, lb_core::control::Request::Status)),
        "{asked:?}"
    );
}

#[test]
fn pasted_bytes_that_are_no_text_are_reported_with_their_place() {
    let agent = FakeAgent::well();
    let mut terminal = Terminal::start(SERIAL, &agent);
    terminal.send("config put\r");
    terminal.expect("Ctrl-C gives up.");
    terminal.send(b"# fine\rhostname = \"\xff\"\r.\r");
    terminal.expect("lb.toml:2:13");
    terminal.expect("Nothing was changed.");
    terminal.prompt();
    assert!(agent.put().is_empty());
}

#[test]
fn too_much_is_taken_in_up_to_the_dot_and_refused() {
    let agent = FakeAgent::well();
    let mut terminal = Terminal::start(SERIAL, &agent);
    terminal.send("config put\r");
    terminal.expect("Ctrl-C gives up.");
    let line = format!("# {}\r", "x".repeat(1021));
    for _ in 0..lb_core::config::MAX_BYTES / 1024 + 4 {
        terminal.send(&line);
    }
    terminal.send(".\r");
    terminal.expect("nothing was changed");
    terminal.prompt();
    assert!(terminal.command("version").contains("Kernel"));
    assert!(agent.put().is_empty());
}

#[test]
fn without_the_agent_the_console_works_and_says_why() {
    let mut agent = FakeAgent::absent();
    let mut terminal = Terminal::start(SERIAL, &agent);
    assert!(
        String::from_utf8(terminal.output())
            .unwrap()
            .contains("The agent does not answer yet")
    );
    agent.write_init_report(&lb_core::control::InitReport {
        agent_restarts: 3,
        agent_last_exit: Some("killed by SIGSEGV".into()),
        ..Default::default()
    });
    let output = terminal.command("status");
    assert!(
        output.contains("the agent is not running") && output.contains("killed by SIGSEGV"),
        "{output}"
    );
    assert!(terminal.command("version").contains("Kernel"));
    assert!(terminal.command("help").contains("config put"));
    let log = terminal.command("log --all --last 5");
    assert!(log.lines().count() >= 5, "{log}");
    assert!(terminal.command("config show").contains(&format!(
        "there is no {}",
        agent.volume().join("lb.toml").display()
    )));
    agent.arrive();
    assert!(terminal.command("status").contains("OK. 2 services"));
}

#[test]
fn an_agent_that_hangs_is_left_with_ctrl_c() {
    let agent = FakeAgent::start(|request| {
        if matches!(request, lb_core::control::Request::Gateway) {
            std::thread::sleep(Duration::from_secs(60));
        }
        encode(&answer(request))
    });
    let mut terminal = Terminal::start(SERIAL, &agent);
    terminal.send("gateway\r");
    terminal.expect("\r\n");
    std::thread::sleep(Duration::from_millis(300));
    terminal.send("\x03");
    terminal.expect("interrupted");
    terminal.prompt();
}

#[test]
fn following_the_log_ends_with_ctrl_c() {
    let agent = FakeAgent::well();
    let mut terminal = Terminal::start(SERIAL, &agent);
    terminal.send("log --all --follow --last 1\r");
    terminal.expect("\r\n");
    terminal.expect("\r\n");
    std::thread::sleep(Duration::from_millis(300));
    terminal.send("\x03");
    terminal.prompt();
    assert!(terminal.command("version").contains("Kernel"));
}

#[test]
fn colour_and_hints_where_the_terminal_has_them() {
    let agent = FakeAgent::well();
    let mut terminal = Terminal::start(
        Kind {
            colour: true,
            ..SCREEN
        },
        &agent,
    );
    terminal.send("stat");
    terminal.expect("\x1b[2mus [--json]");
    terminal.send("\x03");
    terminal.prompt();
    terminal.send("status\r");
    terminal.expect("\x1b[32mOK.");
    terminal.prompt();
    let size = |n| NonZero::new(n).unwrap();
    let mut screen = vt100::Parser::new(size(24), size(80), 0);
    screen.process(&terminal.output());
    assert!(
        screen
            .screen()
            .contents()
            .contains("Configuration   /config/lb.toml")
    );
}

#[test]
fn the_console_ends_when_its_terminal_goes() {
    let agent = FakeAgent::well();
    let terminal = Terminal::start(SERIAL, &agent);
    assert!(!terminal.hang_up().success());
}

#[test]
fn a_configuration_pasted_at_the_prompt_is_recognised() {
    let agent = FakeAgent::well();
    let mut terminal = Terminal::start(SERIAL, &agent);
    assert!(
        terminal
            .command("[[interface]]")
            .contains("type `config put` first")
    );
    assert!(terminal.command("# a remark").trim().is_empty());
}

#[test]
fn put_with_json_shows_the_document_only() {
    let agent = FakeAgent::well();
    let mut terminal = Terminal::start(SERIAL, &agent);
    terminal.send("config put --json\r");
    terminal.expect("\r\n");
    terminal.send("hostname = \"x\"\r.\r");
    let output = terminal.expect(&stage::prompt());
    let document = output
        .strip_suffix(&stage::prompt())
        .unwrap()
        .trim_end_matches("\r\x1b[K");
    let document: serde_json::Value = serde_json::from_str(document).unwrap();
    assert_eq!(document["applied"], true);
    assert_eq!(agent.put(), ["hostname = \"x\"\n"]);
}

/// The first line of the list, which has the marker at first.
fn first(screen: &str) -> &str {
    screen.lines().find(|l| l.starts_with('>')).unwrap_or_default()
}

#[test]
fn top_is_entered_sorted_opened_and_left() {
    let agent = FakeAgent::well();
    let mut terminal = Terminal::start(SERIAL, &agent);
    let asked = agent.asked().len();
    terminal.send("top --interval 1s\r");
    shows(&terminal, "rates of four seconds, the busiest first", |s| {
        first(s).starts_with(">nginx") && first(s).contains("10.0 k")
    });
    terminal.send("n");
    shows(&terminal, "by name", |s| first(s).starts_with(">kube-apiserver"));
    terminal.send("\x1b[B");
    shows(&terminal, "the marker moves", |s| first(s).starts_with(">nginx"));
    terminal.send("\r");
    shows(&terminal, "the servers of nginx", |s| {
        first(s).starts_with(">172.16.0.11:30080")
    });
    terminal.send("\x1b");
    shows(&terminal, "back, by a lone Escape", |s| {
        first(s).starts_with(">nginx")
    });
    // A terminal that does not answer is drawn anew all the same.
    terminal.send("\x0c");
    shows(&terminal, "the same after Ctrl-L", |s| {
        first(s).starts_with(">nginx")
    });
    for request in &agent.asked()[asked..] {
        assert!(
            matches!(request, lb_core::control::Request::Counters { .. }),
            "only what is shown is asked for: {request:?}"
        );
    }
    terminal.send("q");
    terminal.prompt();
    shows(&terminal, "an empty screen with the prompt", |s| {
        s.trim() == stage::prompt().trim()
    });
    assert!(terminal.command("version").contains("Kernel"));
}

#[test]
fn top_is_left_with_ctrl_c_and_survives_the_agent() {
    let mut agent = FakeAgent::absent();
    let mut terminal = Terminal::start(SERIAL, &agent);
    terminal.send("top\r");
    shows(&terminal, "why there is nothing to see", |s| {
        s.contains("the agent is not running")
    });
    agent.arrive();
    shows(&terminal, "services as soon as there is an agent", |s| {
        s.contains(">kube-apiserver") && s.contains("q quit")
    });
    // What is typed ahead of the prompt is not lost.
    terminal.send("\x03");
    terminal.prompt();
    assert!(terminal.command("version").contains("Kernel"));
    assert!(
        terminal
            .command("top nowhere --once")
            .contains("there is no service")
    );
}

#[test]
fn top_sends_only_what_changes() {
    let agent = FakeAgent::start(|request| match request {
        lb_core::control::Request::Counters { .. } => {
            let mut report = stage::counters(None);
            report.services.iter_mut().for_each(|s| s.traffic = None);
            encode(&lb_core::control::Response::Counters(report))
        }
        other => encode(&answer(other)),
    });
    let mut terminal = Terminal::start(SCREEN, &agent);
    terminal.send("top --interval 1\r");
    terminal.expect("q quit");
    shows(&terminal, "the load, known since the second reading", |s| {
        s.contains("cpu 20%")
    });
    let (before, asked) = (terminal.output().len(), agent.asked().len());
    while agent.asked().len() < asked + 3 {
        std::thread::sleep(Duration::from_millis(20));
    }
    let sent = terminal.output().len() - before;
    assert!(
        sent < 200,
        "{sent} bytes for three readings in which only the time changed"
    );
    terminal.send("q");
    terminal.prompt();
}

#[test]
fn what_is_pasted_into_import_comes_back_as_a_configuration() {
    let agent = FakeAgent::absent();
    let mut terminal = Terminal::start(SERIAL, &agent);
    terminal.send("imp\t");
    terminal.expect("import ");
    terminal.send("h\t\r");
    terminal.expect("one dot");
    terminal.send("listen web\rmode tcp\rbind 203.0.113.1:80\rserver a 203.0.113.9:80 check\rcookie x\r.\r");
    terminal.expect("name = \"web\"");
    terminal.expect("address = \"203.0.113.9:80\"");
    terminal.expect("2. haproxy.cfg line 5: not taken over: cookie");
    terminal.expect("`config put` takes the file");
    terminal.prompt();
    let help = terminal.command("import keepalived ?");
    assert!(help.contains("import keepalived [FILE]"), "{help:?}");
}

#[test]
fn a_trial_is_told_before_every_prompt_but_not_in_a_document() {
    let agent = FakeAgent::well();
    let mut terminal = Terminal::start(SERIAL, &agent);
    assert!(!terminal.command("version").contains("PENDING"));
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime).tv_sec;
    let mark = agent.socket.with_file_name("pending");
    std::fs::write(&mark, format!("{}000\n", now + 90)).unwrap();
    let shown = terminal.command("version");
    assert!(
        shown.contains("PENDING") && shown.contains("config confirm"),
        "{shown}"
    );
    assert!(!terminal.command("services --json").contains("PENDING"));
    // The deadline has gone by, and whoever wrote it too.
    std::fs::write(&mark, format!("{}000\n", now - 1)).unwrap();
    assert!(!terminal.command("version").contains("PENDING"));
    terminal.command("config apply --confirm 2m");
    let asked = agent.asked().into_iter().rev();
    let by = asked.filter_map(|request| match request {
        lb_core::control::Request::ConfigApply { terms } => Some(terms.by),
        _ => None,
    });
    // The one in front of the operator, and not the line editor's own.
    let device = terminal.device.trim_start_matches("/dev/");
    assert_eq!(by.collect::<Vec<_>>(), [format!("console {device}")]);
}

#[test]
fn one_key_is_set_added_and_deleted_in_the_text_of_the_file() {
    let agent = FakeAgent::well();
    let mut terminal = Terminal::start(SERIAL, &agent);
    let shown = terminal.command("config set hostname box");
    assert!(
        shown.contains("-hostname = \"lb\"") && shown.contains("+hostname = \"box\""),
        "{shown}"
    );
    assert!(shown.contains("OK. Applied"), "{shown}");
    assert_eq!(agent.put(), ["hostname = \"box\"\n"]);
    // Only in the place of the text that it was made of.
    let over = agent.asked().into_iter().find_map(|request| match request {
        lb_core::control::Request::ConfigPut { terms, .. } => terms.over,
        _ => None,
    });
    assert_eq!(over, Some(lb_core::config::fingerprint(b"hostname = \"lb\"\n")));
    let shown = terminal.command("config add interface name=eth0 addresses=192.168.0.1/24 --dry-run");
    assert!(
        shown.contains("+[[interface]]") && shown.contains("+addresses = [\"192.168.0.1/24\"]"),
        "{shown}"
    );
    let shown = terminal.command("config delete timeouts.tcp");
    assert!(shown.contains("nothing to delete"), "{shown}");
    let shown = terminal.command("config set timeouts.tcp soon");
    assert!(shown.contains("it takes whole seconds"), "{shown}");
    let shown = terminal.command("config set hostname -- -x");
    assert!(
        shown.contains("is no host name") && shown.contains("Nothing was changed"),
        "{shown}"
    );
    assert_eq!(agent.put().len(), 1);
    terminal.send("config set timeouts.tcp_\t");
    terminal.expect("timeouts.tcp_fin ");
}

#[test]
fn a_check_by_hand_is_told_step_by_step() {
    let agent = FakeAgent::well();
    let mut terminal = Terminal::start(SERIAL, &agent);
    let text = terminal.command("probe http 127.0.0.1:80 path=/x timeout=1s");
    assert!(text.contains("http to 127.0.0.1:80, within"), "{text}");
    assert!(text.contains("this machine itself has the address"), "{text}");
    assert!(
        text.contains("connect     TCP connection to 127.0.0.1:80"),
        "{text}"
    );
    assert!(text.contains("passed after 1.2 ms"), "{text}");
    assert!(
        terminal
            .command("probe http 127.0.0.1:80 status=500")
            .contains("failed after")
    );
    assert!(terminal.command("probe http").contains("needs SERVER"));
    let json = terminal.command("probe http 127.0.0.1:80 --json");
    let document: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(document["verdict"], "pass");
    assert_eq!(document["route"]["kind"], "local");
}

#[test]
fn what_takes_the_last_server_or_a_file_away_is_asked() {
    let agent = FakeAgent::well();
    let mut terminal = Terminal::start(SERIAL, &agent);
    terminal.send("drain 172.16.0.12\r");
    terminal.expect("its clients would be refused.");
    terminal.expect("all the same?");
    terminal.expect("> ");
    terminal.send("n\r");
    terminal.expect("nothing was changed");
    terminal.prompt();
    assert!(
        !terminal
            .command("drain 172.16.0.12 --yes")
            .contains("all the same?")
    );
    assert!(!terminal.command("drain 172.16.0.11").contains("all the same?"));
    terminal.send("config remove old.pem\r");
    terminal.expect("Remove old.pem");
    terminal.expect("> ");
    terminal.send("\r");
    terminal.expect("nothing was removed");
    terminal.prompt();
    terminal.send("config remove old.pem\r");
    terminal.expect("> ");
    terminal.send("yes\r");
    terminal.expect("old.pem is removed");
    terminal.prompt();
    let files = terminal.command("config files");
    assert!(
        files.contains("lb.toml: ca of service nginx (line 12)") && files.contains("unused"),
        "{files}"
    );
    for (word, says) in [
        ("history", "config history"),
        ("abort", "config abort"),
        ("shutdown", "poweroff"),
        ("ls", "config files"),
    ] {
        let shown = terminal.command(word);
        assert!(
            shown.contains("there is no command") && shown.contains(says),
            "{shown}"
        );
    }
}
