//! Which server is checked when, and what becomes of the results.

use std::time::Duration;

use super::*;
use lb_core::config;

const HEAD: &str = "[[interface]]\nname = \"eth0\"\naddresses = [\"10.0.0.1/8\"]\n";

fn config(services: &[(u16, &[u8])]) -> Config {
    let mut text = HEAD.to_owned();
    for (port, servers) in services {
        text += &format!("[[virtual_server]]\nname = \"s{port}\"\nlisten = \"10.0.0.1:{port}\"\n");
        for server in *servers {
            text += &format!("[[virtual_server.real_server]]\naddress = \"10.1.0.{server}:80\"\n");
        }
    }
    config::parse(&text).unwrap()
}

fn shown(due: &[(ServerKey, Arc<CheckParams>)]) -> Vec<String> {
    let mut lines: Vec<String> = due
        .iter()
        .map(|(key, _)| format!("{} {}", key.service, key.server.address))
        .collect();
    lines.sort();
    lines
}

#[test]
fn each_server_has_its_turn_also_after_a_change_of_its_service() {
    let epoch = Instant::now();
    let mut checks = Checks::new(epoch);
    let first = config(&[(80, &[1, 2]), (81, &[3])]);
    checks.configure(epoch, &first, |_| None);
    assert_eq!(checks.next_due(), Some(epoch));
    assert_eq!(
        shown(&checks.take_due(epoch)),
        [
            "10.0.0.1:80/tcp 10.1.0.1",
            "10.0.0.1:80/tcp 10.1.0.2",
            "10.0.0.1:81/tcp 10.1.0.3"
        ]
    );
    assert_eq!(checks.next_due(), None, "all are under way");
    let pass = CheckResult {
        outcome: Outcome::Pass,
        ended: epoch + Duration::from_millis(5),
        latency: Duration::from_millis(5),
        endpoints: None,
    };
    let kind = CheckParams::default().kind;
    let key = |port: u16, server: u8| ServerKey {
        service: format!("10.0.0.1:{port}/tcp").parse().unwrap(),
        server: RealKey {
            address: format!("10.1.0.{server}").parse().unwrap(),
            port: 80,
        },
    };
    for (port, server) in [(80, 1), (80, 2), (81, 3)] {
        assert!(
            checks
                .record(key(port, server), &kind, &pass, &Links::new())
                .is_some()
        );
    }
    let due = checks.next_due().unwrap();
    assert!(due > epoch && due <= epoch + Duration::from_secs(3));
    // A server in front of the others, and one less: what is known of the rest stays.
    let now = epoch + Duration::from_millis(10);
    let second = config(&[(80, &[0, 2]), (81, &[3])]);
    let listen = key(80, 0).service;
    checks.configure_one(now, &second, &listen, second.services().next(), |_| None);
    assert_eq!(shown(&checks.take_due(now)), ["10.0.0.1:80/tcp 10.1.0.0"]);
    assert!(checks.in_pool(&key(80, 2)) && checks.in_pool(&key(81, 3)) && !checks.in_pool(&key(80, 1)));
    assert_eq!(checks.record(key(80, 1), &kind, &pass, &Links::new()), None);
    assert_eq!(checks.count(), (2, 3));
    let later = epoch + Duration::from_secs(3);
    assert_eq!(
        shown(&checks.take_due(later)),
        ["10.0.0.1:80/tcp 10.1.0.2", "10.0.0.1:81/tcp 10.1.0.3"]
    );
    let pass = CheckResult { ended: later, ..pass };
    for (port, server) in [(80, 2), (81, 3)] {
        assert_eq!(
            checks.record(key(port, server), &kind, &pass, &Links::new()),
            None
        );
    }
    // Somebody wants to know: one service's servers, but for the one that is being checked.
    assert_eq!(checks.check_now(later, Some(&listen)), 1);
    assert_eq!(shown(&checks.take_due(later)), ["10.0.0.1:80/tcp 10.1.0.2"]);
    assert_eq!(checks.check_now(later, None), 1);
    assert_eq!(shown(&checks.take_due(later)), ["10.0.0.1:81/tcp 10.1.0.3"]);
    checks.configure_one(now, &second, &listen, None, |_| None);
    assert_eq!(checks.count(), (1, 1));
    assert_eq!(checks.next_due(), None);
}

#[test]
fn a_server_gets_its_weight_once_for_each_endpoint() {
    let now = Instant::now();
    let text = format!(
        "{HEAD}[[virtual_server]]\nname = \"s\"\nlisten = \"10.0.0.1:80\"\n\
         check = {{ type = \"healthCheckNodePort\", port = 32000 }}\n\
         [[virtual_server.real_server]]\naddress = \"10.1.0.1:80\"\nweight = 2\n"
    );
    let config = config::parse(&text).unwrap();
    let key = ServerKey {
        service: config.virtual_servers[0].key,
        server: config.virtual_servers[0].real_servers[0].address,
    };
    let kind = config.virtual_servers[0].real_servers[0].check.kind.clone();
    let mut checks = Checks::new(now);
    // An agent that starts again finds what it gave before.
    checks.configure(now, &config, |_| Weight::new(6));
    assert_eq!(checks.share(&key), Some(3));
    for (told, share) in [(Some(5), 5), (None, 1)] {
        checks.take_due(now + Duration::from_secs(60));
        let pass = CheckResult {
            outcome: Outcome::Pass,
            ended: now,
            latency: Duration::ZERO,
            endpoints: told.and_then(NonZeroU16::new),
        };
        assert_eq!(checks.record(key, &kind, &pass, &Links::new()), None, "it was up");
        assert_eq!(checks.share(&key), Some(share));
    }
}

#[test]
fn an_answer_to_another_question_says_nothing() {
    let now = Instant::now();
    let mut checks = Checks::new(now);
    let before = config(&[(80, &[1])]);
    checks.configure(now, &before, |_| None);
    let asked = checks.take_due(now);
    let other = HEAD.to_owned()
        + "[[virtual_server]]\nname = \"s80\"\nlisten = \"10.0.0.1:80\"\ncheck = \"http\"\n\
           [[virtual_server.real_server]]\naddress = \"10.1.0.1:80\"\n";
    checks.configure(now, &config::parse(&other).unwrap(), |_| None);
    let (key, params) = &asked[0];
    let pass = CheckResult {
        outcome: Outcome::Pass,
        ended: now,
        latency: Duration::ZERO,
        endpoints: None,
    };
    assert_eq!(checks.record(*key, &params.kind, &pass, &Links::new()), None);
    assert!(
        !checks.in_pool(key),
        "the port is open; nobody has asked for the page"
    );
    let asked = checks.take_due(now);
    assert!(
        checks
            .record(*key, &asked[0].1.kind, &pass, &Links::new())
            .is_some()
    );
}
