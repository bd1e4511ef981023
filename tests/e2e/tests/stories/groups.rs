//! One service over many ports and protocols.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lb_e2e::config::with_services;
use lb_e2e::peer::{Answers, Peers, Server};
use lb_e2e::sabotage::Saboteur;
use lb_e2e::scene::health;
use lb_e2e::{Scene, Setting, Start};
use lb_lab::story::Told;
use lb_lab::{GATEWAY, HOST01, LabError, Result};

const VERDICT: Duration = Duration::from_secs(20);
/// A full read-back happens every 10 s; the rest is for a slow machine.
const REPAIR_LIMIT: Duration = Duration::from_secs(30);
const CHECK: &str = "check = { port = 7001, interval = \"500ms\", timeout = \"500ms\", retries = 1, retry_interval = \"100ms\" }";
const NODES: [(&str, &str, &str); 2] = [
    ("worker01", "172.16.0.11", "one"),
    ("worker02", "172.16.0.12", "two"),
];

/// `ports`: the last of the range; `more`: keys of the first service. The last service takes every port of the address that
/// the box's own checks come from.
fn config(last: u16, more: &str) -> String {
    with_services(&format!(
        "[[virtual_server]]\nname = \"ports\"\nlisten = [\"192.168.0.1:5353\", \"192.168.0.1:7000-{last}\"]\n\
         protocol = [\"tcp\", \"udp\"]\nscheduler = \"rr\"\n{more}{CHECK}\n\
         [[virtual_server.real_server]]\naddress = \"172.16.0.11\"\n\
         [[virtual_server.real_server]]\naddress = \"172.16.0.12\"\n\
         [[virtual_server]]\nname = \"mapped\"\nlisten = \"192.168.0.1:8000-8999\"\n{CHECK}\n\
         [[virtual_server.real_server]]\naddress = \"172.16.0.11:5353\"\n\
         [[virtual_server]]\nname = \"all\"\nlisten = \"172.16.0.254:1-65535\"\n{CHECK}\n\
         [[virtual_server.real_server]]\naddress = \"172.16.0.12\"\n"
    ))
}

fn serve(peers: &Peers) -> Result<Vec<Server>> {
    let ports = [
        ("tcp", 5353),
        ("tcp", 7001),
        ("tcp", 7050),
        ("tcp", 7150),
        ("udp", 5353),
        ("udp", 7050),
    ];
    let mut servers = Vec::new();
    for (node, address, name) in NODES {
        for (protocol, port) in ports {
            servers.push(peers.serve(node, protocol, &format!("{address}:{port}"), name)?);
        }
    }
    Ok(servers)
}

/// Half of the answers from each server.
fn halves(client: &str, times: u32) -> Answers {
    let half = |name: &str| (format!("{name} {client}"), times / 2);
    [half("one"), half("two")].into()
}

fn nobody() -> Answers {
    [("-".to_owned(), 1)].into()
}

/// TCP and UDP over single ports and a range are one service; ports beside it are closed; nodes reach it; servers keep the
/// port or have all mapped to one; a range over the box's own ports leaves its checks alone.
pub fn many_ports_are_one_service() -> Told {
    let mut scene = Scene::new(Setting::new(Start::Sabotage, config(7_099, "")))?;
    let peers = Peers::new(Path::new(env!("CARGO_BIN_EXE_peer")));
    let _servers = serve(&peers)?;
    scene.wait_for_report("services", VERDICT, |services| {
        let up = |server| health(services, server) == Some("up");
        up("172.16.0.11") && up("172.16.0.12") && up("172.16.0.11:5353")
    })?;
    for (protocol, port) in [("tcp", 5353), ("tcp", 7050), ("udp", 5353), ("udp", 7050)] {
        let asked = peers.ask("host01", protocol, &format!("192.168.0.1:{port}"), 10)?;
        assert_eq!(asked, halves(HOST01, 10), "{port}/{protocol}");
    }
    // The servers answer on this port, the service does not have it.
    assert_eq!(peers.ask("host01", "tcp", "192.168.0.1:7150", 1)?, nobody());
    let mapped = peers.ask("host01", "tcp", "192.168.0.1:8042", 4)?;
    assert_eq!(mapped, [(format!("one {HOST01}"), 4)].into());
    nodes_reach_it(&mut scene, &peers)?;
    let services = scene.vm().json("services ports")?;
    let service = &services["services"][0];
    assert_eq!(service["listen"], "192.168.0.1:5353, 192.168.0.1:7000-7099");
    assert_eq!(service["protocol"], "tcp, udp");
    let mark = service["fwmark"].as_str().unwrap_or_default().to_owned();
    let saboteur = scene.saboteur()?;
    damage_is_repaired(&saboteur, &peers, &mark)?;
    a_wider_range_keeps_connections(&mut scene, &peers)?;
    clients_stick_over_all_ports(&mut scene, &peers)?;
    the_next_agent_knows_its_marks(&mut scene, &saboteur, &peers)
}

