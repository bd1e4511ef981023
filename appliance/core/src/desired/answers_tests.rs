//! Which answers are translated, by which rules.

use super::fast_tests::{lines, service};
use super::network;
use crate::fake::FakeKernel;
use crate::ruleset::{Chain, Ruleset};

const DATAGRAMS: &str = "protocol = \"udp\"\none_packet = true\ncheck = { type = \"none\" }";

/// The scenario's network with these services; `inside` is added to the interface of the servers.
fn rules_of(inside: &str, services: &str) -> Ruleset {
    let text = format!(
        "[[interface]]\nname = \"eth0\"\naddresses = [\"192.168.0.1/24\", \"192.168.0.5/32\", \"2001:db8:1::1/64\"]\n\
         [[interface]]\nname = \"eth1\"\naddresses = [\"172.16.0.254/24\", \"2001:db8:2::1/64\"]\n{inside}\n\
         [[masquerade]]\nfrom = \"172.16.0.0/24\"\nout = \"eth0\"\n{services}"
    );
    let config = crate::config::parse(&text).expect("the test's configuration is right");
    let kernel = FakeKernel::with_links(&["eth0", "eth1"]);
    network(Some(&config), &kernel.state.links, &kernel.own, 1 << 30, |_| true).ruleset
}

/// `172.16.0.11:5353/udp as 192.168.0.1:53`
fn answers(rules: &Ruleset) -> Vec<String> {
    let answers = rules.answers.iter();
    let shown = answers.map(|(answers, source)| match source.port {
        Some(port) => format!("{answers} as {}", std::net::SocketAddr::new(source.address, port)),
        None => format!("{answers} as {}", source.address),
    });
    shown.collect()
}

#[test]
fn answers_take_the_address_and_port_that_were_asked() {
    let dns = service(
        "dns",
        "\"192.168.0.1:53\"",
        DATAGRAMS,
        &["172.16.0.11:53", "172.16.0.12:5353"],
    );
    let six = service(
        "six",
        "\"[2001:db8:1::1]:53\"",
        DATAGRAMS,
        &["[2001:db8:2::11]:53"],
    );
    let rules = rules_of("", &(dns + &six));
    assert_eq!(
        answers(&rules),
        [
            "172.16.0.11:53/udp as 192.168.0.1:53",
            "172.16.0.12:5353/udp as 192.168.0.1:53",
            "[2001:db8:2::11]:53/udp as [2001:db8:1::1]:53",
        ]
    );
    // Requests are not tracked either, but from the servers' side: those clients are hidden from the servers.
    assert_eq!(
        lines(&rules, Chain::Raw),
        [
            "untrack ipv4 requests not from eth1",
            "untrack ipv6 requests not from eth1",
            "untrack ipv4 replies from eth1 not to 172.16.0.0/24",
            "untrack ipv6 replies from eth1 not to 2001:db8:2::/64",
            "untrack by answers4 from eth1 not to 172.16.0.0/24",
            "untrack by answers6 from eth1 not to 2001:db8:2::/64",
        ]
    );
    assert_eq!(
        lines(&rules, Chain::Forward),
        [
            "offload established",
            "drop new from eth0",
            "answer by answers4",
            "answer by answers6"
        ]
    );
}

/// Such services are told by a mark and tracked; their answers are not.
#[test]
fn of_several_ports_an_answer_keeps_its_own() {
    let syslog = service(
        "syslog",
        "[\"192.168.0.1:514\", \"192.168.0.5:6514-6515\"]",
        DATAGRAMS,
        &["172.16.0.11"],
    );
    let rules = rules_of("", &syslog);
    assert_eq!(
        answers(&rules),
        [
            "172.16.0.11:514/udp as 192.168.0.1:514",
            "172.16.0.11:6514-6515/udp as 192.168.0.5",
        ]
    );
    assert_eq!(
        lines(&rules, Chain::Raw),
        [
            "untrack by answers4 from eth1 not to 172.16.0.0/24",
            "untrack by answer_ranges4 from eth1 not to 172.16.0.0/24",
        ]
    );
    assert_eq!(
        lines(&rules, Chain::Forward)[2..],
        ["answer by answers4", "answer by answer_ranges4"]
    );
}

/// What comes from outside untracked is dropped; packets that stay whole are answered past the box; others have a connection.
#[test]
fn only_what_passes_the_box_is_translated() {
    let whole = format!("{DATAGRAMS}\nforward = \"direct\"");
    let connected = "protocol = \"udp\"\ncheck = { type = \"none\" }";
    for (more, server) in [
        (DATAGRAMS, "192.168.0.7:53"),
        (&*whole, "172.16.0.11:53"),
        (connected, "172.16.0.11:53"),
    ] {
        let rules = rules_of("", &service("dns", "\"192.168.0.1:53\"", more, &[server]));
        assert_eq!(answers(&rules), [""; 0], "{more}");
        let by_map = |chain| lines(&rules, chain).iter().any(|line| line.contains(" by "));
        assert!(!by_map(Chain::Raw) && !by_map(Chain::Forward), "{more}");
    }
}

#[test]
fn a_service_beside_others_is_answered_whatever_they_need() {
    let shared = service(
        "web",
        "\"192.168.0.1:80\"",
        "forward = \"direct\"",
        &["172.16.0.11:80"],
    );
    let dns = service("dns", "\"192.168.0.1:53\"", DATAGRAMS, &["172.16.0.11:53"]);
    let rules = rules_of("", &(shared + &dns));
    assert_eq!(rules.fast.services.len(), 1, "and it makes no other one tracked");
    assert_eq!(answers(&rules).len(), 1);
    // The side of the servers leads everywhere: its clients are not only those beside the servers.
    let rules = rules_of("gateway = \"172.16.0.1\"", &dns);
    assert_eq!(
        lines(&rules, Chain::Raw),
        ["untrack by answers4 from eth1 not to 172.16.0.0/24"]
    );
}

#[test]
fn networks_that_fit_into_no_line_are_left_out() {
    let route = |n: u32| format!("{{ to = \"10.{n}.0.0/24\", via = \"172.16.0.9\" }}");
    let routes: Vec<String> = (0..40).map(route).collect();
    let dns = service("dns", "\"192.168.0.1:53\"", DATAGRAMS, &["172.16.0.11:53"]);
    let rules = rules_of(&format!("routes = [{}]", routes.join(", ")), &dns);
    let raw = lines(&rules, Chain::Raw);
    assert_eq!(raw.len(), 1);
    assert!(raw[0].starts_with("untrack by answers4 from eth1 not to 10.0.0.0/24,"));
    assert!((220..=240).contains(&raw[0].len()), "{}", raw[0]);
}

/// With more servers than are spared tracking, requests are tracked; answers find back all the same.
#[test]
fn thousands_of_servers_answer() {
    let servers: Vec<String> = (0..5_001)
        .map(|n| format!("172.16.0.{}:{}", 1 + n % 250, 1_000 + n))
        .collect();
    let servers: Vec<&str> = servers.iter().map(String::as_str).collect();
    let rules = rules_of("", &service("dns", "\"192.168.0.1:53\"", DATAGRAMS, &servers));
    assert!(rules.fast.services.is_empty());
    assert_eq!(rules.answers.len(), 5_001);
}
