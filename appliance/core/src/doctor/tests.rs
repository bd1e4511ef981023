//! What is found in what was read.

use super::*;
use crate::config;
use crate::observed::{IpvsTimeouts, ServerActivity};
use crate::ruleset::Rule;
use crate::traffic::Traffic;

fn scenario(more: &str) -> Config {
    let text = format!(
        "[[interface]]\nname = \"eth0\"\naddresses = [\"192.168.0.1/24\"]\n\
         [[interface]]\nname = \"eth1\"\naddresses = [\"172.16.0.254/24\"]\n\
         [[masquerade]]\nfrom = \"172.16.0.0/24\"\nout = \"eth0\"\n\
         [[virtual_server]]\nname = \"nginx\"\nlisten = \"192.168.0.1:80\"\n{more}\
         [[virtual_server.real_server]]\naddress = \"172.16.0.11:30080\"\n\
         [[virtual_server.real_server]]\naddress = \"172.16.0.12:30080\"\n"
    );
    config::parse(&text).unwrap_or_else(|faults| panic!("{}", faults.render("lb.toml", &text)))
}

fn observed(config: &Config) -> Observed {
    let sysctls = crate::desired::sysctls(1 << 30, &config.timeouts, [].iter());
    Observed {
        sysctls,
        ipvs_timeouts: Some(config.timeouts),
        ..Observed::default()
    }
}

fn counted(config: &Config, packets: &[(u64, u64)]) -> Activity {
    let service = &config.virtual_servers[0];
    let servers = service
        .real_servers
        .iter()
        .zip(packets)
        .map(|(real, (inward, outward))| {
            let key = service.server_key(real);
            let traffic = Traffic {
                in_packets: *inward,
                out_packets: *outward,
                ..Traffic::default()
            };
            (
                key,
                ServerActivity {
                    traffic,
                    ..ServerActivity::default()
                },
            )
        });
    Activity {
        servers: servers.collect(),
        ..Activity::default()
    }
}

/// `good nobody else ...`, in order; the machine's findings last.
fn lines(
    config: &Config,
    observed: &Observed,
    activity: &Activity,
    others: &[(&str, &[&str])],
) -> Vec<String> {
    lines_with(config, observed, activity, others, (&[], &[]))
}

/// `ways`: what the scenario's two servers do with a stranger; `connections`: what is balanced meanwhile.
fn lines_with(
    config: &Config,
    observed: &Observed,
    activity: &Activity,
    others: &[(&str, &[&str])],
    (ways, connections): (&[WayBack], &[Connection]),
) -> Vec<String> {
    let others = others.iter().map(|(address, macs)| {
        let macs = macs.iter().map(|mac| (*mac).to_owned()).collect();
        (address.parse().unwrap(), macs)
    });
    let servers = config.virtual_servers[0]
        .real_servers
        .iter()
        .map(|real| real.address);
    let wire = Wire {
        others: others.collect(),
        ways: servers.zip(ways.iter().copied()).collect(),
        connections: connections.to_vec(),
        ..Wire::default()
    };
    let facts = Facts {
        config,
        observed,
        activity,
        wire: &wire,
        down: &BTreeSet::new(),
    };
    let report = examine(&facts, config.services());
    let findings = report.services.into_iter().flat_map(|service| service.findings);
    let all = findings.chain(report.machine);
    all.map(|finding| {
        let remedy = finding
            .remedy
            .map(|remedy| format!(" -> {remedy}"))
            .unwrap_or_default();
        format!("{:?} {}{remedy}", finding.word, finding.what)
    })
    .collect()
}

fn has(lines: &[String], begin: &str, remedy: &str) {
    let found = lines
        .iter()
        .any(|line| line.starts_with(begin) && line.contains(remedy));
    assert!(found, "{begin} ... {remedy}: {lines:#?}");
}

