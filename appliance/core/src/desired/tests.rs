//! How the file's interfaces are found among the links, and what follows when they are not.

use super::*;
use crate::config::{HostName, Interface, InterfaceKind, LinkSelector, Masquerade};
use crate::fake::FakeKernel;

fn by_mac(label: &str, mac: &str) -> Interface {
    Interface {
        label: label.to_owned(),
        selector: LinkSelector::Mac(mac.parse().unwrap()),
        kind: InterfaceKind::Card,
        addresses: vec!["192.168.0.1/24".parse().unwrap()],
        gateway: None,
        mtu: None,
        mss_clamp: None,
        routes: vec![],
    }
}

fn config(interface: Interface) -> Config {
    let out = interface.label.clone();
    Config {
        confirm: Default::default(),
        fail_static: Config::empty().fail_static,
        hostname: HostName::default(),
        timeouts: IpvsTimeouts::DEFAULT,
        interfaces: vec![interface],
        masquerades: vec![Masquerade {
            from: "172.16.0.0/24".parse().unwrap(),
            out,
            to: vec![],
        }],
        port_forwards: vec![],
        virtual_servers: vec![],
    }
}

#[test]
fn an_interface_is_found_by_its_mac_and_used_by_its_label() {
    let kernel = FakeKernel::with_links(&["enp1s0", "enp2s0"]);
    let network = network(
        Some(&config(by_mac("wan", "52:54:00:00:00:02"))),
        &kernel.state.links,
        &kernel.own,
        1 << 30,
        |_| true,
    );
    assert_eq!(network.resolved["wan"].as_ref().unwrap().as_str(), "enp2s0");
    assert!(network.links[&"enp2s0".parse().unwrap()].up);
    assert!(!network.links[&"enp1s0".parse().unwrap()].up);
    assert_eq!(
        network.ruleset.rules(Chain::Postrouting)[0].to_string(),
        "masquerade 172.16.0.0/24 out enp2s0"
    );
    assert_eq!(
        network.ruleset.rules(Chain::Forward)[1].to_string(),
        "drop new from enp2s0"
    );
    assert_eq!(network.problems, Vec::<String>::new());
}

/// Cards alone are switched on, and only where there never was a configuration: after IPv6 was taken from them, and with nothing on them.
#[test]
fn at_first_contact_cards_are_on_and_have_nothing() {
    let mut kernel = FakeKernel::with_links(&["eth0", "eth1", "gretap0", "vlan7"]);
    let held = kernel.state.links.get_mut(&"eth1".parse().unwrap()).unwrap();
    held.addresses = ["192.168.0.1/24".parse().unwrap()].into();
    let vlan = kernel.state.links.get_mut(&"vlan7".parse().unwrap()).unwrap();
    vlan.kind = Some(LinkKind::Vlan {
        parent: "eth0".parse().unwrap(),
        id: 7,
    });
    let network = |given| network(given, &kernel.state.links, &kernel.own, 1 << 30, |_| true);
    let on = |network: &Network| {
        let links = network.links.iter().filter(|(_, link)| link.up);
        links.map(|(name, _)| name.to_string()).collect::<Vec<_>>()
    };
    let first = network(Given::FirstContact);
    assert_eq!(on(&first), ["eth0", "eth1"]);
    assert!(!first.forwarding);
    assert_eq!(first.sysctls[IPV6_OFF], "1");
    let mut observed = kernel.state.clone();
    observed.sysctls.insert(IPV6_OFF.to_owned(), "0".to_owned());
    let steps = crate::plan::diff_network(&first, &observed);
    let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
    let place = |wanted: &str| {
        steps
            .iter()
            .position(|step| step.starts_with(wanted))
            .expect(wanted)
    };
    assert_eq!(
        steps[place("set sysctl")],
        "set sysctl net/ipv6/conf/all/disable_ipv6 1"
    );
    assert!(place("replace ruleset") < place("set link eth0 up"), "{steps:?}");
    assert!(place("set sysctl") < place("set link eth0 up"), "{steps:?}");
    place("delete address 192.168.0.1/24");

    let lost = network(Given::Nothing);
    assert_eq!(
        on(&lost),
        [] as [&str; 0],
        "what has lost its configuration has no card switched on"
    );
    let named = config(by_mac("wan", "52:54:00:00:00:01"));
    let named = network(Given::Config(&named));
    assert_eq!(on(&named), ["eth0"]);
    assert_eq!(
        (&lost.sysctls[IPV6_OFF], &named.sysctls[IPV6_OFF]),
        (&"0".to_owned(), &"0".to_owned())
    );
}

