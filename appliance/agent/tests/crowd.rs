//! More checks than may be under way at once: no more are, and each gets its turn.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

#[path = "stage/isolated.rs"]
mod isolated;
mod stage;

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use isolated::isolated;
use lb_core::control::{HealthWord, Request, Response};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use stage::Appliance;

const SERVERS: usize = 1_100;
const AT_ONCE: usize = 1_024;

fn config() -> String {
    let mut text = r#"
[[interface]]
name = "eth0"
addresses = ["192.168.0.1/24"]

[[interface]]
name = "eth1"
addresses = ["172.16.0.254/16"]

[[virtual_server]]
name = "web"
listen = "192.168.0.1:80"
check = { type = "http", interval = "2s", timeout = "1m", retries = 0 }
"#
    .to_owned();
    for server in 0..SERVERS {
        let (third, last) = (1 + server / 250, 1 + server % 250);
        let server = format!("\n[[virtual_server.real_server]]\naddress = \"172.16.{third}.{last}:8080\"\n");
        text.write_str(&server).unwrap();
    }
    text
}

/// Each connection has two ends here.
fn allow_open_files() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, limit).unwrap();
}

/// All servers in one: it accepts all connections, and says nothing.
fn listen() -> Arc<Mutex<Vec<TcpStream>>> {
    let mut ip = Command::new("ip");
    let added = ip.args(["addr", "add", "172.16.0.1/16", "dev", "lo"]).status();
    assert!(added.unwrap().success(), "{ip:?}");
    let listener = TcpListener::bind("0.0.0.0:8080").unwrap();
    rustix::net::listen(&listener, 4_096).unwrap();
    let waiting = Arc::new(Mutex::new(Vec::new()));
    let accepted = waiting.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            accepted.lock().unwrap().push(stream.unwrap());
        }
    });
    waiting
}

fn up(appliance: &Appliance) -> usize {
    match appliance.ask(&Request::Services { name: None }) {
        Response::Services(report) => {
            let servers = report.services.iter().flat_map(|service| &service.servers);
            servers.filter(|server| server.health == HealthWord::Up).count()
        }
        other => panic!("{other:?}"),
    }
}

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "not within 30 s: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn so_many_are_under_way_and_the_others_come_after_them() {
    isolated("so_many_are_under_way_and_the_others_come_after_them", || {
        allow_open_files();
        let waiting = listen();
        let appliance = Appliance::start(&config());
        eventually("as many wait as may", || waiting.lock().unwrap().len() == AT_ONCE);
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(waiting.lock().unwrap().len(), AT_ONCE);
        assert_eq!(up(&appliance), 0);
        eventually("all servers are up", || {
            for mut stream in std::mem::take(&mut *waiting.lock().unwrap()) {
                let _ = stream.read(&mut [0; 1_024]);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            }
            up(&appliance) == SERVERS
        });
    });
}
