//! Other than TCP over IPv4: datagrams, persistence, IPv6.

use std::path::Path;
use std::time::{Duration, Instant};

use lb_e2e::config::with_services;
use lb_e2e::peer::{Answers, Peers};
use lb_e2e::scene::health;
use lb_e2e::{Held, Scene, Setting, Start};
use lb_lab::command::run;
use lb_lab::story::Told;
use lb_lab::{GATEWAY, HOST01, Result};

const QUICK_CHECK: &str =
    "interval = \"500ms\", timeout = \"500ms\", retries = 1, retry_interval = \"100ms\"";
const VERDICT: Duration = Duration::from_secs(20);

fn peers() -> Peers {
    Peers::new(Path::new(env!("CARGO_BIN_EXE_peer")))
}

/// Over the two workers' port 5353.
fn service(protocol: &str, more: &str) -> String {
    format!(
        "[[virtual_server]]\nname = \"echo\"\nlisten = \"192.168.0.1:5353\"\nprotocol = \"{protocol}\"\n\
         scheduler = \"rr\"\n{more}check = {{ port = 5353, {QUICK_CHECK} }}\n\
         [[virtual_server.real_server]]\naddress = \"172.16.0.11:5353\"\n\
         [[virtual_server.real_server]]\naddress = \"172.16.0.12:5353\"\n"
    )
}

fn wait_for_health(scene: &mut Scene, wanted: [(&str, &str); 2]) -> Result<()> {
    let reached = |services: &serde_json::Value| {
        wanted
            .iter()
            .all(|(server, word)| health(services, server) == Some(word))
    };
    scene.wait_for_report("services", VERDICT, reached).map(drop)
}

const BOTH_UP: [(&str, &str); 2] = [("172.16.0.11:5353", "up"), ("172.16.0.12:5353", "up")];

fn answers(expected: &[(&str, u32)]) -> Answers {
    expected
        .iter()
        .map(|(answer, times)| ((*answer).to_owned(), *times))
        .collect()
}

/// Datagrams reach both servers, which see the client itself; a dead server loses its clients to the other; with
/// one-packet scheduling a single client is spread over both.
pub fn udp_is_balanced() -> Told {
    let mut scene = Scene::new(Setting::new(Start::Kernel, with_services(&service("udp", ""))))?;
    let peers = peers();
    let (first, second) = (format!("one {HOST01}"), format!("two {HOST01}"));
    let _one = [
        peers.serve("worker01", "udp", "172.16.0.11:5353", "one")?,
        peers.serve("worker01", "tcp", "172.16.0.11:5353", "check")?,
    ];
    let two = [
        peers.serve("worker02", "udp", "172.16.0.12:5353", "two")?,
        peers.serve("worker02", "tcp", "172.16.0.12:5353", "check")?,
    ];
    wait_for_health(&mut scene, BOTH_UP)?;
    let asked = peers.ask("host01", "udp", "192.168.0.1:5353", 40)?;
    assert_eq!(asked, answers(&[(&first, 20), (&second, 20)]));
    // One client stays with its server.
    let talked = peers.talk("host01", "192.168.0.1:5353", 20)?;
    assert_eq!(talked.values().copied().collect::<Vec<_>>(), [20], "{talked:?}");
    // A client beside the servers is answered as well, and hidden from them.
    let beside = peers.ask("master", "udp", "192.168.0.1:5353", 10)?;
    let hidden = [format!("one {GATEWAY}"), format!("two {GATEWAY}")];
    assert_eq!(beside, answers(&[(&hidden[0], 5), (&hidden[1], 5)]));

    let said = scene
        .vm()
        .config_put(&with_services(&service("udp", "one_packet = true\n")))?;
    assert!(said.contains("Applied, 2 steps"), "{said}");
    let talked = peers.talk("host01", "192.168.0.1:5353", 20)?;
    assert_eq!(talked, answers(&[(&first, 10), (&second, 10)]));

    scene.vm().config_put(&with_services(&service("udp", "")))?;
    taken_out_while_clients_talk(&mut scene, &peers)?;
    drop(two);
    wait_for_health(
        &mut scene,
        [("172.16.0.11:5353", "up"), ("172.16.0.12:5353", "down")],
    )?;
    let asked = peers.ask("host01", "udp", "192.168.0.1:5353", 20)?;
    assert_eq!(asked, answers(&[(&first, 20)]));
    Ok(())
}

