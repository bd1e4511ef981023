//! One-packet services: every datagram is scheduled by itself, and every answer comes from the address and port that were asked.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lb_e2e::peer::{Peers, Server};
use lb_e2e::sabotage::Saboteur;
use lb_e2e::scene::health;
use lb_e2e::{Scene, Setting, Start};
use lb_lab::story::Told;
use lb_lab::{GATEWAY, HOST01, Result};

use crate::protocols::give_ipv6_addresses;

const VERDICT: Duration = Duration::from_secs(20);
/// A full read-back happens every 10 s; the rest is for a slow machine.
const REPAIR_LIMIT: Duration = Duration::from_secs(30);
const HOST01_V6: &str = "2001:db8:0:1::10";
/// Another port than the servers', the same one, and one of many.
const PORT: &str = "192.168.0.1:53";
const PORT6: &str = "[2001:db8:0:1::1]:5353";
const ONE_OF_MANY: &str = "192.168.0.1:7042";
/// Where they are, the last part of their addresses, and what they answer.
const NODES: [(&str, &str, &str); 3] = [
    ("worker01", "11", "one"),
    ("worker02", "12", "two"),
    ("master", "1", "three"),
];

const LINKS: &str = "hostname = \"lb\"\n\
    [[interface]]\nname = \"eth0\"\naddresses = [\"192.168.0.1/24\", \"2001:db8:0:1::1/64\"]\n\
    [[interface]]\nname = \"eth1\"\naddresses = [\"172.16.0.254/24\", \"2001:db8:0:2::254/64\"]\n\
    [[masquerade]]\nfrom = \"172.16.0.0/24\"\nout = \"eth0\"\n\
    [[masquerade]]\nfrom = \"2001:db8:0:2::/64\"\nout = \"eth0\"\n";

/// Each server is checked by TCP at the port of its datagrams.
const KEYS: &str = "protocol = \"udp\"\nscheduler = \"rr\"\none_packet = true\n\
    check = { port = 5353, interval = \"500ms\", timeout = \"500ms\", retries = 1, retry_interval = \"100ms\" }\n";

/// With the first so many of the nodes.
fn config(nodes: usize) -> String {
    let mut text = LINKS.to_owned();
    for (name, listen, [before, after]) in [
        ("four", PORT, ["172.16.0.", ":5353"]),
        ("six", PORT6, ["[2001:db8:0:2::", "]:5353"]),
        ("many", "192.168.0.1:7000-7099", ["172.16.0.", ""]),
    ] {
        text += &format!("[[virtual_server]]\nname = \"{name}\"\nlisten = \"{listen}\"\n{KEYS}");
        for (_, number, _) in &NODES[..nodes] {
            text += &format!("[[virtual_server.real_server]]\naddress = \"{before}{number}{after}\"\n");
        }
    }
    text
}

fn serve(peers: &Peers) -> Result<Vec<Server>> {
    let mut servers = Vec::new();
    for (node, number, name) in NODES {
        for (protocol, address) in [
            ("udp", format!("172.16.0.{number}:5353")),
            ("tcp", format!("172.16.0.{number}:5353")),
            ("udp", format!("[2001:db8:0:2::{number}]:5353")),
            ("tcp", format!("[2001:db8:0:2::{number}]:5353")),
            ("udp", format!("172.16.0.{number}:7042")),
        ] {
            servers.push(peers.serve(node, protocol, &address, name)?);
        }
    }
    Ok(servers)
}

fn wait_for(scene: &mut Scene, nodes: usize) -> Result<()> {
    let up = |services: &serde_json::Value| {
        NODES[..nodes].iter().all(|(_, number, _)| {
            let servers = [
                format!("172.16.0.{number}:5353"),
                format!("[2001:db8:0:2::{number}]:5353"),
                format!("172.16.0.{number}"),
            ];
            servers
                .iter()
                .all(|server| health(services, server) == Some("up"))
        })
    };
    scene.wait_for_report("services", VERDICT, up).map(drop)
}

/// From one socket, which takes what comes from the service's address and port only: the servers take turns, and see the client.
fn all_answer_in_turn(peers: &Peers, service: &str, client: &str, nodes: usize) -> Told {
    let answers = peers.converse("host01", service, 30)?;
    assert_eq!(answers.len(), 30);
    let names = NODES[..nodes].iter().map(|(.., name)| format!("{name} {client}"));
    let mut expected: Vec<String> = names.collect();
    expected.sort();
    for turn in answers.chunks_exact(nodes) {
        let mut turn = turn.to_vec();
        turn.sort();
        assert_eq!(turn, expected, "{service}: {answers:?}");
    }
    Ok(())
}

