//! Packets that reach the servers as they are, by direct routing and through tunnels, over both families. The servers hold
//! the service address, and answer a client beside them past the box.

use std::path::Path;
use std::time::Duration;

use lb_e2e::peer::{Answers, Peers, Server};
use lb_e2e::scene::health;
use lb_e2e::{Scene, Setting, Start};
use lb_lab::command::run;
use lb_lab::story::Told;
use lb_lab::{GATEWAY, Result};

const VERDICT: Duration = Duration::from_secs(20);
const REPAIR_LIMIT: Duration = Duration::from_secs(30);
const VIP4: &str = "172.16.0.253";
const VIP6: &str = "2001:db8:0:2::253";
const GATEWAY6: &str = "2001:db8:0:2::254";
const CLIENT4: &str = "172.16.0.1";
const CLIENT6: &str = "2001:db8:0:2::1";
const WORKERS: [(&str, &str, &str); 2] = [("worker01", "11", "one"), ("worker02", "12", "two")];
/// Many full segments.
const BYTES: u32 = 200_000;

/// `gue_port`: of the tunnel over IPv4.
fn config(gue_port: u16) -> String {
    let services = [
        (
            "direct4",
            format!("{VIP4}:8080"),
            "forward = \"direct\"".to_owned(),
        ),
        ("ipip4", format!("{VIP4}:8081"), "forward = \"tunnel\"".to_owned()),
        (
            "gue4",
            format!("{VIP4}:8082"),
            format!(
                "forward = \"tunnel\"\ntunnel = {{ type = \"gue\", port = {gue_port}, checksum = false }}"
            ),
        ),
        (
            "direct6",
            format!("[{VIP6}]:8090"),
            "forward = \"direct\"".to_owned(),
        ),
        (
            "ipip6",
            format!("[{VIP6}]:8091"),
            "forward = \"tunnel\"".to_owned(),
        ),
        (
            "gue6",
            format!("[{VIP6}]:8092"),
            "forward = \"tunnel\"\ntunnel = { type = \"gue\", port = 5556 }".to_owned(),
        ),
    ];
    let mut text = format!(
        "[[interface]]\nname = \"eth0\"\naddresses = [\"192.168.0.1/24\"]\n\
         [[interface]]\nname = \"eth1\"\n\
         addresses = [\"{GATEWAY}/24\", \"{VIP4}/32\", \"{GATEWAY6}/64\", \"{VIP6}/128\"]\n"
    );
    for (name, listen, forward) in services {
        let port = listen.rsplit(':').next().unwrap_or_default();
        text += &format!(
            "[[virtual_server]]\nname = \"{name}\"\nlisten = \"{listen}\"\nscheduler = \"rr\"\n{forward}\n"
        );
        let both = name.starts_with("direct");
        for (_, last, _) in WORKERS.iter().take(if both { 2 } else { 1 }) {
            let address = match name.ends_with('6') {
                true => format!("[2001:db8:0:2::{last}]:{port}"),
                false => format!("172.16.0.{last}:{port}"),
            };
            text += &format!("[[virtual_server.real_server]]\naddress = \"{address}\"\n");
        }
    }
    text
}

fn shell(host: &str, line: &str) -> Result<()> {
    run(&["ip", "netns", "exec", host, "sh", "-c", line]).map(drop)
}

/// The service addresses on the workers, and IPv6, which the lab's machines have switched off.
fn prepare() -> Told {
    for (host, last) in [("master", "1"), ("worker01", "11"), ("worker02", "12")] {
        for link in ["lo", "eth0"] {
            shell(
                host,
                &format!("echo 0 > /proc/sys/net/ipv6/conf/{link}/disable_ipv6"),
            )?;
        }
        let address = format!("2001:db8:0:2::{last}/64");
        run(&[
            "ip", "-n", host, "-6", "addr", "add", &address, "dev", "eth0", "nodad",
        ])?;
    }
    for (worker, ..) in WORKERS {
        shell(
            worker,
            "echo 1 > /proc/sys/net/ipv4/conf/all/arp_ignore; echo 2 > /proc/sys/net/ipv4/conf/all/arp_announce",
        )?;
        run(&[
            "ip",
            "-n",
            worker,
            "addr",
            "add",
            &format!("{VIP4}/32"),
            "dev",
            "lo",
        ])?;
        let v6 = format!("{VIP6}/128");
        run(&["ip", "-n", worker, "-6", "addr", "add", &v6, "dev", "lo", "nodad"])?;
    }
    Ok(())
}

