//! The load proves itself: what is whole is counted as whole, and each kind of loss is seen, while a namespace stands in
//! for the lb.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use lb_lab::cluster::{CLUSTER, EXTERNAL};
use lb_lab::command::{run, run_with};
use lb_lab::load::{Client, Program, Report};
use lb_lab::story::{self, Story, Told};
use lb_lab::{Lab, Options, Result, nginx};

const SERVER: &str = "172.16.0.11:8080";
/// Reached through the box in between.
const SERVICE: ([u8; 4], u16) = ([192, 168, 0, 1], 8080);
const SOON: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_millis(1_500);

fn main() -> ExitCode {
    let stories = vec![
        Story::new("what_is_whole_is_counted", 60, what_is_whole_is_counted),
        Story::new("every_kind_of_loss_is_seen", 60, every_kind_of_loss_is_seen),
    ];
    story::main(stories, || nginx::unpack().map(drop))
}

/// Everything for the service goes to worker01; `more` are rules of its forward chain.
fn stand_in(more: &str) -> Result<()> {
    let rules = format!(
        "table ip lb\ndelete table ip lb\ntable ip lb {{\n\
           chain prerouting {{\n type nat hook prerouting priority dstnat;\n\
             ip daddr 192.168.0.1 dnat to 172.16.0.11\n }}\n\
           set once {{ type inet_service; flags dynamic; size 1000; }}
           chain forward {{\n type filter hook forward priority filter;\n {more}\n }}\n}}\n"
    );
    run_with(&["ip", "netns", "exec", "lb", "nft", "-f", "-"], &rules).map(drop)
}

fn lab() -> Result<Lab> {
    let lab = Lab::new(Options::default())?;
    lab.add_machine("lb")?;
    lab.attach("lb", "eth0", EXTERNAL, "192.168.0.1/24")?;
    lab.attach("lb", "eth1", CLUSTER, "172.16.0.254/24")?;
    // Forwarding, and an ICMP error for everybody who has earned one.
    let settings = "cd /proc/sys/net/ipv4; echo 1 > ip_forward; echo 0 > icmp_ratelimit";
    lab.ip_netns_exec("lb", &["sh", "-c", settings])?;
    stand_in("")?;
    Ok(lab)
}

fn assert_whole(report: &Report) {
    println!("{}", report.summary());
    assert_eq!(report.lost(), Vec::<String>::new());
    assert_eq!(report.slow.count, 0, "{report:?}");
}

fn what_is_whole_is_counted() -> Told {
    let _lab = lab()?;
    let load = Program::own()?;
    let service = SocketAddr::from(SERVICE);
    let _servers = [
        load.serve("worker01", "one", &[SERVER])?,
        load.serve_udp("worker01", "one", &[SERVER])?,
    ];
    let long = load.start("host01", &Client::long(service, 20, Duration::from_millis(100)))?;
    let short = load.run("host01", &Client::short(service, 5_000))?;
    assert_whole(&short);
    assert_eq!(
        (short.begun, short.requests, short.answers),
        (5_000, 5_000, 5_000)
    );
    assert_eq!(short.servers["one"], 5_000);
    let _hall = load.serve_held("worker01", "hall", &["172.16.0.11:8081"])?;
    let held = Client::held(SocketAddr::from((SERVICE.0, 8_081)), 3_000, 3);
    let held = load.start("host01", &held)?;
    held.wait_for("connections that are held", SOON, |so_far| so_far.begun == 3_000)?;
    let held = held.report()?;
    assert_whole(&held);
    assert_eq!((held.completed, held.answers), (3_000, 1_000));
    assert_eq!(held.servers["hall"], 1_000);
    let kept = load.run("host01", &Client::kept_alive(service, 2_000))?;
    assert_whole(&kept);
    assert_eq!((kept.begun, kept.answers), (1, 2_000));
    let bulk = load.run("host01", &Client::bulk(service, 100_000_000))?;
    assert_whole(&bulk);
    assert_eq!(bulk.bytes, 100_000_000);
    let fixed = Client {
        from_ports: Some((20_000, 20_049)),
        rate: Some(1_000),
        ..Client::short(service, 500)
    };
    let fixed = load.run("host01", &fixed)?;
    assert_whole(&fixed);
    assert!(fixed.seconds >= 0.4, "500 at 1,000/s: {}", fixed.seconds);
    for (bytes, parallel) in [(100, 16), (10_000, 4)] {
        let client = Client {
            parallel,
            ..Client::udp(service, 500, bytes)
        };
        let datagrams = load.run("host01", &client)?;
        assert_whole(&datagrams);
        assert_eq!(datagrams.answers, 500);
    }
    let long = long.report()?;
    assert_whole(&long);
    assert_eq!(long.begun, 20);
    assert!(long.answers > 40, "{long:?}");
    Ok(())
}

