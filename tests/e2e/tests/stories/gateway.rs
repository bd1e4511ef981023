//! The nodes' way out, and ports that lead inside.

use std::path::Path;

use lb_e2e::config::{QUICK, scenario};
use lb_e2e::peer::{Answers, Peers};
use lb_e2e::{Scene, Setting, Start};
use lb_lab::command::{run, run_with};
use lb_lab::nginx::{Answer, Nginx};
use lb_lab::story::Told;
use lb_lab::{GATEWAY, HOST01, HOST02, Lab, VIP};
use serde_json::Value;

const OWN_ADDRESS: &str = "192.168.0.5";

/// A node with an egress address of its own is seen by it, whatever the order of the file; the others by the interface's.
pub fn nodes_leave_by_their_address() -> Told {
    let own = format!("\n[[masquerade]]\nfrom = \"172.16.0.1/32\"\nout = \"eth0\"\nto = \"{OWN_ADDRESS}\"\n");
    let config = scenario(QUICK).replacen(
        "addresses = [\"192.168.0.1/24\"]",
        &format!("addresses = [\"192.168.0.1/24\", \"{OWN_ADDRESS}/24\"]"),
        1,
    ) + &own;
    let mut scene = Scene::new(Setting::new(Start::Kernel, config))?;
    scene.wait_until_serving()?;
    for (node, expected) in [("master", OWN_ADDRESS), ("worker01", VIP), ("worker02", VIP)] {
        for _ in 0..5 {
            let fetch = scene.lab.curl(node, HOST02)?;
            assert_eq!(fetch.body.trim(), expected, "from {node}: {fetch:?}");
        }
    }
    let gateway = scene.vm().json("gateway")?;
    let counted: u64 = gateway["masquerades"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|masquerade| masquerade["to"][0] == OWN_ADDRESS)
        .filter_map(|masquerade| masquerade["connections"].as_u64())
        .sum();
    assert_eq!(counted, 5, "{gateway:#}");
    Ok(())
}

const FORWARDED: &str = "192.168.0.1:8022";
const POOL: [&str; 2] = ["192.168.0.30", "192.168.0.31"];
/// On worker02, in a network that the lb reaches through it.
const BEHIND: &str = "10.99.9.9";

/// A pool for the nodes, an address of its own for the network behind worker02, limited segments, and two forwards.
fn forwards() -> String {
    let config = scenario(QUICK)
        .replacen(
            "addresses = [\"192.168.0.1/24\"]",
            "addresses = [\"192.168.0.1/24\", \"192.168.0.30/32\", \"192.168.0.31/32\"]\nmss_clamp = 1300",
            1,
        )
        .replacen(
            "addresses = [\"172.16.0.254/24\"]",
            "addresses = [\"172.16.0.254/24\"]\nroutes = [{ to = \"10.99.9.0/24\", via = \"172.16.0.12\" }]",
            1,
        )
        .replacen(
            "out = \"eth0\"\n",
            "out = \"eth0\"\nto = \"192.168.0.30-192.168.0.31\"\n",
            1,
        );
    format!(
        "{config}\n[[masquerade]]\nfrom = \"10.99.9.0/24\"\nout = \"eth0\"\nto = \"192.168.0.1\"\n\
         [[port_forward]]\nlisten = \"{FORWARDED}\"\nto = \"172.16.0.11:8080\"\n\
         from = [\"192.168.0.10/32\", \"172.16.0.0/24\"]\n\
         [[port_forward]]\nlisten = \"192.168.0.1:5300\"\nto = \"172.16.0.12:5353\"\nprotocol = \"udp\"\n"
    )
}

/// A forwarded port with its client's address, for its clients only, and from beside its target; datagrams and their
/// answers; a pool; a routed network with an address of its own; segments limited on both sides.
pub fn forwards_and_pools() -> Told {
    let mut scene = Scene::new(Setting::new(Start::Kernel, forwards()))?;
    let _web = Nginx::start("worker01", "forwarded", 8080, Answer::Text("$remote_addr"))?;
    let peers = Peers::new(Path::new(env!("CARGO_BIN_EXE_peer")));
    let _echo = peers.serve("worker02", "udp", "172.16.0.12:5353", "echo")?;
    let behind = format!("{BEHIND}/32");
    run(&["ip", "-n", "worker02", "address", "add", &behind, "dev", "lo"])?;
    for (machine, _, kinds) in SEGMENTS {
        watch_segments(machine, kinds)?;
    }
    scene.wait_until_serving()?;
    forwarded_with_their_address(&scene.lab)?;
    for (host, address) in [("host01", HOST01), ("host02", HOST02)] {
        let answers = peers.ask(host, "udp", "192.168.0.1:5300", 5)?;
        assert_eq!(answers, Answers::from([(format!("echo {address}"), 5)]));
    }
    leave_by_the_pool(&scene.lab)?;
    for (machine, least, kinds) in SEGMENTS {
        segments_were_limited(machine, *least, kinds)?;
    }
    counted(&scene.vm().json("gateway")?);
    Ok(())
}