#[test]
fn a_missing_card_is_a_problem_and_the_rest_goes_on() {
    let kernel = FakeKernel::with_links(&["eth0"]);
    let network = network(
        Some(&config(by_mac("wan", "52:54:00:00:00:09"))),
        &kernel.state.links,
        &kernel.own,
        1 << 30,
        |_| true,
    );
    assert_eq!(
        network.problems,
        [
            "interface wan: no link has the MAC address 52:54:00:00:00:09 (there are: eth0); add the network card or correct the address"
        ]
    );
    assert!(network.forwarding);
    assert_eq!(network.ruleset.rules(Chain::Postrouting), []);
}

#[test]
fn of_two_cards_with_one_mac_only_one_that_holds_the_addresses_is_used() {
    let mut kernel = FakeKernel::with_links(&["eth0", "eth1"]);
    for link in kernel.state.links.values_mut() {
        link.mac = Some("52:54:00:00:00:01".parse().unwrap());
        link.permanent_mac = link.mac;
    }
    let config = config(by_mac("wan", "52:54:00:00:00:01"));
    let neither = network(Some(&config), &kernel.state.links, &kernel.own, 1 << 30, |_| true);
    assert_eq!(neither.resolved["wan"], None);
    assert!(
        neither.problems[0].contains("none is used"),
        "{}",
        neither.problems[0]
    );
    let holder = kernel.state.links.get_mut(&"eth1".parse().unwrap()).unwrap();
    holder.addresses.insert("192.168.0.1/24".parse().unwrap());
    let kept = network(Some(&config), &kernel.state.links, &kernel.own, 1 << 30, |_| true);
    assert_eq!(kept.resolved["wan"].as_ref().unwrap().as_str(), "eth1");
    assert!(kept.problems[0].contains("eth1 is kept"), "{}", kept.problems[0]);
}

#[test]
fn packets_leave_by_the_longest_prefix() {
    let mut kernel = FakeKernel::with_links(&["eth0", "eth1"]);
    let [eth0, eth1] = ["eth0", "eth1"].map(|n| n.parse::<IfName>().unwrap());
    let links = &mut kernel.state.links;
    links
        .get_mut(&eth0)
        .unwrap()
        .addresses
        .insert("192.168.0.1/24".parse().unwrap());
    let default = Route {
        to: "0.0.0.0/0".parse().unwrap(),
        via: "192.168.0.254".parse().unwrap(),
    };
    links.get_mut(&eth0).unwrap().routes.insert(default);
    links
        .get_mut(&eth1)
        .unwrap()
        .addresses
        .insert("172.16.0.254/24".parse().unwrap());
    let by = |address: &str| egress(links, address.parse().unwrap()).map(|(name, _)| name.as_str());
    assert_eq!(by("172.16.0.11"), Some("eth1"));
    assert_eq!(by("203.0.113.1"), Some("eth0"));
    assert_eq!(by("2001:db8::1"), None);
}