#[test]
fn a_healthy_service_has_nothing_to_mend() {
    let config = scenario("check = { type = \"healthCheckNodePort\", port = 32000 }\n");
    let observed = observed(&config);
    let activity = counted(&config, &[(10, 9), (0, 0)]);
    let lines = lines(&config, &observed, &activity, &[("192.168.0.1", &[])]);
    assert!(lines.iter().all(|line| line.starts_with("Good ")), "{lines:#?}");
    assert_eq!(lines.len(), 6);
}

#[test]
fn a_server_with_another_gateway_is_found() {
    let config = scenario("");
    let activity = counted(&config, &[(10, 9), (12, 0)]);
    let lines = lines(&config, &observed(&config), &activity, &[]);
    has(
        &lines,
        "Bad 172.16.0.12:30080 gets its clients' packets",
        "has to be 172.16.0.254",
    );
    has(&lines, "Good answers of 1 server", "");
    has(
        &lines,
        "Unknown the servers look like NodePorts",
        "healthCheckNodePort",
    );
}

#[test]
fn without_clients_nothing_is_claimed() {
    let config = scenario("");
    let lines = lines(
        &config,
        &observed(&config),
        &counted(&config, &[(4, 0), (0, 0)]),
        &[],
    );
    has(&lines, "Unknown no client has connected yet", "ask again");
}

#[test]
fn a_stranger_proves_the_way_back_before_any_client_has_come() {
    let config = scenario("");
    let ask = |counts: &[(u64, u64)], ways: &[WayBack]| {
        let counted = counted(&config, counts);
        lines_with(&config, &observed(&config), &counted, &[], (ways, &[]))
    };
    let near = WayBack::Through { hops: 1 };
    let none = [(0, 0), (0, 0)];
    has(
        &ask(&none, &[near, near]),
        "Good answers of 2 servers come back through the lb: a SYN",
        "",
    );
    // Its gateway is another one, or a policy has dropped the stranger: nothing here tells which.
    let lines = ask(&none, &[near, WayBack::Nowhere]);
    has(
        &lines,
        "Doubtful 172.16.0.12:30080 does not answer a SYN",
        "(172.16.0.254)",
    );
    assert!(!lines.iter().any(|line| line.contains("farther")), "{lines:#?}");
    // What was counted at some time is no proof of now.
    let lines = ask(&[(9, 9), (9, 9)], &[WayBack::Nowhere, near]);
    has(
        &lines,
        "Unknown 172.16.0.11:30080 answered through the lb before",
        "connect from a client",
    );
    has(&lines, "Good answers of 1 server come back", "");
    assert!(!lines.iter().any(|line| line.starts_with("Bad")), "{lines:#?}");
}

/// What goes on now: clients that are answered, that wait, and that had answers and wait.
#[test]
fn connections_of_now_count_for_more_than_what_was_counted() {
    let config = scenario("");
    let of = |client: &str, state: &str, expires_s: u64| Connection {
        client: format!("{client}:40000").parse().unwrap(),
        service: "192.168.0.1:80".parse().unwrap(),
        server: "172.16.0.11:30080".parse().unwrap(),
        protocol: "TCP".to_owned(),
        state: state.to_owned(),
        expires_s,
    };
    let ask = |way: WayBack, connections: &[Connection]| {
        let counted = counted(&config, &[(9, 9), (0, 0)]);
        let ways = [way, WayBack::Through { hops: 1 }];
        lines_with(&config, &observed(&config), &counted, &[], (&ways, connections))
    };
    let (host, node) = ("192.168.0.10", "172.16.0.12");
    // The policy of the pod drops the stranger, and somebody else whom it does not let in.
    let served = [of(host, "TIME_WAIT", 110), of("192.168.0.20", "SYN_RECV", 50)];
    has(
        &ask(WayBack::Nowhere, &served),
        "Good answers of 1 server come back through the lb: connections of clients show it",
        "",
    );
    // The server's gateway was taken away: who was answered is no more.
    let ended = [of(host, "TIME_WAIT", 110), of(host, "SYN_RECV", 57)];
    has(
        &ask(WayBack::Nowhere, &ended),
        "Bad 172.16.0.11:30080 answered clients through the lb before",
        "has to be 172.16.0.254",
    );
    // One that was lost before the client was answered is over.
    let before = [of(host, "SYN_RECV", 20), of(host, "TIME_WAIT", 110)];
    has(&ask(WayBack::Nowhere, &before), "Good answers of 1 server", "");
    // A SYN that is just under way is no sign.
    let busy = [of(host, "ESTABLISHED", 899), of(host, "SYN_RECV", 60)];
    has(&ask(WayBack::Nowhere, &busy), "Good answers of 1 server", "");
    // Nodes come with an address of the lb's, and prove nothing.
    let hidden = [of(node, "ESTABLISHED", 899), of(host, "SYN_RECV", 40)];
    has(
        &ask(WayBack::Nowhere, &hidden),
        "Doubtful 172.16.0.11:30080 does not answer clients that wait",
        "a policy or filter",
    );
}

