//! What can be reached of the appliance: the services, from both sides, and nothing else.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use lb_e2e::config::{QUICK, scenario};
use lb_e2e::{Peers, Scene, Setting, Start};
use lb_lab::command::run;
use lb_lab::story::Told;
use lb_lab::{GATEWAY, LabError, Result, VIP};
use serde_json::Value;

use crate::rows::settle;

const OUTSIDE6: &str = "2001:db8:0:1::1";
const INSIDE6: &str = "2001:db8:0:2::254";
const PORTS: u64 = 65_535;
/// Scans at a time from each side.
const AT_ONCE: usize = 2;
/// Packets that wait for the emulated machine: far more than all scans have under way.
const QUEUE: &str = "10000";
/// For a port that has to answer, in all and each time.
const PATIENCE: Duration = Duration::from_secs(20);
const ONCE: Duration = Duration::from_secs(3);

/// The scenario, with an IPv6 address on each side, and services of UDP and of IPv6 at the outer one.
fn config() -> String {
    let two = |text: String, four: &str, six: &str| {
        text.replacen(&format!("\"{four}\""), &format!("\"{four}\", \"{six}/64\""), 1)
    };
    let mut config = two(scenario(QUICK), "192.168.0.1/24", OUTSIDE6);
    config = two(config, "172.16.0.254/24", INSIDE6);
    for (name, listen, protocol, server) in [
        ("echo", "192.168.0.1:5353", "udp", "172.16.0.12:5353"),
        ("web6", "[2001:db8:0:1::1]:8080", "tcp", "[2001:db8:0:2::12]:8080"),
        (
            "echo6",
            "[2001:db8:0:1::1]:5353",
            "udp",
            "[2001:db8:0:2::12]:5353",
        ),
    ] {
        config += &format!(
            "\n[[virtual_server]]\nname = \"{name}\"\nlisten = \"{listen}\"\nprotocol = \"{protocol}\"\n\
             check = {{ type = \"none\" }}\n[[virtual_server.real_server]]\naddress = \"{server}\"\n"
        );
    }
    config
}

/// IPv6 at both ends, and ways to the address on the other side: the filter has to hold by itself.
fn teach_ways() -> Result<()> {
    run(&["ip", "-n", "host01", "route", "add", "172.16.0.0/24", "via", VIP])?;
    for (host, own, network, via) in [
        ("host01", "2001:db8:0:1::10/64", "2001:db8:0:2::/64", OUTSIDE6),
        ("worker01", "2001:db8:0:2::11/64", "2001:db8:0:1::/64", INSIDE6),
        ("worker02", "2001:db8:0:2::12/64", "2001:db8:0:1::/64", INSIDE6),
    ] {
        let on = "echo 0 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6";
        run(&["ip", "netns", "exec", host, "sh", "-c", on])?;
        run(&["ip", "-n", host, "-6", "addr", "add", own, "dev", "eth0", "nodad"])?;
        run(&["ip", "-n", host, "-6", "route", "add", network, "via", via])?;
    }
    Ok(())
}

/// Packets for the machine: those that it took, and those that nobody took.
fn sent(tap: &str) -> Result<(u64, u64)> {
    let said = run(&["ip", "-s", "-j", "link", "show", tap])?;
    let said: Value = serde_json::from_str(&said)
        .map_err(|error| LabError::Unexpected(format!("ip said `{said}`: {error}")))?;
    let count = |what: &str| said[0]["stats64"]["tx"][what].as_u64().unwrap_or_default();
    Ok((count("packets"), count("dropped")))
}