#[test]
fn clients_beside_their_servers_are_hidden_unless_packets_stay_whole() {
    let kernel = FakeKernel::with_links(&["eth0", "eth1"]);
    let rules = |forward: &str| {
        let text = format!(
            "[[interface]]\nname = \"eth0\"\naddresses = [\"192.168.0.1/24\"]\n\
             [[interface]]\nname = \"eth1\"\naddresses = [\"172.16.0.254/24\", \"172.16.0.253/32\"]\n\
             routes = [{{ to = \"10.244.0.0/16\", via = \"172.16.0.11\" }}]\n\
             [[virtual_server]]\nname = \"a\"\nlisten = \"192.168.0.1:80\"\nforward = \"{forward}\"\n\
             [[virtual_server.real_server]]\naddress = \"172.16.0.11:80\"\n"
        );
        let config = crate::config::parse(&text).unwrap();
        let network = network(Some(&config), &kernel.state.links, &kernel.own, 1 << 30, |_| true);
        let rules = network.ruleset.rules(Chain::Postrouting).iter();
        rules.map(ToString::to_string).collect::<Vec<_>>()
    };
    let hairpins = ["hairpin 10.244.0.0/16 out eth1", "hairpin 172.16.0.0/24 out eth1"];
    assert_eq!(rules("nat"), hairpins);
    let whole = ["accept to services4", "accept to services6"];
    assert_eq!(rules("direct"), [&whole[..], &hairpins].concat());
}

#[test]
fn the_connection_tracking_table_follows_the_memory() {
    let of = |memory: u64| {
        let all = sysctls(memory, &IpvsTimeouts::DEFAULT, [].iter());
        (
            all["net/netfilter/nf_conntrack_max"].clone(),
            all["net/netfilter/nf_conntrack_buckets"].clone(),
        )
    };
    assert_eq!(of(128 << 20), ("104857".to_owned(), "32768".to_owned()));
    assert_eq!(of(1 << 30), ("1279262".to_owned(), "524288".to_owned()));
    assert_eq!(of(0).0, "32768");
    assert_eq!(of(1 << 40).0, "4194304");
}

#[test]
fn neighbours_and_scarcity_follow_the_memory() {
    let of = |memory: u64| {
        let all = sysctls(memory, &IpvsTimeouts::DEFAULT, [].iter());
        let names = [
            "net/ipv4/neigh/default/gc_thresh1",
            "net/ipv6/neigh/default/gc_thresh3",
            "net/ipv4/vs/amemthresh",
        ];
        names.map(|name| all[name].clone())
    };
    assert_eq!(of(1 << 30), ["1024", "16384", "32768"]);
    assert_eq!(of(128 << 20), ["128", "2048", "4096"]);
    assert_eq!(of(0), ["128", "2048", "1024"]);
}

#[test]
fn services_of_several_ports_are_marked_and_let_in_when_open() {
    let kernel = FakeKernel::with_links(&["eth0", "eth1"]);
    let rules = |forward: &str, open: bool| {
        let text = format!(
            "[[interface]]\nname = \"eth0\"\naddresses = [\"192.168.0.1/24\"]\n\
             [[interface]]\nname = \"eth1\"\naddresses = [\"172.16.0.254/24\"]\n\
             [[virtual_server]]\nname = \"a\"\nlisten = \"192.168.0.1:1-65535\"\nforward = \"{forward}\"\n\
             check = {{ port = 80 }}\n\
             [[virtual_server.real_server]]\naddress = \"172.16.0.11\"\n"
        );
        let config = crate::config::parse(&text).unwrap();
        network(Some(&config), &kernel.state.links, &kernel.own, 1 << 30, |_| open)
    };
    let lines = |rules: &[Rule]| rules.iter().map(ToString::to_string).collect::<Vec<_>>();
    let open = rules("nat", true);
    assert_eq!(
        lines(open.ruleset.rules(Chain::MangleIn)),
        ["accept replies", "mark by marks4"]
    );
    assert_eq!(open.ruleset.rules(Chain::Input).last(), Some(&Rule::AcceptMarked));
    assert_eq!(
        lines(open.ruleset.rules(Chain::Postrouting)),
        [
            "hairpin 172.16.0.0/24 out eth1",
            "hairpin marked 172.16.0.0/24 out eth1"
        ]
    );
    let range = open.ruleset.marks.keys().next().unwrap();
    assert_eq!(
        (range.to_string(), open.ruleset.marks.len()),
        ("192.168.0.1:1-65535/tcp".to_owned(), 1)
    );
    assert!(open.quiet.is_empty());
    // Closed: the same rules, but nobody gets a mark.
    let closed = rules("nat", false);
    assert!(closed.ruleset.marks.is_empty());
    assert!(closed.ruleset.same_rules(&open.ruleset) && closed.ruleset != open.ruleset);
    assert_eq!(closed.quiet, ["192.168.0.1".parse().unwrap()].into());
    let whole = rules("direct", true);
    assert_eq!(
        lines(whole.ruleset.rules(Chain::Postrouting))[0],
        "accept to marks4"
    );
}

