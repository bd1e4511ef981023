//! Checks by hand, asked of the whole agent: what lb.toml says of a server, or what the words say. They count for nothing.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod stage;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use lb_core::control::{HealthWord, ProbeReport, ProbeVerdict, Request, Response};
use stage::Appliance;

const CONFIG: &str = r#"
[[interface]]
name = "eth0"
addresses = ["192.168.0.1/24"]

[[interface]]
name = "eth1"
addresses = ["172.16.0.254/24"]

[[virtual_server]]
name = "web"
listen = "192.168.0.1:80"
check = { type = "http", path = "/health", interval = "1h", timeout = "200ms", retries = 0 }

[[virtual_server.real_server]]
address = "172.16.0.11:8080"

[[virtual_server.real_server]]
address = "172.16.0.11:8081"

[[virtual_server.real_server]]
address = "172.16.0.12:8080"
check = "none"
"#;

fn ask(appliance: &Appliance, line: &str) -> Result<ProbeReport, String> {
    let words = line.split(' ').map(str::to_owned).collect();
    match appliance.ask(&Request::Probe {
        words,
        only_tell: false,
        place: 0,
    }) {
        Response::Probe(report) => Ok(report),
        Response::Error { message } => Err(message),
        other => panic!("{other:?}"),
    }
}

fn server() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        }
    });
    address
}

fn health(appliance: &Appliance) -> Vec<HealthWord> {
    match appliance.ask(&Request::Services { name: None }) {
        Response::Services(report) => {
            let servers = report.services.into_iter().flat_map(|service| service.servers);
            servers.map(|server| server.health).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn words_say_what_is_asked_of_any_server() {
    let appliance = Appliance::start(CONFIG);
    let target = server();
    let report = ask(&appliance, &format!("http {target} status=404 timeout=20s")).unwrap();
    assert_eq!(
        (report.verdict, report.kind.as_str()),
        (ProbeVerdict::Pass, "http")
    );
    assert_eq!((report.target, report.service), (target.to_string(), None));
    assert_eq!(report.source, Some(Ipv4Addr::LOCALHOST.into()));
    assert!(
        report
            .steps
            .iter()
            .any(|step| step.lines[0] == "HTTP/1.1 404 Not Found")
    );
    let report = ask(&appliance, &format!("http {target} timeout=20s")).unwrap();
    assert_eq!(report.verdict, ProbeVerdict::Fail);
    assert_eq!(report.reason, "status 404 instead of 200-299");
    // Half-open, as the agent's own.
    let report = ask(&appliance, &format!("tcp {target} timeout=20s")).unwrap();
    assert_eq!(
        (report.verdict, report.reason.as_str()),
        (ProbeVerdict::Pass, "SYN-ACK")
    );
    assert_eq!(report.steps.len(), 2, "{:?}", report.steps);
    let report = ask(&appliance, &format!("tcp {target} close=fin timeout=20s")).unwrap();
    assert_eq!(report.reason, "connected");
    let gone = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap();
    let report = ask(&appliance, &format!("tcp {gone} timeout=20s")).unwrap();
    assert_eq!(
        (report.verdict, report.reason.as_str()),
        (ProbeVerdict::Fail, "connection refused")
    );
}

#[test]
fn a_service_says_what_is_asked_of_its_server_and_nothing_is_counted() {
    let appliance = Appliance::start(CONFIG);
    // The first checks, an hour before the next.
    let before = loop {
        let health = health(&appliance);
        if health[0] != HealthWord::Unproven && health[1] != HealthWord::Unproven {
            break health;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    for _ in 0..3 {
        let report = ask(&appliance, "web 172.16.0.11:8080").unwrap();
        assert_eq!((report.kind.as_str(), report.timeout_ms), ("http", 200));
        assert_eq!(report.service.as_deref(), Some("web"));
        assert_eq!(report.server.as_deref(), Some("172.16.0.11:8080"));
        assert_eq!(report.health, Some(before[0]));
        assert_ne!(report.verdict, ProbeVerdict::Pass);
    }
    assert_eq!(health(&appliance), before);
}

#[test]
fn what_is_not_understood_is_answered_with_the_remedy() {
    let appliance = Appliance::start(CONFIG);
    for (line, expected) in [
        ("web", "needs SERVICE SERVER"),
        ("web 172.16.0.11", "several servers at 172.16.0.11; give the port"),
        (
            "web 172.16.0.19",
            "its servers are: 172.16.0.11:8080, 172.16.0.11:8081",
        ),
        (
            "web 172.16.0.12",
            "is not checked (type \"none\"); `probe tcp 172.16.0.12:8080`",
        ),
        ("web 172.16.0.11:8080 path=/", "has its keys in lb.toml"),
        (
            "wbe 172.16.0.11:8080",
            "no service is called `wbe`, and no type of check; did you mean `web`?",
        ),
        ("htpt 127.0.0.1:80", "did you mean `http`?"),
        ("http 127.0.0.1:80 pth=/", "did you mean `path`?"),
        ("none 127.0.0.1:80", "asks nothing"),
        ("tcp 127.0.0.1:80 source=10.0.0.1", "192.168.0.1"),
    ] {
        let message = ask(&appliance, line).unwrap_err();
        assert!(message.contains(expected), "{line}: {message}");
    }
}

#[test]
fn a_server_with_several_checks_has_each_of_them_made_and_says_which_decides() {
    let several = "address = \"172.16.0.11:8081\"\ncheck = [{ type = \"http\", port = 8082, interval = \"1h\" }, { interval = \"1h\" }]\n";
    let appliance = Appliance::start(&CONFIG.replace("address = \"172.16.0.11:8081\"\n", several));
    let of = |place| {
        let words = ["web", "172.16.0.11:8081"].map(str::to_owned).into();
        let asked = appliance.ask(&Request::Probe {
            words,
            only_tell: true,
            place,
        });
        match asked {
            Response::Probe(report) => (report.of_several, report.kind, report.target),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        of(0),
        (Some((1, 2)), "http".to_owned(), "172.16.0.11:8082".to_owned())
    );
    assert_eq!(
        of(1),
        (Some((2, 2)), "tcp".to_owned(), "172.16.0.11:8081".to_owned())
    );
    let Response::Services(report) = appliance.ask(&Request::Services { name: None }) else {
        panic!("it is another report");
    };
    let server = &report.services[0].servers[1];
    let several = server.several.as_ref().unwrap();
    let labels: Vec<&str> = several.checks.iter().map(|one| one.check.as_str()).collect();
    assert_eq!(labels, ["http :8082", "tcp"]);
    assert!(labels.contains(&several.decides.as_str()) && several.passing < 2);
    assert!(report.services[0].servers[0].several.is_none());
}
