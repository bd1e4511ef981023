//! Packets that are not the usual ones: fragments, larger than the next link takes, late, from a port that was just in use,
//! and SCTP; each over IPv4 and IPv6, by NAT and through the gateway.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use lb_e2e::peer::Peers;
use lb_e2e::{Scene, Setting, Start};
use lb_lab::command::run;
use lb_lab::load::{Client, Program};
use lb_lab::story::Told;
use lb_lab::{Lab, Result};

/// Longer than the ten seconds of the file, and shorter.
const IDLE: Duration = Duration::from_secs(14);
const BUSY: Duration = Duration::from_secs(5);
/// Of the links behind host02 and behind the master.
const NARROW: &str = "1300";

/// Both families of one service; `port` on the box and on the server.
fn service(name: &str, protocol: &str, ports: (u16, u16), servers: [&str; 2]) -> String {
    let (port, server) = ports;
    ["192.168.0.1", "[2001:db8:0:1::1]"]
        .iter()
        .zip(servers)
        .enumerate()
        .map(|(family, (address, real))| {
            format!(
                "[[virtual_server]]\nname = \"{name}-{family}\"\nlisten = \"{address}:{port}\"\nprotocol = \"{protocol}\"\n\
                 check = {{ type = \"none\" }}\n[[virtual_server.real_server]]\naddress = \"{real}:{server}\"\n"
            )
        })
        .collect()
}

fn config() -> String {
    let workers = ["172.16.0.11", "[2001:db8:0:2::11]"];
    let interfaces = "[timeouts]\ntcp = \"10s\"\ntcp_fin = \"10s\"\nudp = \"10s\"\n\
        [[interface]]\nname = \"eth0\"\naddresses = [\"192.168.0.1/24\", \"2001:db8:0:1::1/64\"]\n\
        routes = [{ to = \"192.168.50.0/24\", via = \"192.168.0.20\" }, { to = \"2001:db8:0:50::/64\", via = \"2001:db8:0:1::20\" }]\n\
        [[interface]]\nname = \"eth1\"\naddresses = [\"172.16.0.254/24\", \"2001:db8:0:2::254/64\"]\n\
        routes = [{ to = \"172.16.7.0/24\", via = \"172.16.0.1\" }, { to = \"2001:db8:0:7::/64\", via = \"2001:db8:0:2::1\" }]\n\
        [[masquerade]]\nfrom = \"172.16.0.0/24\"\nout = \"eth0\"\n\
        [[masquerade]]\nfrom = \"2001:db8:0:2::/64\"\nout = \"eth0\"\n";
    let services = [
        service("web", "tcp", (8080, 8080), workers),
        service("echo", "udp", (8080, 8080), workers),
        service("deep", "udp", (8082, 8080), ["172.16.7.2", "[2001:db8:0:7::2]"]),
        service(
            "sctp",
            "sctp",
            (9899, 9900),
            ["172.16.0.12", "[2001:db8:0:2::12]"],
        ),
    ];
    interfaces.to_owned() + &services.concat()
}

fn sh(namespace: &str, line: &str) -> Result<()> {
    run(&["ip", "netns", "exec", namespace, "sh", "-ec", line]).map(drop)
}