fn forwarded_with_their_address(lab: &Lab) -> Told {
    let client = lab.curl("host01", FORWARDED)?;
    assert_eq!(client.body.trim(), HOST01, "{client:?}");
    let stranger = lab.curl("host02", FORWARDED)?;
    assert!(stranger.timed_out(), "{stranger:?}");
    for node in ["worker01", "worker02", "master"] {
        let fetch = lab.curl(node, FORWARDED)?;
        assert_eq!(fetch.body.trim(), GATEWAY, "{node}: {fetch:?}");
    }
    Ok(())
}

fn leave_by_the_pool(lab: &Lab) -> Told {
    for node in ["master", "worker01", "worker02"] {
        let first = lab.curl(node, HOST02)?;
        assert!(POOL.contains(&first.body.trim()), "{node}: {first:?}");
        let again = lab.curl(node, HOST02)?;
        assert_eq!(again.body, first.body, "{node} keeps its address");
    }
    let behind = ["curl", "-sS", "-m", "2", "--interface", BEHIND, HOST02];
    let behind = lab.ip_netns_exec("worker02", &behind)?;
    assert_eq!(behind.stdout.trim(), VIP, "{behind:?}");
    Ok(())
}

const SYN: &str = "tcp flags & (syn | ack) == syn";
const SYN_ACK: &str = "tcp flags & (syn | ack) == (syn | ack)";

/// The counters' name, the TCP flags, and which packets else.
type Kind = (&'static str, &'static str, &'static str);

/// What arrives after a way through eth0, by machine: which packets, and how many at least.
const SEGMENTS: &[(&str, u64, &[Kind])] = &[
    (
        "worker01",
        1,
        &[
            ("balanced", SYN, "ip saddr 192.168.0.10 tcp dport 30080"),
            ("forwarded", SYN, "ip saddr 192.168.0.10 tcp dport 8080"),
            ("answers", SYN_ACK, "ip saddr 192.168.0.20 tcp sport 80"),
        ],
    ),
    (
        "host01",
        1,
        &[
            ("balanced", SYN_ACK, "ip saddr 192.168.0.1 tcp sport 30080"),
            ("forwarded", SYN_ACK, "ip saddr 192.168.0.1 tcp sport 8022"),
        ],
    ),
    // From each node twice, and from behind worker02.
    (
        "host02",
        7,
        &[("opened", SYN, "ip saddr != 192.168.0.20 tcp dport 80")],
    ),
];

/// Counts the packets of each kind with just the limit, and those with another.
fn watch_segments(machine: &str, kinds: &[Kind]) -> Told {
    let mut script = "table inet seen {\n".to_owned();
    let mut rules = String::new();
    for (name, flags, which) in kinds {
        for (suffix, size) in [("limited", "1300"), ("other", "!= 1300")] {
            script += &format!("counter {name}-{suffix} {{ }}\n");
            rules += &format!("{which} {flags} tcp option maxseg size {size} counter name {name}-{suffix}\n");
        }
    }
    script += &format!("chain in {{ type filter hook prerouting priority -310;\n{rules}}}\n}}\n");
    run_with(&["ip", "netns", "exec", machine, "nft", "-f", "-"], &script)?;
    Ok(())
}

fn segments_were_limited(machine: &str, least: u64, kinds: &[Kind]) -> Told {
    let argv = ["ip", "netns", "exec", machine, "nft", "-j", "list", "counters"];
    let listed: Value = serde_json::from_str(&run(&argv)?).expect("nft prints JSON");
    let packets = |name: String| -> Option<u64> {
        let mut counters = listed["nftables"]
            .as_array()?
            .iter()
            .map(|object| &object["counter"]);
        counters.find(|counter| counter["name"] == name.as_str())?["packets"].as_u64()
    };
    for (name, _, _) in kinds {
        let limited = packets(format!("{name}-limited"));
        assert!(limited >= Some(least), "{machine}, {name}: {limited:?}");
        assert_eq!(packets(format!("{name}-other")), Some(0), "{machine}, {name}");
    }
    Ok(())
}

/// What `gateway` says of all that.
fn counted(gateway: &Value) {
    let forwards = &gateway["forwards"];
    for (number, connections) in [(0, 4), (1, 10)] {
        assert_eq!(forwards[number]["connections"], connections, "{gateway:#}");
        assert_eq!(forwards[number]["active"], true, "{gateway:#}");
    }
    let hairpins = gateway["hairpins"].as_array().into_iter().flatten();
    let mut nodes = hairpins.filter(|hairpin| hairpin["from"] == "172.16.0.0/24");
    assert_eq!(
        nodes.next().map(|nodes| &nodes["connections"]),
        Some(&3.into()),
        "{gateway:#}"
    );
    let masquerades = gateway["masquerades"].as_array().into_iter().flatten();
    let used: Vec<_> = masquerades
        .map(|entry| (&entry["from"], &entry["connections"]))
        .collect();
    let expected =
        [("172.16.0.0/24", 6), ("10.99.9.0/24", 1)].map(|(from, n)| (Value::from(from), Value::from(n)));
    assert_eq!(
        used,
        expected.each_ref().map(|(from, n)| (from, n)),
        "{gateway:#}"
    );
}
