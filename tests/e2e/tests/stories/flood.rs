//! A flood of connections that nobody means, from addresses that nobody has, beside a client that means it; and one of answers to checks that
//! nobody has made.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use lb_e2e::config::{QUICK, scenario};
use lb_e2e::{Peers, Scene, Setting, Start};
use lb_lab::LabError;
use lb_lab::command::run;
use lb_lab::load::{Client, Program, Server};
use lb_lab::story::Told;
use serde_json::Value;

use crate::rows::settle;

const PLAIN: &str = "192.168.0.1:8080";
const PROVED: &str = "192.168.0.1:8081";
const SERVERS: [(&str, &str); 2] = [("worker01", "172.16.0.11:8080"), ("worker02", "172.16.0.12:8081")];
/// So many SYNs in so many seconds. What an emulated card loses of them when the machine is busy is not many.
const SYNS: u32 = 30_000;
const SECONDS: u32 = 8;
/// Of the flood, in IPVS's table at its end.
const ARRIVED: u64 = 15_000;
/// A half-open connection takes 320 bytes.
const LEAST_BYTES: u64 = ARRIVED * 300;
/// A flood that leaves nothing behind takes less than what a machine's free memory moves by itself.
const MOST_BYTES: u64 = 2 << 20;
/// A SYN that is lost is sent again after 1, 3 and 7 seconds.
const PATIENCE: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_secs(30);
/// An emulator that has to catch up with a flood.
const LATER: Duration = Duration::from_secs(120);

/// The scenario, and a service twice: once as it is, once with clients that are proved first.
fn config() -> String {
    let answered =
        "addresses = [\"192.168.0.1/24\"]\nroutes = [{ to = \"198.18.0.0/15\", via = \"192.168.0.20\" }]\n";
    let mut config = scenario(QUICK).replacen("addresses = [\"192.168.0.1/24\"]\n", answered, 1);
    for (name, listen, server, proved) in [
        ("plain", PLAIN, SERVERS[0].1, false),
        ("proved", PROVED, SERVERS[1].1, true),
    ] {
        config += &format!(
            "\n[[virtual_server]]\nname = \"{name}\"\nlisten = \"{listen}\"\nsyn_proxy = {proved}\n\
             check = {{ interval = \"1s\", timeout = \"2s\" }}\n\
             [[virtual_server.real_server]]\naddress = \"{server}\"\n"
        );
    }
    config
}

fn scene(memory_mb: u32) -> lb_lab::Result<Scene> {
    let mut setting = Setting::new(Start::Kernel, config());
    setting.memory_mb = memory_mb;
    let scene = Scene::new(setting)?;
    // What answers the flood goes through the box, and no further than its next hop.
    run(&["ip", "-n", "host02", "route", "add", "blackhole", "198.18.0.0/15"])?;
    Ok(scene)
}

fn serve(load: &Program) -> lb_lab::Result<Vec<Server>> {
    let servers = SERVERS.iter();
    servers
        .map(|(node, address)| load.serve(node, node, &[address]))
        .collect()
}

fn service(address: &str) -> SocketAddr {
    address.parse().expect("an address")
}

