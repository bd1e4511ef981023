//! Servers whose pools the stories look at: services for them, machines that lose their power, who answers, and what the
//! appliance says of it all. Must not: know what a story wants to see.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use lb_lab::Result;
use lb_lab::command::run;
use lb_lab::load::{Client, Program, Running};
use serde_json::Value;

use crate::Scene;
use crate::sabotage::Saboteur;
use crate::scene::health;
pub use crate::traffic::SERVICE;

pub const ONE: &str = "172.16.0.11:8080";
pub const TWO: &str = "172.16.0.12:8080";
pub const THREE: &str = "172.16.0.1:8080";

/// A check with which silence is noticed within 1.6 s and a refusal within 0.6 s. Nobody is held.
pub const IMPATIENT: &str = "check = { interval = \"500ms\", timeout = \"500ms\", retries = 1, \
                             retry_interval = \"100ms\", rise = 1, hold_down = \"0s\" }\n";
/// For verdicts of such a check on a machine that is busy otherwise.
pub const SOON: Duration = Duration::from_secs(20);
/// For a client: far more than a SYN that is sent again takes.
const PATIENCE: Duration = Duration::from_secs(10);
/// Short connections at a time.
const PARALLEL: usize = 4;

/// `keys`: further keys of the service, with its check.
pub fn service(name: &str, port: u16, keys: &str, servers: &[&str]) -> String {
    let servers: String = servers
        .iter()
        .map(|address| format!("[[virtual_server.real_server]]\naddress = \"{address}\"\n"))
        .collect();
    format!(
        "[[virtual_server]]\nname = \"{name}\"\nlisten = \"192.168.0.1:{port}\"\nscheduler = \"rr\"\n{keys}{servers}\n"
    )
}

/// Until each of these servers is what it is to be.
pub fn wait_for(scene: &mut Scene, wanted: &[(&str, &str)]) -> Result<Value> {
    scene.wait_for_report("services", SOON, |services| {
        wanted
            .iter()
            .all(|(server, word)| health(services, server) == Some(word))
    })
}

/// Of the first service.
pub fn wait_for_mode(scene: &mut Scene, mode: &str) -> Result<Value> {
    scene.wait_for_report("services", SOON, |services| {
        services["services"][0]["mode"] == mode
    })
}

/// What `services` says of a server of any service.
pub fn server<'a>(services: &'a Value, address: &str) -> &'a Value {
    let services = services["services"].as_array().into_iter().flatten();
    let mut servers = services.flat_map(|service| service["servers"].as_array().into_iter().flatten());
    servers
        .find(|server| server["address"] == address)
        .unwrap_or(&Value::Null)
}

/// IPVS's table.
pub fn table(saboteur: &Saboteur) -> Result<String> {
    saboteur.sh("ipvsadm -Sn")
}

/// Whether a machine of the cluster has its power: without it says nothing any more, not even that it is gone.
pub fn power(machine: &str, on: bool) -> Result<()> {
    let word = if on { "up" } else { "down" };
    run(&["ip", "link", "set", &format!("{machine}-eth0"), word]).map(drop)
}

/// Who answers so many new connections; none of them may be lost.
pub fn who_answers(load: &Program, host: &str, port: u16, connections: u64) -> Result<BTreeMap<String, u64>> {
    let orders = Client {
        parallel: 1,
        patience: PATIENCE,
        ..Client::short(SocketAddr::from((SERVICE.0, port)), connections)
    };
    let report = load.run(host, &orders)?;
    let lost = report.lost();
    assert!(lost.is_empty(), "{lost:#?}");
    Ok(report.servers)
}

/// A client that opens so many connections a second until it is told to stop.
pub fn asking(load: &Program, host: &str, rate: u32) -> Result<Running> {
    let orders = Client {
        until_told: true,
        parallel: PARALLEL,
        rate: Some(rate),
        patience: PATIENCE,
        ..Client::short(SocketAddr::from(SERVICE), 0)
    };
    load.start(host, &orders)
}

/// The messages of the log with their levels.
pub fn log(scene: &mut Scene) -> Result<Vec<(String, String)>> {
    let log = scene.vm().json("log --last 1000")?;
    let lines = log["lines"].as_array().into_iter().flatten();
    let word = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
    Ok(lines
        .map(|line| (word(line, "level"), word(line, "text")))
        .collect())
}

/// How many of these messages have these words.
pub fn count(log: &[(String, String)], words: &str) -> usize {
    log.iter().filter(|(_, text)| text.contains(words)).count()
}