/// A server out of the file keeps the clients that talk with it for its time, then they are the other's.
fn taken_out_while_clients_talk(scene: &mut Scene, peers: &Peers) -> Told {
    let patient = service("udp", "drain_timeout = \"10s\"\n");
    let second = "[[virtual_server.real_server]]\naddress = \"172.16.0.12:5353\"\n";
    let (before, after) = (patient.clone(), patient.replace(second, ""));
    assert_ne!(before, after);
    scene.vm().config_put(&with_services(&before))?;
    wait_for_health(scene, BOTH_UP)?;
    let mut held = Held::talk(peers, "host01", "192.168.0.1:5353", 8)?;
    let leaving = held.at("two");
    assert_eq!(leaving.len(), 4, "{held:?}");
    scene.vm().config_put(&with_services(&after))?;
    held.assert_whole("a server is out of the file")?;
    let asked = peers.ask("host01", "udp", "192.168.0.1:5353", 10)?;
    assert_eq!(asked, answers(&[(&format!("one {HOST01}"), 10)]));
    let gone = |services: &serde_json::Value| {
        health(services, "172.16.0.11:5353") == Some("up") && health(services, "172.16.0.12:5353").is_none()
    };
    scene.wait_for_report("services", VERDICT, gone)?;
    // The kernel forgets them a moment after the server; a datagram that comes before that is lost.
    std::thread::sleep(Duration::from_secs(1));
    for number in leaving {
        assert_eq!(held.ask(number)?.said, "one", "port {number}");
    }
    scene.vm().config_put(&with_services(&service("udp", "")))?;
    Ok(wait_for_health(scene, BOTH_UP)?)
}

/// A persistent client meets one server in all its connections, and another client may meet the other.
pub fn clients_persist() -> Told {
    let persistent = service("tcp", "persistence = { timeout = \"1m\" }\n");
    let mut scene = Scene::new(Setting::new(Start::Kernel, with_services(&persistent)))?;
    let peers = peers();
    let _servers = [
        peers.serve("worker01", "tcp", "172.16.0.11:5353", "one")?,
        peers.serve("worker02", "tcp", "172.16.0.12:5353", "two")?,
    ];
    wait_for_health(&mut scene, BOTH_UP)?;
    let mut met = Vec::new();
    for host in ["host01", "host02"] {
        let asked = peers.ask(host, "tcp", "192.168.0.1:5353", 10)?;
        assert_eq!(
            asked.values().copied().collect::<Vec<_>>(),
            [10],
            "{host}: {asked:?}"
        );
        met.extend(asked.keys().map(|answer| answer[..3].to_owned()));
    }
    assert_ne!(
        met[0], met[1],
        "round robin gives the second client the other server"
    );
    // Without persistence each connection is scheduled by itself; nothing else changes.
    scene.vm().config_put(&with_services(&service("tcp", "")))?;
    let asked = peers.ask("host01", "tcp", "192.168.0.1:5353", 10)?;
    let (first, second) = (format!("one {HOST01}"), format!("two {HOST01}"));
    assert_eq!(asked, answers(&[(&first, 5), (&second, 5)]));
    // A port that is used again is scheduled afresh at once: a lost SYN would cost a second each.
    let started = Instant::now();
    let asked = peers.reuse("host01", "192.168.0.1:5353", 20)?;
    assert_eq!(asked.values().sum::<u32>(), 20, "{asked:?}");
    assert!(!asked.contains_key("-"), "{asked:?}");
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    Ok(())
}