/// Without proof a flood fills the table and the memory; with it, neither, and every client is served.
pub fn a_flood_of_syns() -> Told {
    let mut scene = scene(128)?;
    let load = Program::own()?;
    let _servers = serve(&load)?;
    let peers = Peers::new(Path::new(env!("CARGO_BIN_EXE_peer")));
    scene.wait_until_serving()?;
    settle(&mut scene)?;
    whole_connections(&load)?;

    let (entries, bytes) = flood(&mut scene, &peers, "plain", PLAIN)?;
    println!("plain: {entries} half-open connections, {bytes} bytes");
    assert!(entries >= ARRIVED, "only {entries} SYNs made a connection");
    assert!(
        bytes >= LEAST_BYTES,
        "{entries} half-open connections took {bytes} bytes"
    );

    let orders = Client {
        until_told: true,
        parallel: 16,
        rate: Some(20),
        patience: PATIENCE,
        ..Client::short(service(PROVED), 0)
    };
    let client = load.start("host01", &orders)?;
    client.wait_for("answers", SOON, |so_far| so_far.answers > 10)?;
    let (entries, bytes) = flood(&mut scene, &peers, "proved", PROVED)?;
    let report = client.report()?;
    println!(
        "proved: {entries} half-open connections, {bytes} bytes; {}",
        report.summary()
    );
    assert!(entries < 100, "{entries} SYNs made a connection");
    assert!(bytes < MOST_BYTES, "the flood took {bytes} bytes");
    assert!(report.lost().is_empty(), "{:#?}", report.lost());
    assert!(report.answers >= 100, "{}", report.summary());
    let status = scene.vm().json("status")?;
    // That processors drop packets is told too, where the emulator is too slow for the flood.
    assert!(!defends(&status), "{status:#}");
    Ok(())
}

/// Less memory than is promised to be enough, so that a flood of some seconds is too much for it.
const SMALL_MB: u32 = 96;
const ROUND: u32 = 60_000;
const ROUNDS: usize = 8;
/// Without defence it goes down to some two.
const LEAST_AVAILABLE_KB: u64 = 4_000;

/// A flood that fills the memory is noticed, is told, and leaves the box enough to go on: afterwards all is as it was. (While it
/// lasts an emulator may be too slow for the checks.)
pub fn memory_is_scarce_in_a_flood() -> Told {
    let mut scene = scene(SMALL_MB)?;
    let load = Program::own()?;
    let _servers = serve(&load)?;
    let peers = Peers::new(Path::new(env!("CARGO_BIN_EXE_peer")));
    scene.wait_until_serving()?;
    settle(&mut scene)?;
    let before = scene.vm().json("status")?["servers_up"].clone();
    let mut rounds = 0;
    while !defends(&scene.vm().json("status")?) {
        rounds += 1;
        assert!(rounds <= ROUNDS, "{rounds} rounds, and memory is not scarce");
        peers.flood("host02", PLAIN, ROUND, SECONDS)?;
    }
    // The agent says so when it looks, which it does less often on a machine that has no time for it.
    let mut more = 0;
    let log = loop {
        more += 1;
        peers.flood("host02", PLAIN, ROUND, SECONDS)?;
        let left = available(&scene.vm().json("top")?);
        println!("after {rounds} rounds and {more} more: {left} kB are available");
        assert!(left >= LEAST_AVAILABLE_KB, "{left} kB are left");
        let log = scene.vm().json("log --last 1000")?;
        if more >= 2 && lines(&log).any(|line| line.contains("memory is scarce: IPVS gives up")) {
            break log;
        }
        assert!(more <= 2 * ROUNDS, "{log:#}");
    };
    let repairs: Vec<&str> = lines(&log).filter(|line| line.contains("repair: ")).collect();
    assert!(repairs.is_empty(), "{repairs:#?}");
    // As long as IPVS defends itself it drops one of so many SYNs, whosever they are.
    let is_over = |status: &Value| status["servers_up"] == before && !defends(status);
    let status = scene.wait_for_report("status", LATER, is_over)?;
    assert_eq!(status["init"]["agent_restarts"], 0, "{status:#}");
    Ok(scene.row_1(3)?)
}

/// A single check that fails is enough to see it.
fn touchy() -> String {
    config().replace("timeout = \"2s\" }", "timeout = \"2s\", retries = 0 }")
}