/// All TCP and UDP ports of all addresses, from outside and from a node. Each port is asked once, and every question arrives.
pub fn only_services_answer() -> Told {
    let mut scene = Scene::dark(Setting::new(Start::Kernel, config()))?;
    for tap in ["tap0", "tap1"] {
        run(&["ip", "link", "set", tap, "txqueuelen", QUEUE])?;
    }
    teach_ways()?;
    let peers = Peers::new(Path::new(env!("CARGO_BIN_EXE_peer")));
    let _servers = [
        peers.serve("worker02", "udp", "172.16.0.12:5353", "echo")?,
        peers.serve("worker02", "tcp", "[2001:db8:0:2::12]:8080", "web6")?,
        peers.serve("worker02", "udp", "[2001:db8:0:2::12]:5353", "echo6")?,
    ];
    scene.power_on()?;
    scene.wait_until_serving()?;
    settle(&mut scene)?;
    let before = [sent("tap0")?, sent("tap1")?];
    let both: Vec<_> = ["host01", "worker01"]
        .map(|from| {
            let peers = peers.clone();
            std::thread::spawn(move || scan_from(from, &peers))
        })
        .into();
    for side in both {
        side.join().expect("the scans of one side end")?;
    }
    for (tap, before) in ["tap0", "tap1"].into_iter().zip(before) {
        let after = sent(tap)?;
        assert!(after.0 - before.0 >= 8 * PORTS, "{tap}: {before:?}, {after:?}");
        assert_eq!(after.1, before.1, "{tap}: questions that did not arrive");
    }
    // It was no burden.
    scene.rows_1_to_5()?;
    Ok(())
}

fn scan_from(from: &'static str, peers: &Peers) -> Result<()> {
    let expected: [(&str, &str, &'static [u16]); 8] = [
        (VIP, "tcp", &[6_443, 30_080]),
        (VIP, "udp", &[5_353]),
        (OUTSIDE6, "tcp", &[8_080]),
        (OUTSIDE6, "udp", &[5_353]),
        (GATEWAY, "tcp", &[]),
        (GATEWAY, "udp", &[]),
        (INSIDE6, "tcp", &[]),
        (INSIDE6, "udp", &[]),
    ];
    for some in expected.chunks(AT_ONCE) {
        let running: Vec<_> = some
            .iter()
            .map(|&(address, protocol, ports)| {
                let peers = peers.clone();
                let scan = std::thread::spawn(move || peers.scan(from, protocol, address));
                (address, protocol, ports, scan)
            })
            .collect();
        for (address, protocol, ports, scan) in running {
            let mut open: BTreeSet<u16> = scan.join().expect("a scan ends")?.into_iter().collect();
            // What is to answer and did not in the moment that a scan gives it is asked by itself, with patience: its server has
            // to be found, proved and given a processor. What should not answer is not given a second chance.
            for port in ports
                .iter()
                .filter(|port| !open.contains(port))
                .collect::<Vec<_>>()
            {
                println!("{protocol} port {port} of {address} from {from} is asked by itself: {open:?}");
                if answers(peers, from, protocol, SocketAddr::new(ip(address), *port))? {
                    open.insert(*port);
                }
            }
            let expected: BTreeSet<u16> = ports.iter().copied().collect();
            assert_eq!(open, expected, "{protocol} ports of {address} that answer {from}");
        }
    }
    Ok(())
}

fn ip(address: &str) -> IpAddr {
    address.parse().expect("an address")
}

/// A connection and nothing more: a request would be one of a node's in the pod's log, where only clients belong.
fn connects(from: &str, address: SocketAddr) -> bool {
    let open = format!("exec 3<>/dev/tcp/{}/{}", address.ip(), address.port());
    let patience = ONCE.as_secs().to_string();
    run(&[
        "ip", "netns", "exec", from, "timeout", &patience, "bash", "-c", &open,
    ])
    .is_ok()
}

/// Whether a port answers by itself before patience ends.
fn answers(peers: &Peers, from: &str, protocol: &str, address: SocketAddr) -> Result<bool> {
    let asked = Instant::now();
    while asked.elapsed() < PATIENCE {
        let answered = match protocol {
            "udp" => !peers
                .ask(from, protocol, &address.to_string(), 1)?
                .contains_key("-"),
            _ => connects(from, address),
        };
        if answered {
            return Ok(true);
        }
    }
    Ok(false)
}
