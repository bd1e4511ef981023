//! Echoes, and what the network says of datagrams, in a network namespace of the test's own: this same test, started again under
//! unshare(1).

use std::process::Command;

use lb_core::check::UdpCheck;

use super::*;

fn shell(command: &str) {
    let done = Command::new("sh").args(["-ec", command]).status().unwrap();
    assert!(done.success(), "{command}");
}

fn isolated(name: &str, body: fn()) {
    if std::env::var_os("LB_TEST_ISOLATED").is_some() {
        shell("ip link set lo up");
        return body();
    }
    let mut unshare = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    let started = unshare
        .arg("--net")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("probe::tests::icmp::{name}"), "--nocapture"])
        .env("LB_TEST_ISOLATED", "1")
        .output()
        .expect("unshare(1) of util-linux is needed");
    let told = String::from_utf8_lossy(&started.stdout);
    let ran = started.status.success() && told.contains("1 passed");
    assert!(
        ran,
        "{name} failed in its namespace (as an ordinary user, user namespaces must be allowed): {told}{}",
        String::from_utf8_lossy(&started.stderr)
    );
}

fn ping(target: &str, params: &CheckParams) -> Outcome {
    run(SocketAddr::new(target.parse().unwrap(), 0), params).outcome
}

#[test]
fn a_machine_that_lives_answers() {
    isolated("a_machine_that_lives_answers", || {
        let params = asks(CheckKind::Icmp);
        let forbidden = "net.ipv4.ping_group_range does not let the appliance send pings";
        for target in ["127.0.0.1", "::1"] {
            assert_eq!(ping(target, &params), Outcome::CannotCheck(forbidden.to_owned()));
        }
        shell("echo 0 0 > /proc/sys/net/ipv4/ping_group_range");
        for target in ["127.0.0.1", "::1"] {
            let result = run(SocketAddr::new(target.parse().unwrap(), 80), &params);
            assert_eq!(result.outcome, Outcome::Pass, "{target}");
            assert!(result.latency < LONG);
        }
        // Many at once: each has its own reply.
        runtime().block_on(async {
            let way = way((Ipv4Addr::LOCALHOST, 0).into());
            let trust = trust();
            let checks = (0..100).map(|_| check(&way, &params, &trust));
            for result in futures_util::future::join_all(checks).await {
                assert_eq!(result.outcome, Outcome::Pass);
            }
        });
        shell("echo 1 > /proc/sys/net/ipv4/icmp_echo_ignore_all");
        let ignored = ping("127.0.0.1", &briefly(CheckKind::Icmp));
        assert_eq!(ignored, silent("no answer within 500ms"));
    });
}

#[test]
fn what_the_network_says_is_the_reason() {
    isolated("what_the_network_says_is_the_reason", || {
        shell(
            "echo 0 0 > /proc/sys/net/ipv4/ping_group_range
             ip link add v0 type veth peer name v1
             ip link set v0 up; ip link set v1 up
             ip addr add 10.9.0.1/24 dev v0
             ip route add unreachable 10.8.0.0/24",
        );
        let udp = CheckKind::Udp(UdpCheck::default());
        for kind in [CheckKind::Icmp, udp] {
            let params = asks(kind);
            // Nobody answers ARP there.
            assert_eq!(ping("10.9.0.2", &params), silent("host unreachable"));
            assert_eq!(ping("10.8.0.2", &params), silent("host unreachable"));
            let nowhere = Outcome::CannotCheck("no route to the server".to_owned());
            assert_eq!(ping("10.7.0.2", &params), nowhere);
        }
    });
}

/// Who watches a connection that ICMP or ARP's silence has ended is not told that nothing came.
#[test]
fn a_watched_connection_to_nowhere_says_what_may_have_come() {
    isolated("a_watched_connection_to_nowhere_says_what_may_have_come", || {
        shell("ip addr add 10.9.0.1/24 dev lo; ip route add unreachable 10.8.0.0/24");
        let target = "10.8.0.2:80".parse().unwrap();
        let params = asks(CheckKind::Tcp(Close::Fin));
        let Watched { result, steps } = runtime().block_on(watch(&way(target), &params, &trust()));
        assert_eq!(result.outcome, silent("host unreachable"));
        let came =
            "host unreachable: an ICMP error came back, or nobody answered ARP (`capture` shows which)";
        assert_eq!(steps[0].lines[1], came);
    });
}