#[test]
fn a_pool_is_one_rule_where_it_can_be_and_segments_are_limited_both_ways() {
    let mut kernel = FakeKernel::with_links(&["eth0", "eth1"]);
    kernel.state.links.get_mut(&"eth0".parse().unwrap()).unwrap().mtu = 1500;
    let text = include_str!("../../../../tests/configs/good/gateway.toml");
    let config = crate::config::parse(text).unwrap();
    let network = network(Some(&config), &kernel.state.links, &kernel.own, 1 << 30, |_| true);
    let rules = |chain| {
        let rules = network.ruleset.rules(chain).iter();
        rules.map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        rules(Chain::Postrouting),
        [
            "masquerade 2001:db8:1::/64 out eth0 to 2001:db8::1-2001:db8::2",
            "masquerade 172.16.0.0/24 out eth0 to 192.168.0.20-192.168.0.21",
            "masquerade 172.16.1.0/24 out eth0 to 192.168.0.20 share 0 of 3",
            "masquerade 172.16.1.0/24 out eth0 to 192.168.0.21 share 1 of 3",
            "masquerade 172.16.1.0/24 out eth0 to 192.168.0.30 share 2 of 3",
        ]
    );
    assert_eq!(
        rules(Chain::MangleIn),
        [
            "clamp mss 1460 ipv4 in eth0",
            "clamp mss 1440 ipv6 in eth0",
            "clamp mss 1240 ipv4 in eth1",
            "clamp mss 1240 ipv6 in eth1",
        ]
    );
    let out = rules(Chain::MangleOut);
    assert_eq!(out[0], "clamp mss 1460 ipv4 out eth0");
    assert_eq!(out.len(), 4);
}

#[test]
fn forwarded_ports_are_let_through_for_their_clients_and_hide_neighbours_only() {
    let kernel = FakeKernel::with_links(&["eth0", "eth1"]);
    let text = include_str!("../../../../tests/configs/good/port-forward.toml");
    let config = crate::config::parse(text).unwrap();
    let network = network(Some(&config), &kernel.state.links, &kernel.own, 1 << 30, |_| true);
    let rules = |chain| {
        let rules = network.ruleset.rules(chain).iter();
        rules.map(ToString::to_string).collect::<Vec<_>>()
    };
    let forwards = [
        "tcp 192.168.0.1:2222 to 172.16.0.11:22 from 192.168.0.10/32",
        "tcp 192.168.0.1:2222 to 172.16.0.11:22 from 10.0.0.0/8",
        "tcp 192.168.0.1:5000-5010 to 172.16.0.12",
        "udp 192.168.0.1:5000-5010 to 172.16.0.12",
        "sctp 192.168.0.1:7000 to 172.16.0.12:8000",
        "sctp 192.168.0.1:7001 to 172.16.0.12:8001",
        "tcp [2001:db8::1]:2222 to [2001:db8:1::11]:22 from 2001:db8::/64",
    ];
    assert_eq!(rules(Chain::Dstnat), forwards.map(|f| format!("forward {f}")));
    let through = rules(Chain::Forward);
    assert_eq!(
        through[..2],
        ["offload established", "accept established,related"]
    );
    assert_eq!(through[2..9], forwards.map(|f| format!("accept forwarded {f}")));
    assert_eq!(through[9..], ["drop new from eth0"]);
    assert_eq!(
        rules(Chain::Postrouting),
        [
            "hairpin forwarded 172.16.0.0/24 out eth1",
            "hairpin forwarded 2001:db8:1::/64 out eth1",
            "masquerade 172.16.0.0/24 out eth0",
        ]
    );
}