/// A flood of answers to checks that nobody has made, from outside, and from a node in a server's name: they are dropped where they come in,
/// nothing answers them, and no check fails beside them.
pub fn a_flood_of_answers_to_checks() -> Told {
    let mut scene = Scene::new(Setting::new(Start::Kernel, touchy()))?;
    let load = Program::own()?;
    let _servers = serve(&load)?;
    let peers = Peers::new(Path::new(env!("CARGO_BIN_EXE_peer")));
    scene.wait_until_serving()?;
    settle(&mut scene)?;
    // What answers one, if anything does: RST, which also ends each check of the box's own.
    let resets = "tcp flags & rst == rst tcp sport 61000-61767 counter";
    for host in ["host02", "worker01", "worker02"] {
        let table =
            format!("table inet t {{ chain c {{ type filter hook prerouting priority -400; {resets}; }}; }}");
        run(&["ip", "netns", "exec", host, "nft", &table])?;
    }
    let before = scene.vm().json("status")?["servers_up"].clone();
    let events = scene.vm().json("events")?.to_string();
    for (host, address, from) in [
        ("host02", "192.168.0.1:0", None),
        ("worker02", "172.16.0.254:0", Some(SERVERS[0].1)),
    ] {
        let sent = peers.answers(host, address, from, SYNS, SECONDS)?;
        assert!(sent > SYNS / 10 * 9, "only {sent} segments were sent");
    }
    let status = scene.vm().json("status")?;
    assert_eq!(status["servers_up"], before, "{status:#}");
    assert_eq!(scene.vm().json("events")?.to_string(), events);
    // One in 65,536 guesses right; and of the box's own checks there are some a second.
    for (host, most) in [("host02", 20), ("worker01", 1_000), ("worker02", 1_000)] {
        let listed = run(&[
            "ip", "netns", "exec", host, "nft", "list", "chain", "inet", "t", "c",
        ])?;
        let (_, after) = listed.split_once("counter packets ").unwrap_or_default();
        let counted = after
            .split_whitespace()
            .next()
            .and_then(|word| word.parse::<u32>().ok());
        let counted = counted.ok_or_else(|| LabError::Unexpected(listed.clone()))?;
        println!("{host}: {counted} answers");
        assert!(counted < most, "{host}: {counted} of {SYNS} were answered");
    }
    Ok(scene.row_1(3)?)
}

fn lines(log: &Value) -> impl Iterator<Item = &str> {
    let lines = log["lines"].as_array().into_iter().flatten();
    lines.filter_map(|line| line["text"].as_str())
}

fn defends(status: &Value) -> bool {
    let problems = status["problems"].as_array().into_iter().flatten();
    let mut words = problems.filter_map(Value::as_str);
    words.any(|problem| problem.starts_with("memory is scarce"))
}

/// Clients outside and beside the servers, and an answer that windows and segments have to be right for.
fn whole_connections(load: &Program) -> Told {
    for host in ["host01", "worker01", "worker02"] {
        let report = load.run(host, &Client::short(service(PROVED), 20))?;
        assert!(report.lost().is_empty(), "{host}: {:#?}", report.lost());
        assert_eq!(report.answers, 20, "{host}: {}", report.summary());
    }
    let report = load.run("host01", &Client::bulk(service(PROVED), 3_000_000))?;
    assert!(report.lost().is_empty(), "{:#?}", report.lost());
    assert_eq!(report.bytes, 3_000_000, "{}", report.summary());
    Ok(())
}

/// A flood; how many half-open connections there are at its end, and the memory that it took.
fn flood(scene: &mut Scene, peers: &Peers, name: &str, address: &str) -> lb_lab::Result<(u64, u64)> {
    let before = available(&scene.vm().json("top")?);
    let sent = peers.flood("host02", address, SYNS, SECONDS)?;
    assert!(sent > SYNS / 10 * 9, "only {sent} SYNs were sent");
    let entries = active(&scene.vm().json(&format!("services {name}"))?);
    let after = available(&scene.vm().json("top")?);
    Ok((entries, before.saturating_sub(after) * 1024))
}

fn available(top: &Value) -> u64 {
    top["memory"]["available_kb"].as_u64().unwrap_or(0)
}

/// IPVS counts connections that begin as active ones (tcp_state_active_table). The client's own last for a moment.
fn active(services: &Value) -> u64 {
    let servers = services["services"][0]["servers"].as_array();
    let servers = servers.into_iter().flatten();
    servers
        .filter_map(|server| server["active_connections"].as_u64())
        .sum()
}