#[test]
fn a_service_that_is_down_is_said_to_be() {
    let config = scenario("");
    let facts = Facts {
        config: &config,
        observed: &observed(&config),
        activity: &Activity::default(),
        wire: &Wire::default(),
        down: &BTreeSet::from(["nginx".to_owned()]),
    };
    let report = examine(&facts, config.services());
    let findings = &report.services[0].findings;
    let down = findings
        .iter()
        .find(|finding| finding.what == "no server of it is up");
    let remedy = down.and_then(|finding| finding.remedy.as_deref()).unwrap();
    assert!(remedy.starts_with("`services nginx`"), "{remedy}");
    assert!(
        !findings
            .iter()
            .any(|finding| finding.what.contains("no client has connected")),
        "{findings:#?}"
    );
}

#[test]
fn a_node_that_sends_clients_on_is_farther_away() {
    let config = scenario("");
    let ways = [WayBack::Through { hops: 1 }, WayBack::Through { hops: 3 }];
    let lines = lines_with(
        &config,
        &observed(&config),
        &Activity::default(),
        &[],
        (&ways, &[]),
    );
    has(
        &lines,
        "Doubtful answers of 172.16.0.12:30080 come from farther away",
        "externalTrafficPolicy: Local",
    );
}

#[test]
fn a_stranger_is_in_no_network_of_the_file() {
    let mut config = scenario("");
    let text = |config: &Config, is_ipv4| stranger(config, is_ipv4).map(|address| address.to_string());
    assert_eq!(text(&config, true).as_deref(), Some("192.0.2.1"));
    assert_eq!(text(&config, false).as_deref(), Some("2001:db8::1"));
    config.interfaces[0]
        .addresses
        .push("192.0.2.9/24".parse().unwrap());
    config.interfaces[0]
        .addresses
        .push("2001:db8::9/32".parse().unwrap());
    assert_eq!(text(&config, true).as_deref(), Some("198.51.100.1"));
    assert_eq!(text(&config, false).as_deref(), Some("3fff::1"));
}

#[test]
fn another_machine_with_the_address_is_found() {
    let config = scenario("");
    let lines = lines(
        &config,
        &observed(&config),
        &Activity::default(),
        &[("192.168.0.1", &["52:54:00:00:00:99"])],
    );
    has(
        &lines,
        "Bad 192.168.0.1 is also the address of 52:54:00:00:00:99",
        "take it from",
    );
}