const BOND: &str = "[[interface]]\nname = \"inside\"\nmatch = { mac = \"52:54:00:00:00:02\" }\n\
    [[interface]]\nname = \"bond0\"\nbond = { links = [\"inside\", \"eth2\"], primary = \"inside\" }\nmtu = 9000\n\
    [[interface]]\nname = \"net100\"\nvlan = { link = \"bond0\", id = 100 }\naddresses = [\"172.16.0.254/24\"]\n";

/// A bond lends its links its own address: a card is known by the one that it was made with.
#[test]
fn a_card_in_a_bond_is_still_known_by_its_own_mac() {
    let mut kernel = FakeKernel::with_links(&["eth0", "eth1", "eth2"]);
    let eth1 = kernel.state.links.get_mut(&"eth1".parse().unwrap()).unwrap();
    eth1.mac = "52:54:00:00:00:77".parse().ok();
    let config = crate::config::parse(BOND).unwrap();
    let network = network(Some(&config), &kernel.state.links, &kernel.own, 1 << 30, |_| true);
    assert_eq!(network.problems, [""; 0]);
    assert_eq!(network.resolved["inside"].as_ref().unwrap().as_str(), "eth1");
    let link = |name: &str| &network.links[&name.parse().unwrap()];
    assert_eq!(link("eth1").master.as_ref().unwrap().as_str(), "bond0");
    assert_eq!(link("bond0").members.len(), 2);
    assert_eq!(
        link("bond0").kind.as_ref().unwrap().to_string(),
        "type bond mode active-backup miimon 100 primary eth1"
    );
    // The bond's mtu is that of its links and of the VLANs on it.
    assert_eq!([link("eth2").mtu, link("net100").mtu], [Some(9000); 2]);
    assert!(network.sysctls.contains_key("net/ipv6/conf/net100/accept_ra"));
}

#[test]
fn what_a_link_stands_on_has_to_be_there_and_its_name_free() {
    let mut kernel = FakeKernel::with_links(&["eth0", "eth1", "bond0"]);
    let config = crate::config::parse(BOND).unwrap();
    let problems = |kernel: &FakeKernel| {
        network(Some(&config), &kernel.state.links, &kernel.own, 1 << 30, |_| true).problems
    };
    assert_eq!(
        problems(&kernel),
        [
            "interface eth2: this machine has no such link (it has: bond0, eth0, eth1); add the network card or correct the name",
            "interface bond0: this machine has a link of that name that is no bond; give the interface another `name`",
            "interface net100: the link bond0 that it stands on is not there, so that it cannot be made",
        ]
    );
    // One that somebody else has made of the same kind is taken over.
    let bond = crate::link_kind::BondSettings {
        mode: crate::link_kind::BondMode::BalanceRr,
        miimon_ms: 0,
        primary: None,
        lacp_rate: None,
        xmit_hash_policy: None,
    };
    kernel
        .state
        .links
        .get_mut(&"bond0".parse().unwrap())
        .unwrap()
        .kind = Some(LinkKind::Bond(bond));
    assert_eq!(problems(&kernel).len(), 1, "{:?}", problems(&kernel));
    // A link of ours that is no longer wanted is no card.
    let mut plain = FakeKernel::with_links(&["eth0"]);
    let vlan = LinkKind::Vlan {
        parent: "eth0".parse().unwrap(),
        id: 7,
    };
    plain.state.assume(&crate::plan::Step::CreateLink {
        link: "old".parse().unwrap(),
        kind: vlan.into(),
    });
    let config = crate::config::parse("[[interface]]\nname = \"old\"\n").unwrap();
    let network = network(Some(&config), &plain.state.links, &plain.own, 1 << 30, |_| true);
    assert!(
        network.problems[0].contains("no such link (it has: eth0)"),
        "{:?}",
        network.problems
    );
    assert!(!network.links.contains_key(&"old".parse().unwrap()));
}