const IPV6: &str = "hostname = \"lb\"\n\
    [[interface]]\nname = \"eth0\"\naddresses = [\"192.168.0.1/24\", \"2001:db8:0:1::1/64\"]\n\
    [[interface]]\nname = \"eth1\"\naddresses = [\"172.16.0.254/24\", \"2001:db8:0:2::254/64\"]\n\
    [[masquerade]]\nfrom = \"2001:db8:0:2::/64\"\nout = \"eth0\"\n\
    [[virtual_server]]\nname = \"web6\"\nlisten = \"[2001:db8:0:1::1]:8080\"\nscheduler = \"rr\"\n\
    [[virtual_server.real_server]]\naddress = \"[2001:db8:0:2::11]:8080\"\n\
    [[virtual_server.real_server]]\naddress = \"[2001:db8:0:2::12]:8080\"\n\
    [[virtual_server]]\nname = \"echo6\"\nlisten = \"[2001:db8:0:1::1]:5353\"\nprotocol = \"udp\"\nscheduler = \"rr\"\n\
    check = { port = 8080 }\n\
    [[virtual_server.real_server]]\naddress = \"[2001:db8:0:2::11]:5353\"\n\
    [[virtual_server.real_server]]\naddress = \"[2001:db8:0:2::12]:5353\"\n";

const SCTP: &str = "hostname = \"lb\"\n\
    [[interface]]\nname = \"eth0\"\naddresses = [\"192.168.0.1/24\", \"2001:db8:0:1::1/64\"]\n\
    [[interface]]\nname = \"eth1\"\naddresses = [\"172.16.0.254/24\", \"2001:db8:0:2::254/64\"]\n\
    [[masquerade]]\nfrom = \"172.16.0.0/24\"\nout = \"eth0\"\n\
    [[virtual_server]]\nname = \"four\"\nlisten = \"192.168.0.1:9899\"\nprotocol = \"sctp\"\nscheduler = \"rr\"\n\
    check = { type = \"none\" }\n\
    [[virtual_server.real_server]]\naddress = \"172.16.0.11:9900\"\n\
    [[virtual_server.real_server]]\naddress = \"172.16.0.12:9900\"\n\
    [[virtual_server]]\nname = \"six\"\nlisten = \"[2001:db8:0:1::1]:9899\"\nprotocol = \"sctp\"\nscheduler = \"rr\"\n\
    check = { type = \"none\" }\n\
    [[virtual_server.real_server]]\naddress = \"[2001:db8:0:2::11]:9900\"\n\
    [[virtual_server.real_server]]\naddress = \"[2001:db8:0:2::12]:9900\"\n";

/// SCTP from the first packet of an association to its last one, with other ports at the servers, so that every checksum is made
/// anew: both ends see right ones only. The masqueraded servers' associations are tracked, those over IPv6 are not.
pub fn associations_stay_with_their_server() -> Told {
    let mut scene = Scene::dark(Setting::new(Start::Kernel, SCTP))?;
    give_ipv6_addresses()?;
    let peers = peers();
    let servers = [
        peers.serve("worker01", "sctp", "172.16.0.11:9900", "one")?,
        peers.serve("worker02", "sctp", "172.16.0.12:9900", "two")?,
        peers.serve("worker01", "sctp", "[2001:db8:0:2::11]:9900", "one")?,
        peers.serve("worker02", "sctp", "[2001:db8:0:2::12]:9900", "two")?,
    ];
    scene.power_on()?;
    wait_for_health(
        &mut scene,
        [("172.16.0.11:9900", "up"), ("[2001:db8:0:2::12]:9900", "up")],
    )?;
    for (service, client, servers) in [
        ("192.168.0.1:9899", HOST01, &servers[..2]),
        ("[2001:db8:0:1::1]:9899", "2001:db8:0:1::10", &servers[2..]),
    ] {
        let seen = answers(&[(&format!("one {client}"), 10), (&format!("two {client}"), 10)]);
        assert_eq!(peers.ask("host01", "sctp", service, 20)?, seen);
        for (server, name) in servers.iter().zip(["one", "two"]) {
            // COOKIE ECHO, three times DATA and SACK, SHUTDOWN, SHUTDOWN COMPLETE.
            let ended = answers(&[(&format!("{name} {client} 9 packets"), 10)]);
            // The last one is not answered.
            let started = Instant::now();
            while server.requests()? != ended && started.elapsed() < VERDICT {
                std::thread::sleep(Duration::from_millis(50));
            }
            assert_eq!(server.requests()?, ended);
        }
    }
    Ok(())
}