/// IPv6 for the hosts and nodes, and a network behind host02 and one behind the master, each through a narrow link.
fn build(lab: &Lab) -> Result<()> {
    for (host, address, via) in [
        ("host01", "1::10", ""),
        ("host02", "1::20", ""),
        ("master", "2::1", "2::254"),
        ("worker01", "2::11", "2::254"),
        ("worker02", "2::12", "2::254"),
    ] {
        sh(host, "echo 0 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6")?;
        sh(
            host,
            &format!("ip -6 addr add 2001:db8:0:{address}/64 dev eth0 nodad"),
        )?;
        if !via.is_empty() {
            sh(host, &format!("ip -6 route add default via 2001:db8:0:{via}"))?;
        }
    }
    for (router, name, four, six) in [
        ("host02", "far", "192.168.50", "2001:db8:0:50"),
        ("master", "deep", "172.16.7", "2001:db8:0:7"),
    ] {
        lab.add_machine(name)?;
        run(&[
            "ip", "link", "add", name, "netns", router, "mtu", NARROW, "type", "veth", "peer", "name",
            "eth0", "netns", name, "mtu", NARROW,
        ])?;
        sh(
            router,
            &format!(
                "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 0 > /proc/sys/net/ipv6/conf/{name}/disable_ipv6
                 echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
                 ip addr add {four}.1/24 dev {name}; ip -6 addr add {six}::1/64 dev {name} nodad; ip link set {name} up"
            ),
        )?;
        // It announces segments that fit its neighbours' links: what is too large for the narrow one is found out.
        sh(
            name,
            &format!(
                "echo 0 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6
                 ip addr add {four}.2/24 dev eth0; ip -6 addr add {six}::2/64 dev eth0 nodad; ip link set eth0 up
                 ip route add default via {four}.1 advmss 1460; ip -6 route add default via {six}::1 advmss 1440"
            ),
        )?;
    }
    // A host and a node that know the ways there without the box's default route.
    sh(
        "host02",
        "ip -6 route replace 2001:db8:0:2::/64 via 2001:db8:0:1::1",
    )
}

/// Counts fragments as they arrive, before anybody puts them together.
const FRAGMENTS: &str = "add table inet fragments
    add chain inet fragments arriving { type filter hook prerouting priority -450; }
    add rule inet fragments arriving ip frag-off & 0x3fff != 0 counter
    add rule inet fragments arriving exthdr frag exists counter";

fn assert_fragments(namespace: &str) -> Result<()> {
    let listed = run(&[
        "ip",
        "netns",
        "exec",
        namespace,
        "nft",
        "list",
        "table",
        "inet",
        "fragments",
    ])?;
    let counted = listed.lines().filter_map(|line| line.split("packets ").nth(1));
    let counted: Vec<u64> = counted
        .filter_map(|rest| rest.split(' ').next()?.parse().ok())
        .collect();
    assert!(
        counted.len() == 2 && counted.iter().all(|count| *count >= 100),
        "{namespace}: {listed}"
    );
    Ok(())
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("a constant of this test")
}

/// The first datagram is lost where the link is narrow; its sender learns of it, and all others arrive, in fragments.
fn assert_path_mtu_is_learned(load: &Program, from: &str, to: &str) -> Result<()> {
    let orders = Client {
        parallel: 1,
        patience: Duration::from_secs(2),
        ..Client::udp(address(to), 10, 1_400)
    };
    let report = load.run(from, &orders)?;
    println!("{from} to {to}: {}", report.summary());
    assert!((1..=2).contains(&report.losses), "{from} to {to}: {report:?}");
    let host = address(to).ip().to_string();
    let route = run(&["ip", "-n", from, "route", "get", &host])?;
    assert!(
        route.contains(&format!("mtu {NARROW}")),
        "{from} to {to}: {route}"
    );
    Ok(())
}

