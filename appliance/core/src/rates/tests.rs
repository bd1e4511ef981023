//! Rates of whole reports: what is known, what is not, and what must never be said.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::control::{HealthWord, ServiceCounters, ServiceReport, StandingReport, TranslationReport};
use crate::traffic::{Memory, Softnet, Tracking};

fn bytes(in_bytes: u64) -> Traffic {
    Traffic {
        in_bytes,
        ..Traffic::default()
    }
}

fn server(address: &str, traffic: Option<Traffic>) -> ServerReport {
    ServerReport {
        address: address.into(),
        health: HealthWord::Up,
        since_ms: 0,
        weight: 1,
        configured_weight: 1,
        active_connections: 0,
        inactive_connections: 0,
        traffic,
        rates: None,
        last_check: None,
        several: None,
        standing: StandingReport::default(),
    }
}

fn service(name: &str, traffic: Option<Traffic>, servers: Vec<ServerReport>) -> ServiceReport {
    ServiceReport {
        mode: "primary".to_owned(),
        quorum: 1,
        weight_up: 1,
        name: name.into(),
        listen: "192.168.0.1:80".into(),
        protocol: "tcp".into(),
        fwmark: None,
        scheduler: "rr".into(),
        forward: "nat".into(),
        traffic,
        rates: None,
        servers,
    }
}

fn link(label: Option<&str>, link: Option<&str>, rx_bytes: u64) -> InterfaceReport {
    InterfaceReport {
        label: label.map(Into::into),
        link: link.map(Into::into),
        mac: None,
        state: "up".into(),
        mtu: None,
        stack: crate::control::StackReport::default(),
        addresses: vec![],
        rx_bytes,
        rx_packets: 0,
        rx_errors: 0,
        rx_dropped: 0,
        tx_bytes: 0,
        tx_packets: 0,
        tx_errors: 0,
        tx_dropped: 0,
        rates: None,
        carrier_age: None,
    }
}

fn counters(read_at_ms: u64, traffic: Option<Traffic>) -> CountersReport {
    CountersReport {
        hostname: "lb".into(),
        read_at_ms,
        processors: vec![Processor {
            busy_ms: read_at_ms / 4,
            idle_ms: read_at_ms - read_at_ms / 4,
        }],
        load: None,
        memory: Memory::default(),
        conntrack: Tracking::default(),
        softnet: Softnet::default(),
        ipvs: Default::default(),
        interfaces: vec![link(Some("eth0"), Some("eth0"), read_at_ms)],
        services: vec![ServiceCounters {
            name: "web".into(),
            listen: "192.168.0.1:80".into(),
            protocol: "tcp".into(),
            servers_up: 1,
            servers: 1,
            active_connections: 0,
            inactive_connections: 0,
            traffic,
            rates: None,
        }],
        service: Some(service("web", traffic, vec![server("10.0.0.1:80", traffic)])),
    }
}

/// What is said of the service's incoming bytes, and over which time.
fn told(report: &CountersReport) -> Option<(f64, u64)> {
    let rates = report.services[0].rates;
    let opened = report.service.as_ref().unwrap();
    assert_eq!(opened.rates, rates, "the opened service is the same service");
    assert_eq!(opened.servers[0].rates, rates, "and this its only server");
    rates.map(|r| (r.in_bytes_per_second, r.over_ms))
}

#[test]
fn rates_of_two_reports() {
    let services = |at, web: u64, first: u64| {
        Response::Services(ServicesReport {
            read_at_ms: at,
            services: vec![service(
                "web",
                Some(bytes(web)),
                vec![
                    server("10.0.0.1:80", Some(bytes(first))),
                    server("10.0.0.2:80", None),
                ],
            )],
        })
    };
    let mut after = services(5_000, 9_000, 100);
    between(&services(1_000, 1_000, 500), &mut after);
    let Response::Services(report) = &after else {
        panic!("{after:?}")
    };
    let web = &report.services[0];
    assert_eq!(web.rates.unwrap().in_bytes_per_second, 2_000.0);
    assert_eq!(web.servers[0].rates, None, "the server was added anew");
    assert_eq!(web.servers[1].rates, None, "not in the table");
    // Counters that could not be read are no zeros.
    let mut after = services(5_000, 9_000, 900);
    between(&services(0, 0, 0), &mut after);
    assert!(matches!(&after, Response::Services(r) if r.services[0].rates.is_none()));
}

#[test]
fn rates_of_links_and_translations() {
    let links = |at, rx: u64| {
        Response::Interfaces(InterfacesReport {
            read_at_ms: at,
            interfaces: vec![
                link(Some("eth0"), Some("eth0"), rx),
                link(Some("eth9"), None, 0),
                link(None, Some("eth1"), rx),
            ],
        })
    };
    let mut after = links(2_000, 1_250);
    between(&links(1_000, 0), &mut after);
    let Response::Interfaces(report) = &after else {
        panic!("{after:?}")
    };
    let rates: Vec<_> = report.interfaces.iter().map(|i| i.rates).collect();
    assert_eq!(rates[0].unwrap().rx_bits_per_second, 10_000.0);
    assert_eq!(rates[1], None, "no link");
    assert_eq!(rates[2], rates[0]);
    let gateway = |at, connections| {
        Response::Gateway(GatewayReport {
            read_at_ms: at,
            forwarding: true,
            masquerades: vec![TranslationReport {
                from: "172.16.0.0/24".into(),
                out: "eth0".into(),
                to: vec![],
                active: true,
                connections,
                connections_per_second: None,
            }],
            forwards: vec![],
            hairpins: vec![],
            routes: vec![],
            conntrack: Tracking::default(),
            backlog_dropped: 0,
        })
    };
    for (before, now, expected) in [(10, 14, Some(4.0)), (10, 3, None)] {
        let mut after = gateway(2_000, now);
        between(&gateway(1_000, before), &mut after);
        assert!(
            matches!(&after, Response::Gateway(r) if r.masquerades[0].connections_per_second == expected),
            "{after:?}"
        );
    }
}