fn nodes_reach_it(scene: &mut Scene, peers: &Peers) -> Told {
    for node in ["master", "worker01"] {
        for protocol in ["tcp", "udp"] {
            let asked = peers.ask(node, protocol, "192.168.0.1:7050", 10)?;
            assert_eq!(asked, halves(GATEWAY, 10), "{protocol} from {node}");
        }
    }
    // Through the address whose every port is the service's.
    let asked = peers.ask("worker02", "tcp", "172.16.0.254:7050", 4)?;
    assert_eq!(asked, [(format!("two {GATEWAY}"), 4)].into());
    scene.wait_for_report("gateway", VERDICT, |gateway| {
        gateway["hairpins"][0]["connections"] == 44
    })?;
    Ok(())
}

fn damage_is_repaired(saboteur: &Saboteur, peers: &Peers, mark: &str) -> Told {
    let whole = saboteur.kernel_words()?;
    let number = u32::from_str_radix(mark.trim_start_matches("0x"), 16);
    let number = number.map_err(|_| LabError::Unexpected(format!("`{mark}` is no mark")))?;
    for damage in [
        "nft delete element inet lb marks4 { 192.168.0.1 . tcp . 5353 }".to_owned(),
        "nft flush chain inet lb mangle_in".to_owned(),
        format!("ipvsadm -D -f {number}"),
        "ipvsadm -A -f 7 -s rr".to_owned(),
    ] {
        saboteur.sh(&damage)?;
        saboteur.wait_for_repair(&damage, REPAIR_LIMIT, &whole, Saboteur::kernel_words)?;
        let asked = peers.ask("host01", "tcp", "192.168.0.1:5353", 2)?;
        assert_eq!(asked.values().sum::<u32>(), 2, "after {damage}: {asked:?}");
        assert!(!asked.contains_key("-"), "after {damage}: {asked:?}");
    }
    Ok(())
}

/// New connections all the time, and datagrams of one flow after the other, each of which would meet both servers if it were
/// scheduled again. The map changes a moment after the rules (nf_tables commits such a set last): a first packet that comes in
/// between is dropped, so that TCP sends it again, and one flow in all may miss its first answer.
fn a_wider_range_keeps_connections(scene: &mut Scene, peers: &Peers) -> Told {
    let stop = Arc::new(AtomicBool::new(false));
    let (flag, clients) = (stop.clone(), peers.clone());
    let running = std::thread::spawn(move || -> Result<u32> {
        let mut rounds = 0;
        while !flag.load(Ordering::Relaxed) {
            let asked = clients.ask("host01", "tcp", "192.168.0.1:7050", 20)?;
            assert_eq!(asked.values().sum::<u32>(), 20, "{asked:?}");
            assert!(!asked.contains_key("-"), "{asked:?}");
            rounds += 1;
        }
        Ok(rounds)
    });
    let (flag, clients) = (stop.clone(), peers.clone());
    let talking = std::thread::spawn(move || -> Result<u32> {
        let (mut rounds, mut missed) = (0, 0);
        while !flag.load(Ordering::Relaxed) {
            let mut talked = clients.talk("host01", "192.168.0.1:5353", 200)?;
            missed += talked.remove("-").unwrap_or(0);
            assert_eq!(talked.len(), 1, "one flow, one server: {talked:?}");
            rounds += 1;
        }
        assert!(missed <= 1, "{missed} datagrams without an answer");
        Ok(rounds)
    });
    let said = scene.vm().config_put(&config(7_199, ""));
    stop.store(true, Ordering::Relaxed);
    let rounds = (running.join(), talking.join());
    assert!(said?.contains("Applied, 1 step"), "only the map changes");
    for done in [rounds.0, rounds.1] {
        assert!(done.expect("no connection was lost")? > 0);
    }
    let asked = peers.ask("host01", "tcp", "192.168.0.1:7150", 10)?;
    assert_eq!(asked, halves(HOST01, 10));
    Ok(())
}

fn clients_stick_over_all_ports(scene: &mut Scene, peers: &Peers) -> Told {
    scene
        .vm()
        .config_put(&config(7_199, "persistence = { timeout = \"1m\" }\n"))?;
    let mut met = Answers::new();
    for (protocol, port) in [
        ("tcp", 5353),
        ("tcp", 7050),
        ("udp", 5353),
        ("tcp", 7150),
        ("udp", 7050),
    ] {
        for (answer, times) in peers.ask("host01", protocol, &format!("192.168.0.1:{port}"), 3)? {
            *met.entry(answer).or_default() += times;
        }
    }
    assert_eq!(met.values().copied().collect::<Vec<_>>(), [15], "{met:?}");
    assert!(!met.contains_key("-"), "{met:?}");
    Ok(())
}

fn the_next_agent_knows_its_marks(scene: &mut Scene, saboteur: &Saboteur, peers: &Peers) -> Told {
    let before = saboteur.kernel_state()?;
    saboteur.kill_agent()?;
    scene.wait_for_report("status", VERDICT, |status| status["reconcile"]["repairs"] == 0)?;
    scene.wait_for_report("services", VERDICT, |services| {
        health(services, "172.16.0.11") == Some("up")
    })?;
    assert_eq!(saboteur.kernel_state()?, before);
    let asked = peers.ask("host01", "tcp", "192.168.0.1:5353", 4)?;
    assert_eq!(
        asked.values().copied().collect::<Vec<_>>(),
        [4],
        "still persistent: {asked:?}"
    );
    Ok(())
}