fn serve(peers: &Peers) -> Result<Vec<Server>> {
    let mut servers = Vec::new();
    for (worker, _, name) in WORKERS {
        for port in [8080, 8081, 8082] {
            servers.push(peers.sink(worker, &format!("0.0.0.0:{port}"), name)?);
        }
        for port in [8090, 8091, 8092] {
            servers.push(peers.sink(worker, &format!("[::]:{port}"), name)?);
        }
    }
    Ok(servers)
}

fn answer(name: &str, client: &str) -> Answers {
    [(format!("{name} {client} {BYTES}"), 1)].into()
}

/// The path's MTU as the client has been told.
fn told_mtu(address: &str, mtu: u32) -> Told {
    let route = run(&["ip", "-n", "master", "route", "get", address])?;
    assert!(route.contains(&format!("mtu {mtu}")), "{address}: {route}");
    Ok(())
}

/// Whole transfers of full segments by every way. A client learns by ICMP what a tunnel takes of its packets. At the far end
/// the outer packet is the box's, and the inner one the client's.
pub fn packets_are_forwarded_whole() -> Told {
    let mut scene = Scene::dark(Setting::new(Start::Sabotage, config(5555)))?;
    prepare()?;
    let peers = Peers::new(Path::new(env!("CARGO_BIN_EXE_peer")));
    let _servers = serve(&peers)?;
    let ends = [
        peers.unwrap_packets("worker01", &["ipip"])?,
        peers.unwrap_packets("worker01", &["gue", "0.0.0.0:5555"])?,
        peers.unwrap_packets("worker01", &["ip6ip6"])?,
        peers.unwrap_packets("worker01", &["gue", "[::]:5556"])?,
    ];
    let later = peers.unwrap_packets("worker01", &["gue", "0.0.0.0:5557"])?;
    scene.power_on()?;
    scene.wait_for_report("services", VERDICT, |services| {
        let all = services["services"].as_array().into_iter().flatten();
        let mut servers = all.flat_map(|service| service["servers"].as_array().into_iter().flatten());
        health(services, "172.16.0.11:8080").is_some() && servers.all(|server| server["health"] == "up")
    })?;
    for (address, client) in [
        (format!("{VIP4}:8080"), CLIENT4),
        (format!("[{VIP6}]:8090"), CLIENT6),
    ] {
        let mut met = Answers::new();
        for _ in 0..4 {
            for (answer, times) in peers.push("master", &address, BYTES)? {
                *met.entry(answer).or_default() += times;
            }
        }
        let half = |name: &str| (format!("{name} {client} {BYTES}"), 2);
        assert_eq!(met, [half("one"), half("two")].into(), "directly to {address}");
    }
    // 20 bytes of IPv4, 40 of IPv6, 8 of UDP, 4 of GUE.
    let tunnels = [
        (format!("{VIP4}:8081"), VIP4, CLIENT4, GATEWAY, 1480),
        (format!("{VIP4}:8082"), VIP4, CLIENT4, GATEWAY, 1468),
        (format!("[{VIP6}]:8091"), VIP6, CLIENT6, GATEWAY6, 1460),
        (format!("[{VIP6}]:8092"), VIP6, CLIENT6, GATEWAY6, 1448),
    ];
    for ((address, vip, client, gateway, mtu), end) in tunnels.iter().zip(&ends) {
        let pushed = peers.push("master", address, BYTES)?;
        assert_eq!(pushed, answer("one", client), "through the tunnel to {address}");
        told_mtu(vip, *mtu)?;
        let seen = end.requests()?;
        let expected = format!("{gateway} {client} {vip}");
        assert_eq!(seen.keys().collect::<Vec<_>>(), [&expected], "{address}");
    }
    let report = scene.vm().json("services gue4")?;
    assert_eq!(report["services"][0]["forward"], "tunnel gue 5555", "{report:#}");
    // Another port, and somebody else's port: the server is edited.
    let said = scene.vm().config_put(&config(5557))?;
    assert!(said.contains("Applied, 1 step"), "{said}");
    let gue = format!("{VIP4}:8082");
    assert_eq!(peers.push("master", &gue, BYTES)?, answer("one", CLIENT4));
    assert!(!later.requests()?.is_empty(), "the tunnel ends at its new port");
    scene.saboteur()?.sh(&format!(
        "ipvsadm -e -t {gue} -r 172.16.0.11:8082 -i -w 1 --tun-type gue --tun-port 9999"
    ))?;
    scene.wait_for_report("status", REPAIR_LIMIT, |status| {
        status["reconcile"]["repairs"] == 1
    })?;
    assert_eq!(peers.push("master", &gue, BYTES)?, answer("one", CLIENT4));
    Ok(())
}
