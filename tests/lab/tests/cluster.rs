//! The lab proves itself before a VM is put into it: a namespace that balances with nftables stands in for the lb, and
//! the scenario's rows hold or fail exactly as the scenario says, the trap of the worker without the pod included.

use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::time::Duration;

use lb_lab::cluster::{CLUSTER, EXTERNAL, curl};
use lb_lab::command::run_with;
use lb_lab::story::{self, Story, Told};
use lb_lab::{GATEWAY, HOST01, HOST02, Lab, MASTER_ANSWER, Options, SourceNat, VIP, nginx};

const SERVICE: &str = "192.168.0.1:30080";
const WORKER01: &str = "172.16.0.11";
const WORKER02: &str = "172.16.0.12";

fn main() -> ExitCode {
    let stories = vec![
        Story::new("the_rows_hold", 60, the_rows_hold),
        Story::new("the_worker_without_the_pod_is_a_trap", 60, the_trap),
        Story::new("the_pod_moves", 60, the_pod_moves),
        Story::new("source_nat_for_the_own_pod_too", 60, source_nat_always),
        Story::new("the_cage_is_empty_at_first", 30, the_cage_is_empty),
        Story::new("a_pod_needs_a_worker", 60, a_pod_needs_a_worker),
    ];
    story::main(stories, || nginx::unpack().map(drop))
}

/// A namespace in the lb's place; every connection to the NodePort goes to `worker`.
fn stand_in(lab: &Lab, worker: &str) -> lb_lab::Result<()> {
    lab.add_machine("lb")?;
    lab.attach("lb", "eth0", EXTERNAL, "192.168.0.1/24")?;
    lab.attach("lb", "eth1", CLUSTER, "172.16.0.254/24")?;
    lab.ip_netns_exec("lb", &["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])?;
    balance_to(worker)
}

fn balance_to(worker: &str) -> lb_lab::Result<()> {
    let rules = format!(
        "table ip lb\ndelete table ip lb\ntable ip lb {{\n\
           chain prerouting {{\n type nat hook prerouting priority dstnat;\n\
             ip daddr {VIP} tcp dport 30080 dnat to {worker}\n\
             ip daddr {VIP} tcp dport 6443 dnat to 172.16.0.1\n }}\n\
           chain postrouting {{\n type nat hook postrouting priority srcnat;\n\
             ip saddr 172.16.0.0/24 oifname \"eth0\" masquerade\n }}\n}}\n"
    );
    run_with(&["ip", "netns", "exec", "lb", "nft", "-f", "-"], &rules).map(drop)
}

fn address(text: &str) -> Ipv4Addr {
    text.parse().expect("a constant of this test")
}

fn the_rows_hold() -> Told {
    let lab = Lab::new(Options::default())?;
    stand_in(&lab, WORKER01)?;
    for _ in 0..5 {
        let fetch = lab.curl("host01", SERVICE)?;
        assert!(fetch.is_default_page(), "row 1: {fetch:?}");
    }
    let fetch = lab.curl("host02", SERVICE)?;
    assert!(fetch.timed_out(), "row 2: {fetch:?}");
    assert_eq!(lab.pod_clients(), vec![address(HOST01); 5], "row 3");
    let policy = lab.policy()?;
    assert_eq!(policy.accepted[&address(HOST01)], 5);
    assert!(policy.refused[&address(HOST02)] > 0);
    let fetch = lab.curl("host01", "192.168.0.1:6443")?;
    assert_eq!(fetch.body.trim(), MASTER_ANSWER, "row 4");
    for node in ["master", "worker01", "worker02"] {
        let fetch = lab.curl(node, HOST02)?;
        assert_eq!(fetch.body.trim(), VIP, "row 5 from {node}");
    }
    Ok(())
}

fn the_trap() -> Told {
    let lab = Lab::new(Options::default())?;
    stand_in(&lab, WORKER02)?;
    let fetch = lab.curl("host01", SERVICE)?;
    assert!(fetch.timed_out(), "through the wrong worker: {fetch:?}");
    let policy = lab.policy()?;
    assert!(policy.refused[&address(WORKER02)] > 0, "{policy:?}");
    assert!(lab.pod_clients().is_empty());
    // The lb's own checks tell the two workers apart.
    assert!(lab.curl("lb", "172.16.0.11:30080")?.is_default_page());
    assert!(lab.curl("lb", "172.16.0.12:30080")?.timed_out());
    assert_eq!(lab.pod_clients(), vec![address(GATEWAY)]);
    Ok(())
}

fn the_pod_moves() -> Told {
    let mut lab = Lab::new(Options::default())?;
    stand_in(&lab, WORKER01)?;
    for (worker, node) in [("worker02", WORKER02), ("worker01", WORKER01)] {
        lab.move_pod(worker)?;
        assert!(lab.pod_clients().is_empty(), "a new pod has a new log");
        let other = if node == WORKER01 { WORKER02 } else { WORKER01 };
        balance_to(other)?;
        let fetch = lab.curl("host01", SERVICE)?;
        assert!(fetch.timed_out(), "the pod has left {other}: {fetch:?}");
        balance_to(node)?;
        let fetch = lab.curl("host01", SERVICE)?;
        assert!(fetch.is_default_page(), "the pod is on {worker}: {fetch:?}");
        assert_eq!(lab.pod_clients(), [address(HOST01)]);
    }
    Ok(())
}

fn source_nat_always() -> Told {
    let lab = Lab::new(Options {
        source_nat: SourceNat::Always,
    })?;
    stand_in(&lab, WORKER01)?;
    assert!(lab.curl("host01", SERVICE)?.is_default_page());
    assert!(lab.curl("host02", SERVICE)?.timed_out());
    // The pod sees its worker; the policy, which stands before the masquerade, sees the client.
    assert_eq!(lab.pod_clients(), [address("10.244.1.1")]);
    assert_eq!(lab.policy()?.accepted[&address(HOST01)], 1);
    Ok(())
}

fn the_cage_is_empty() -> Told {
    let links = lb_lab::command::run(&["ip", "-o", "link"])?;
    assert_eq!(links.lines().count(), 1, "only loopback: {links}");
    let processes = std::fs::read_dir("/proc")?
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok())
        .count();
    assert_eq!(processes, 1, "only this process");
    assert_eq!(std::fs::read_dir("/run")?.count(), 1, "only the scratch space");
    Ok(())
}

fn a_pod_needs_a_worker() -> Told {
    let mut lab = Lab::new(Options::default())?;
    let refused = lab.move_pod("worker03");
    assert!(refused.is_err_and(|error| error.to_string().contains("worker03")));
    let nobody = curl("host01", SERVICE, Duration::from_millis(100))?;
    assert!(
        nobody.timed_out(),
        "nobody holds the lb's address yet: {nobody:?}"
    );
    Ok(())
}
