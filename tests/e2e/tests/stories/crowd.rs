//! 200,000 connections at once through a machine with 256 MB of memory: each is established and stays, in IPVS's table and in
//! that of connection tracking, and the appliance does its work beside them.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use lb_e2e::Scene;
use lb_e2e::sabotage::Saboteur;
use lb_e2e::scene::{BOOT_LIMIT, health};
use lb_e2e::tally::Tally;
use lb_e2e::traffic::{SERVICE, lost};
use lb_e2e::{Setting, Start};
use lb_lab::command::run;
use lb_lab::load::{Client, Program, Report, Running};
use lb_lab::story::Told;
use lb_lab::{LabError, Result};

use crate::lost::{config, web};

const CONNECTIONS: u64 = 200_000;
/// Who opens them. Many processes, as each may have 20,000 open files and no more on some machines.
const HOSTS: [(&str, &str); 2] = [("host01", "192.168.0.10"), ("host02", "192.168.0.20")];
const CLIENTS: usize = 16;
/// The ports of a client.
const PORTS: u16 = 12_500;
/// Four clients share an address: these are further ones of the hosts.
const MORE: [(&str, &str); 3] = [
    ("host01", "192.168.0.11"),
    ("host02", "192.168.0.21"),
    ("host01", "192.168.0.12"),
];
/// Each worker's servers.
const DOORS: std::ops::Range<u16> = 8_080..8_086;
/// Of so many connections one is asked at the end.
const SAMPLE: u64 = 20;
/// What has to be left of the 256 MB (kB).
const SPARE_KB: u64 = 24 * 1024;
/// On a machine that is busy otherwise.
const LIMIT: Duration = Duration::from_secs(300);
const PATIENCE: Duration = Duration::from_secs(20);

/// A service with more servers than that of `lost`, which has the same address.
fn services() -> String {
    let mut text = web([None; 3]);
    for (address, port) in doors() {
        text += &format!("[[virtual_server.real_server]]\naddress = \"{address}:{port}\"\n");
    }
    text
}

fn doors() -> impl Iterator<Item = (&'static str, u16)> {
    DOORS.flat_map(|port| ["172.16.0.11", "172.16.0.12"].map(|address| (address, port)))
}

/// From the `block`th part of the ports of an address.
fn orders(from: &str, block: u16, orders: Client) -> Result<Client> {
    let from: IpAddr = from
        .parse()
        .map_err(|_| LabError::Unexpected(format!("{from} is no address")))?;
    let first = 1_024 + block * PORTS;
    Ok(Client {
        from: Some(from),
        from_ports: Some((first, first + PORTS - 1)),
        parallel: 2,
        patience: PATIENCE,
        ..orders
    })
}

fn start(load: &Program, number: usize) -> Result<Running> {
    let senders = [HOSTS[0], HOSTS[1], MORE[0], MORE[1]];
    let (host, address) = senders[number % senders.len()];
    let held = Client::held(SocketAddr::from(SERVICE), u64::from(PORTS), SAMPLE);
    let block = (number / senders.len()) as u16;
    load.start(host, &orders(address, block, held)?)
}

pub fn two_hundred_thousand_connections() -> Told {
    let mut scene = Scene::dark(Setting::new(Start::Sabotage, config("", &services())))?;
    for (host, address) in MORE {
        let address = format!("{address}/24");
        run(&["ip", "-n", host, "addr", "add", &address, "dev", "eth0"])?;
    }
    let tally = Tally::begin()?;
    let load = Program::own()?;
    let mut servers = Vec::new();
    for (address, port) in doors() {
        let worker = if address == "172.16.0.11" {
            "worker01"
        } else {
            "worker02"
        };
        let name = format!("{worker}-{port}");
        servers.push(load.serve_held(worker, &name, &[&format!("{address}:{port}")])?);
    }
    scene.power_on()?;
    scene.vm().wait_for_prompt(BOOT_LIMIT)?;
    wait_until_up(&mut scene)?;
    let saboteur = scene.saboteur()?;
    let started = Instant::now();
    let clients = (0..CLIENTS).map(|number| start(&load, number));
    let clients: Vec<Running> = clients.collect::<Result<_>>()?;
    wait_until_all_are_there(&saboteur, &clients)?;
    println!("{CONNECTIONS} connections after {:?}", started.elapsed());
    let before = is_fine(&mut scene, &saboteur);
    let short = Client::short(SocketAddr::from(SERVICE), 500);
    let new = load.run("host01", &orders(MORE[2].1, 0, short)?)?;
    let mut reports = vec![new];
    for client in clients {
        reports.push(client.report()?);
    }
    for report in &reports {
        println!("{}", report.summary());
    }
    let lost = lost(reports.iter(), tally.dropped()?);
    assert!(lost.is_empty(), "{lost:#?}");
    before?;
    let asked: u64 = reports.iter().map(|report: &Report| report.answers).sum();
    assert_eq!(asked, 500 + CONNECTIONS / SAMPLE);
    is_fine(&mut scene, &saboteur)
}