/// All of ten connections are lost, as `kind`.
fn assert_lost(load: &Program, client: Client, kind: &str) -> Result<()> {
    let client = Client {
        patience: PATIENCE,
        parallel: 10,
        ..client
    };
    let report = load.run("host01", &client)?;
    println!("{}", report.summary());
    assert_eq!(report.losses_by_kind.get(kind), Some(&10), "{report:?}");
    assert_eq!((report.losses, report.completed), (10, 0), "{report:?}");
    assert_eq!(report.lost().len(), 10, "{report:?}");
    Ok(())
}

fn every_kind_of_loss_is_seen() -> Told {
    let _lab = lab()?;
    let load = Program::own()?;
    let service = SocketAddr::from(SERVICE);
    let ten = Client::short(service, 10);
    assert_lost(&load, ten.clone(), "refused")?;
    let server = load.serve("worker01", "one", &[SERVER])?;
    stand_in("tcp dport 8080 drop")?;
    assert_lost(&load, ten.clone(), "timeout")?;
    // What comes back is dropped from the answer on.
    stand_in("tcp sport 8080 tcp flags & (syn | fin) == 0 drop")?;
    assert_lost(&load, ten.clone(), "timeout")?;
    stand_in("tcp dport 8080 tcp flags & syn == 0 reject with tcp reset")?;
    assert_lost(&load, ten.clone(), "reset")?;
    stand_in("ip daddr 172.16.0.11 reject with icmp type host-unreachable")?;
    assert_lost(&load, ten.clone(), "unreachable")?;
    stand_in("")?;

    // Every first SYN is dropped: nobody loses anything, and nobody is served at once.
    stand_in("tcp flags & (syn | ack) == syn update @once { tcp sport limit rate over 1/hour burst 1 packets } accept
              tcp flags & (syn | ack) == syn drop")?;
    let slow = load.run(
        "host01",
        &Client {
            parallel: 10,
            ..ten.clone()
        },
    )?;
    println!("{}", slow.summary());
    assert_eq!(slow.lost(), Vec::<String>::new());
    assert_eq!(slow.slow.count, 10, "{slow:?}");
    stand_in("")?;

    // A connection that stays, whose server ends.
    let long = load.start("host01", &Client::long(service, 10, Duration::from_millis(100)))?;
    long.wait_for("all are answered", SOON, |so_far| so_far.answers >= 20)?;
    drop(server);
    long.wait_for("all are lost", SOON, |so_far| so_far.losses == 10)?;
    let long = long.report()?;
    println!("{}", long.summary());
    assert_eq!((long.losses, long.completed), (10, 0), "{long:?}");

    // Others than ours answer.
    let nginx = SocketAddr::from(([172, 16, 0, 1], 6443));
    let strange = Client {
        bytes: 1_000,
        ..Client::short(nginx, 10)
    };
    run(&[
        "ip",
        "-n",
        "host01",
        "route",
        "add",
        "172.16.0.0/24",
        "via",
        "192.168.0.1",
    ])?;
    assert_lost(&load, strange, "wrong").map_err(Into::into)
}