#[test]
fn where_there_is_nothing_to_examine_that_is_said() {
    let machine = |config: &Config| {
        let observed = observed(config);
        let facts = Facts {
            config,
            observed: &observed,
            activity: &Activity::default(),
            wire: &Wire::default(),
            down: &BTreeSet::new(),
        };
        let found = examine(&facts, config.services()).machine;
        found
            .first()
            .map(|finding| (finding.word, finding.what.clone()))
            .unwrap()
    };
    let (word, what) = machine(&Config::empty());
    assert_eq!(word, FindingWord::Bad);
    assert!(what.starts_with("no interface is configured"), "{what}");
    let mut config = scenario("");
    config.virtual_servers.clear();
    let (word, what) = machine(&config);
    assert_eq!(word, FindingWord::Unknown);
    assert!(what.starts_with("no service is configured"), "{what}");
    assert_eq!(machine(&scenario("")).0, FindingWord::Good);
}

#[test]
fn what_hides_clients_is_found() {
    let mut config = scenario("");
    config.masquerades[0].out = "eth1".to_owned();
    let from = "172.16.0.0/24".parse().unwrap();
    let activity = Activity {
        translated: vec![(
            Rule::Hairpin {
                from,
                out: "eth1".parse().unwrap(),
            },
            7,
        )],
        ..Activity::default()
    };
    let lines = lines(&config, &observed(&config), &activity, &[]);
    has(
        &lines,
        "Doubtful servers are behind eth1",
        "only towards the outside",
    );
    has(
        &lines,
        "Doubtful 7 connections of clients beside the servers",
        "policies",
    );
}

#[test]
fn settings_that_disagree_are_found() {
    let config = scenario("");
    let mut observed = observed(&config);
    observed.ipvs_timeouts = Some(IpvsTimeouts {
        udp_s: 300,
        ..config.timeouts
    });
    observed
        .sysctls
        .insert("net/ipv4/conf/all/rp_filter".to_owned(), "1".to_owned());
    let lines = lines(&config, &observed, &Activity::default(), &[]);
    has(
        &lines,
        "Bad IPVS and connection tracking forget at different times: udp: 300 s and 120 s",
        "repaired",
    );
    has(&lines, "Bad net/ipv4/conf/all/rp_filter is 1", "repaired");
}

#[test]
fn a_next_hop_that_does_not_answer_is_found() {
    let config = scenario("");
    let hop = |address: &str, link: &str, to: &[&str]| Hop {
        address: address.parse().unwrap(),
        link: link.to_owned(),
        to: to.iter().map(|to| (*to).to_owned()).collect(),
    };
    let machine = |hops: Vec<(Hop, bool)>| {
        let (observed, activity) = (observed(&config), Activity::default());
        let wire = Wire {
            hops,
            ..Wire::default()
        };
        let facts = Facts {
            config: &config,
            observed: &observed,
            activity: &activity,
            wire: &wire,
            down: &BTreeSet::new(),
        };
        let found = examine(&facts, config.services()).machine;
        found
            .into_iter()
            .map(|finding| (finding.word, finding.what))
            .collect::<Vec<_>>()
    };
    let gateway = hop("192.168.0.77", "eth0", &["0.0.0.0/0"]);
    let routes = ["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16"];
    let router = hop("172.16.0.9", "eth1", &routes);
    let found = machine(vec![(gateway.clone(), false), (router.clone(), true)]);
    let says = "192.168.0.77, the next hop of default, does not answer on eth0: what goes there is lost";
    assert_eq!(found[0], (FindingWord::Bad, says.to_owned()));
    let says = "the next hop 172.16.0.9 (eth1) answers on its link";
    assert_eq!(found[1], (FindingWord::Good, says.to_owned()));
    let found = machine(vec![(router.clone(), false)]);
    let says = "172.16.0.9, the next hop of 10.1.0.0/16, 10.2.0.0/16, 10.3.0.0/16 and 1 more, does not answer on eth1: what \
                goes there is lost";
    assert_eq!(found[0], (FindingWord::Bad, says.to_owned()));
    let says = "the next hops 192.168.0.77 (eth0), 172.16.0.9 (eth1) answer on their links";
    let found = machine(vec![(gateway, true), (router, true)]);
    assert_eq!(found[0], (FindingWord::Good, says.to_owned()));
}