fn wait_until_up(scene: &mut Scene) -> Result<()> {
    let up = |services: &serde_json::Value| {
        doors().all(|(address, port)| health(services, &format!("{address}:{port}")) == Some("up"))
    };
    scene.wait_for_report("services", BOOT_LIMIT, up).map(drop)
}

fn wait_until_all_are_there(saboteur: &Saboteur, clients: &[Running]) -> Result<()> {
    let started = Instant::now();
    loop {
        let begun: u64 = clients.iter().map(|client| client.progress().begun).sum();
        let lost: u64 = clients.iter().map(|client| client.progress().losses).sum();
        let active = active_connections(saboteur)?;
        // The clients' reports tell what was lost.
        if active >= CONNECTIONS || lost > 0 {
            return Ok(());
        }
        if started.elapsed() > LIMIT {
            return Err(LabError::Timeout {
                what: format!("{CONNECTIONS} connections in IPVS's table"),
                limit: LIMIT,
                seen: format!("{begun} begun, {lost} lost, {active} active"),
            });
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Of all servers, from lines such as `  -> AC10000B:1F90      Masq    1      7          42`.
fn active_connections(saboteur: &Saboteur) -> Result<u64> {
    let table = saboteur.proc("net/ip_vs")?;
    let servers = table
        .lines()
        .filter(|line| line.trim_start().starts_with("-> AC"));
    Ok(servers
        .filter_map(|line| line.split_whitespace().nth(4)?.parse::<u64>().ok())
        .sum())
}

/// There is memory left, nothing was killed or dropped for want of it, and the servers are checked.
fn is_fine(scene: &mut Scene, saboteur: &Saboteur) -> Told {
    let memory = saboteur.proc("meminfo")?;
    let value = |field: &str| -> Option<u64> {
        let line = memory.lines().find(|line| line.starts_with(field))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    let available = value("MemAvailable:").unwrap_or_default();
    let status = scene.vm().json("status")?;
    println!(
        "of {:?} kB {available} are left, slab {:?}, tracked {} of {}, active {}",
        value("MemTotal:"),
        value("Slab:"),
        status["conntrack_count"],
        status["conntrack_max"],
        active_connections(saboteur)?
    );
    assert!(available >= SPARE_KB, "{memory}");
    assert_eq!(status["init"]["agent_restarts"], 0, "{status:#}");
    let log = saboteur.sh("applctl log --all")?.to_lowercase();
    for bad in ["table full", "out of memory", "oom-kill", "allocation failure"] {
        let line = log.lines().find(|line| line.contains(bad));
        assert!(line.is_none(), "{line:?}");
    }
    let tracking = saboteur.proc("net/stat/nf_conntrack")?;
    let mut lines = tracking.lines().map(|line| line.split_whitespace());
    let names: Vec<&str> = lines.next().into_iter().flatten().collect();
    for processor in lines {
        for (name, count) in names.iter().zip(processor) {
            let dropped = name.contains("drop") && u64::from_str_radix(count, 16) != Ok(0);
            assert!(!dropped, "{name}: {tracking}");
        }
    }
    Ok(wait_until_up(scene)?)
}