#[test]
fn services_are_averaged_over_a_window_and_links_from_one_reading_to_the_next() {
    let mut history = History::default();
    // The kernel's totals step every two seconds: asked every second, they are the same twice.
    let mut all = Vec::new();
    for second in 1..=8u64 {
        let mut report = counters(second * 1_000, Some(bytes(second / 2 * 2_000)));
        history.rate(&mut report);
        all.push((
            told(&report),
            report.interfaces[0].rates.map(|r| r.rx_bits_per_second),
        ));
        assert_eq!(report.load.is_some(), second > 1);
        assert_eq!(history.spans_a_window(), second >= 5);
    }
    let known = Some((1_000.0, 4_000));
    let traffic: Vec<_> = all.iter().map(|(traffic, _)| *traffic).collect();
    assert_eq!(traffic, [None, None, None, None, known, known, known, known]);
    let links: Vec<_> = all.iter().map(|(_, link)| *link).collect();
    assert_eq!(links[1..], [Some(8_000.0); 7]);
    assert!(history.readings.len() <= 6, "no more than it needs");
}

#[test]
fn a_second_reading_at_once_disturbs_nothing() {
    let mut history = History::default();
    for at in [1_000, 3_000, 3_000, 3_001] {
        history.rate(&mut counters(at, Some(bytes(at))));
    }
    let mut report = counters(5_000, Some(bytes(5_000)));
    history.rate(&mut report);
    assert_eq!(told(&report), Some((1_000.0, 4_000)));
    let link = report.interfaces[0].rates.unwrap();
    assert_eq!((link.rx_bits_per_second, link.over_ms), (8_000.0, 1_999));
    let mut report = counters(5_001, Some(bytes(5_000)));
    history.rate(&mut report);
    assert_eq!(
        report.interfaces[0].rates.unwrap().over_ms,
        2_000,
        "not over a millisecond"
    );
}

#[test]
fn a_reset_within_the_window_ends_it_although_the_counter_is_higher_again() {
    let mut history = History::default();
    for (second, count) in [(1, Some(100)), (2, Some(0)), (3, Some(150))] {
        history.rate(&mut counters(second * 1_000, count.map(bytes)));
    }
    let mut report = counters(5_000, Some(bytes(250)));
    history.rate(&mut report);
    assert_eq!(
        told(&report),
        None,
        "100 at first and 250 now are of two services"
    );
    let mut report = counters(6_000, Some(bytes(400)));
    history.rate(&mut report);
    assert_eq!(told(&report), Some((100.0, 4_000)), "a window after the reset");
    // A service that was gone in between has begun anew as well.
    history.rate(&mut counters(8_000, None));
    history.rate(&mut counters(9_000, Some(bytes(1_000))));
    let mut report = counters(12_000, Some(bytes(2_000)));
    history.rate(&mut report);
    assert_eq!(told(&report), None);
}

#[test]
fn a_reading_that_failed_is_none_and_another_clock_begins_anew() {
    let mut history = History::default();
    history.rate(&mut counters(10_000, Some(bytes(100))));
    history.rate(&mut counters(0, None));
    let mut report = counters(14_000, Some(bytes(500)));
    history.rate(&mut report);
    assert_eq!(told(&report), Some((100.0, 4_000)));
    let mut report = counters(3_000, Some(bytes(900)));
    history.rate(&mut report);
    assert_eq!((told(&report), report.load), (None, None));
}

proptest! {
    /// Whatever the counters do (resets, gaps, any pace), a rate that is told is at most what was counted in its time.
    #[test]
    fn no_rate_is_made_up(steps in vec((1u64..5_000, prop_oneof![
        5 => (0u64..1 << 30).prop_map(Some),
        1 => Just(None),
    ], prop::bool::weighted(0.1)), 1..40)) {
        let mut history = History::default();
        let (mut at_ms, mut count) = (1_000, 0u64);
        let mut real = vec![(at_ms, 0u64)];
        for (pause, counted, reset) in steps {
            at_ms += pause;
            let by = counted.unwrap_or(0);
            count = if reset { by } else { count + by };
            let total = real.last().unwrap().1 + by;
            real.push((at_ms, total));
            let mut report = counters(at_ms, counted.map(|_| bytes(count)));
            history.rate(&mut report);
            if let Some((rate, over_ms)) = told(&report) {
                prop_assert!(rate >= 0.0 && over_ms >= LEAST_WINDOW_MS);
                let then = real.iter().find(|(at, _)| *at == at_ms - over_ms).expect("a reading").1;
                let most = (total - then) as f64 * 1_000.0 / over_ms as f64;
                prop_assert!(rate <= most + 0.001, "{rate} of {most}");
            }
        }
    }
}