fn all_services_answer(peers: &Peers) -> Told {
    for (service, client) in [(PORT, HOST01), (PORT6, HOST01_V6), (ONE_OF_MANY, HOST01)] {
        all_answer_in_turn(peers, service, client, 2)?;
    }
    Ok(())
}

/// Over IPv4 and IPv6, with the servers' port and with another, for one port and for many.
pub fn answers_come_from_the_service() -> Told {
    let mut scene = Scene::dark(Setting::new(Start::Sabotage, config(2)))?;
    give_ipv6_addresses()?;
    let peers = Peers::new(Path::new(env!("CARGO_BIN_EXE_peer")));
    let servers = serve(&peers)?;
    scene.power_on()?;
    wait_for(&mut scene, 2)?;
    all_services_answer(&peers)?;
    let saboteur = scene.saboteur()?;
    nobody_is_remembered(&saboteur, &peers)?;
    clients_beside_the_servers_are_heard_and_not_answered(&peers, &servers)?;
    servers_come_and_go(&mut scene, &peers)?;
    damage_is_repaired(&saboteur, &peers)
}

/// Neither by IPVS nor by connection tracking, however many clients there are.
fn nobody_is_remembered(saboteur: &Saboteur, peers: &Peers) -> Told {
    const CLIENTS: u32 = 200;
    let tracked = || -> Result<u32> {
        let count = saboteur.proc("sys/net/netfilter/nf_conntrack_count")?;
        Ok(count.trim().parse().expect("the kernel counts in numbers"))
    };
    let before = tracked()?;
    let answers = peers.ask("host01", "udp", PORT, CLIENTS)?;
    assert_eq!(answers.values().sum::<u32>(), CLIENTS, "{answers:?}");
    assert!(!answers.contains_key("-"), "{answers:?}");
    let connections = saboteur.sh("ipvsadm -Lcn")?;
    assert!(!connections.contains("UDP"), "{connections}");
    // Checks go on meanwhile.
    let after = tracked()?;
    assert!(after < before + CLIENTS / 2, "{before} connections, then {after}");
    Ok(())
}

/// They take the lb's address, as everywhere; an answer to that is nobody's (see the guide).
fn clients_beside_the_servers_are_heard_and_not_answered(peers: &Peers, servers: &[Server]) -> Told {
    let heard = || -> Result<u32> {
        let mut heard = 0;
        for server in servers {
            let requests = server.requests()?;
            let hidden = requests.iter().filter(|(line, _)| line.ends_with(GATEWAY));
            heard += hidden.map(|(_, times)| times).sum::<u32>();
        }
        Ok(heard)
    };
    let before = heard()?;
    let answers = peers.talk("worker01", PORT, 2)?;
    assert_eq!(answers, [("-".to_owned(), 2)].into());
    assert_eq!(heard()?, before + 2);
    Ok(())
}

/// A third server is added and taken away, while a client asks all the time. A server that is checked gets no datagrams before
/// its answers find back; one that leaves may have been asked just then.
fn servers_come_and_go(scene: &mut Scene, peers: &Peers) -> Told {
    let stop = Arc::new(AtomicBool::new(false));
    let (flag, clients) = (stop.clone(), peers.clone());
    let talking = std::thread::spawn(move || -> Result<(u32, u32)> {
        let (mut answered, mut missed) = (0, 0);
        while !flag.load(Ordering::Relaxed) {
            let mut talked = clients.talk("host01", PORT, 50)?;
            missed += talked.remove("-").unwrap_or(0);
            answered += talked.values().sum::<u32>();
        }
        Ok((answered, missed))
    });
    let mut change = || -> Told {
        scene.vm().config_put(&config(3))?;
        wait_for(scene, 3)?;
        all_answer_in_turn(peers, PORT6, HOST01_V6, 3)?;
        scene.vm().config_put(&config(2))?;
        Ok(())
    };
    let changed = change();
    stop.store(true, Ordering::Relaxed);
    let (answered, missed) = talking.join().expect("the client did not panic")?;
    changed?;
    assert!(answered > 0 && missed <= 1, "{answered} answers, {missed} missed");
    all_services_answer(peers)
}

fn damage_is_repaired(saboteur: &Saboteur, peers: &Peers) -> Told {
    let whole = saboteur.kernel_words()?;
    for damage in [
        "nft delete element inet lb answers4 { 172.16.0.11 . udp . 5353 }",
        "nft flush map inet lb answers6",
        "nft flush map inet lb answer_ranges4",
        "nft flush chain inet lb forward",
        "nft flush chain inet lb raw",
    ] {
        saboteur.sh(damage)?;
        assert_ne!(saboteur.kernel_words()?, whole, "{damage}");
        saboteur.wait_for_repair(damage, REPAIR_LIMIT, &whole, Saboteur::kernel_words)?;
        all_services_answer(peers)?;
    }
    Ok(())
}