/// 2001:db8:0:1::/64 outside, 2001:db8:0:2::/64 inside, with the lb's address there as the way out.
pub fn give_ipv6_addresses() -> Result<()> {
    for (host, address) in [
        ("host01", "2001:db8:0:1::10/64"),
        ("host02", "2001:db8:0:1::20/64"),
        ("master", "2001:db8:0:2::1/64"),
        ("worker01", "2001:db8:0:2::11/64"),
        ("worker02", "2001:db8:0:2::12/64"),
    ] {
        // The lab's machines have it switched off.
        let on = "echo 0 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6";
        run(&["ip", "netns", "exec", host, "sh", "-c", on])?;
        run(&[
            "ip", "-n", host, "-6", "addr", "add", address, "dev", "eth0", "nodad",
        ])?;
        if address.contains(":2::") {
            let via = "2001:db8:0:2::254";
            run(&["ip", "-n", host, "-6", "route", "add", "default", "via", via])?;
        }
    }
    Ok(())
}

/// TCP and UDP over IPv6, with the client's address; a node beside the servers; NAT66 where it is asked for; and no
/// address or route from a router that announces itself unasked.
pub fn ipv6_is_balanced() -> Told {
    let mut scene = Scene::dark(Setting::new(Start::Kernel, IPV6))?;
    give_ipv6_addresses()?;
    let peers = peers();
    let _servers = [
        peers.serve("worker01", "tcp", "[2001:db8:0:2::11]:8080", "one")?,
        peers.serve("worker02", "tcp", "[2001:db8:0:2::12]:8080", "two")?,
        peers.serve("worker01", "udp", "[2001:db8:0:2::11]:5353", "one")?,
        peers.serve("worker02", "udp", "[2001:db8:0:2::12]:5353", "two")?,
        peers.serve("host02", "tcp", "[2001:db8:0:1::20]:80", "outside")?,
    ];
    scene.power_on()?;
    wait_for_health(
        &mut scene,
        [
            ("[2001:db8:0:2::11]:8080", "up"),
            ("[2001:db8:0:2::12]:8080", "up"),
        ],
    )?;
    wait_for_health(
        &mut scene,
        [
            ("[2001:db8:0:2::11]:5353", "up"),
            ("[2001:db8:0:2::12]:5353", "up"),
        ],
    )?;
    let (web, echo) = ("[2001:db8:0:1::1]:8080", "[2001:db8:0:1::1]:5353");
    let seen = answers(&[("one 2001:db8:0:1::10", 10), ("two 2001:db8:0:1::10", 10)]);
    assert_eq!(peers.ask("host01", "tcp", web, 20)?, seen);
    assert_eq!(peers.ask("host01", "udp", echo, 20)?, seen);
    let hidden = answers(&[("one 2001:db8:0:2::254", 10), ("two 2001:db8:0:2::254", 10)]);
    for node in ["master", "worker01"] {
        assert_eq!(peers.ask(node, "tcp", web, 20)?, hidden, "from {node}");
    }
    let outside = peers.ask("worker01", "tcp", "[2001:db8:0:1::20]:80", 5)?;
    assert_eq!(outside, answers(&[("outside 2001:db8:0:1::1", 5)]), "NAT66");
    // New connections from outside are not forwarded to the nodes.
    run(&[
        "ip",
        "-n",
        "host01",
        "-6",
        "route",
        "add",
        "2001:db8:0:2::/64",
        "via",
        "2001:db8:0:1::1",
    ])?;
    let direct = peers.ask("host01", "tcp", "[2001:db8:0:2::11]:8080", 1)?;
    assert_eq!(direct, answers(&[("-", 1)]), "a way around the services");
    Ok(())
}