pub fn are_whole_whatever_they_meet() -> Told {
    let mut scene = Scene::dark(Setting::new(Start::Kernel, config()))?;
    build(&scene.lab)?;
    let load = Program::own()?;
    let peers = Peers::new(Path::new(env!("CARGO_BIN_EXE_peer")));
    let (worker, deep, far) = (
        ["172.16.0.11:8080", "[2001:db8:0:2::11]:8080"],
        ["172.16.7.2:8080", "[2001:db8:0:7::2]:8080"],
        ["192.168.50.2:8080", "[2001:db8:0:50::2]:8080"],
    );
    let _servers = [
        load.serve("worker01", "one", &worker)?,
        load.serve_udp("worker01", "one", &worker)?,
        load.serve_udp("deep", "deep", &deep)?,
        load.serve_udp("far", "far", &far)?,
    ];
    let _sctp = [
        peers.serve("worker02", "sctp", "172.16.0.12:9900", "two")?,
        peers.serve("worker02", "sctp", "[2001:db8:0:2::12]:9900", "two")?,
    ];
    for namespace in ["host01", "worker01"] {
        lb_lab::command::run_with(&["ip", "netns", "exec", namespace, "nft", "-f", "-"], FRAGMENTS)?;
    }
    scene.power_on()?;
    scene.vm().wait_for_prompt(lb_e2e::scene::BOOT_LIMIT)?;
    scene.wait_for_report("services", Duration::from_secs(30), |services| {
        services["services"].as_array().is_some_and(|all| all.len() == 8)
    })?;
    let web = ["192.168.0.1:8080", "[2001:db8:0:1::1]:8080"];
    // What comes after the timeout of an idle connection is answered with a reset; what comes before is answered.
    let idle = load.start("host01", &Client::long(address(web[0]), 2, IDLE))?;
    let idle6 = load.start("host01", &Client::long(address(web[1]), 2, IDLE))?;
    let busy = load.start("host01", &Client::long(address(web[0]), 2, BUSY))?;
    for to in web {
        // One port, again and again.
        let orders = Client {
            parallel: 1,
            from_ports: Some((40_000, 40_000)),
            ..Client::short(address(to), 200)
        };
        let report = load.run("host01", &orders)?;
        println!("{}", report.summary());
        assert_eq!(report.lost(), Vec::<String>::new(), "one port to {to}");
        assert_eq!(report.slow.count, 0, "one port to {to}: {:?}", report.slow);
        let orders = Client {
            parallel: 2,
            ..Client::udp(address(to), 100, 4_000)
        };
        let report = load.run("host01", &orders)?;
        println!("{}", report.summary());
        assert_eq!(report.lost(), Vec::<String>::new(), "fragments to {to}");
        // From the server to a client behind a narrow link.
        let report = load.run("far", &Client::bulk(address(to), 2_000_000))?;
        println!("{}", report.summary());
        assert_eq!(
            report.lost(),
            Vec::<String>::new(),
            "from {to} through a narrow link"
        );
    }
    for namespace in ["host01", "worker01"] {
        assert_fragments(namespace)?;
    }
    for client in ["192.168.50.2", "2001:db8:0:50::2"] {
        let route = run(&["ip", "-n", "worker01", "route", "get", client])?;
        assert!(
            route.contains(&format!("mtu {NARROW}")),
            "the server learned of it: {route}"
        );
    }
    // From a client to a server behind a narrow link, and from a node to the world behind one.
    for to in ["192.168.0.1:8082", "[2001:db8:0:1::1]:8082"] {
        assert_path_mtu_is_learned(&load, "host01", to)?;
    }
    for to in far {
        assert_path_mtu_is_learned(&load, "worker02", to)?;
    }
    for (to, seen) in [
        ("192.168.0.1:9899", "two 192.168.0.10"),
        ("[2001:db8:0:1::1]:9899", "two 2001:db8:0:1::10"),
    ] {
        let answers = peers.ask("host01", "sctp", to, 10)?;
        assert_eq!(answers.get(seen), Some(&10), "SCTP to {to}: {answers:?}");
    }
    for (idle, family) in [(idle, "IPv4"), (idle6, "IPv6")] {
        idle.wait_for("idle connections end", 4 * IDLE, |so_far| so_far.losses == 2)?;
        let idle = idle.report()?;
        assert_eq!(idle.losses_by_kind.get("reset"), Some(&2), "{family}: {idle:?}");
        let first = idle.first_losses.first().map(|loss| loss.at_s);
        assert!(first.is_some_and(|at| at >= 13.0), "{family}: {idle:?}");
    }
    let busy = busy.report()?;
    assert_eq!(
        busy.lost(),
        Vec::<String>::new(),
        "connections that were not idle for too long"
    );
    Ok(())
}
