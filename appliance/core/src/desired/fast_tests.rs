//! Which services are spared connection tracking, and by which rules.

use super::network;
use crate::config::VirtualServer;
use crate::fake::FakeKernel;
use crate::plan;
use crate::ports::KernelPort;
use crate::ruleset::{Chain, Ruleset};

/// The scenario's network with these services; `inside` is added to the interface of the servers.
fn rules_of(inside: &str, services: &str, open: impl Fn(&VirtualServer) -> bool) -> Ruleset {
    let text = format!(
        "[[interface]]\nname = \"eth0\"\naddresses = [\"192.168.0.1/24\", \"2001:db8:1::1/64\"]\n\
         [[interface]]\nname = \"eth1\"\naddresses = [\"172.16.0.254/24\", \"2001:db8:2::1/64\"]\n{inside}\n\
         [[masquerade]]\nfrom = \"172.16.0.0/24\"\nout = \"eth0\"\n{services}"
    );
    let config = crate::config::parse(&text).expect("the test's configuration is right");
    let kernel = FakeKernel::with_links(&["eth0", "eth1"]);
    network(Some(&config), &kernel.state.links, &kernel.own, 1 << 30, open).ruleset
}

pub(super) fn service(name: &str, listen: &str, more: &str, servers: &[&str]) -> String {
    let mut text = format!("[[virtual_server]]\nname = \"{name}\"\nlisten = {listen}\n{more}\n");
    for server in servers {
        text += &format!("[[virtual_server.real_server]]\naddress = \"{server}\"\n");
    }
    text
}

pub(super) fn lines(rules: &Ruleset, chain: Chain) -> Vec<String> {
    rules.rules(chain).iter().map(ToString::to_string).collect()
}

fn untracked(services: &str) -> Vec<String> {
    let rules = rules_of("", services, |_| true);
    rules.fast.services.iter().map(ToString::to_string).collect()
}

#[test]
fn a_service_behind_nat_is_not_tracked_but_for_clients_beside_its_servers() {
    let web = service(
        "web",
        "\"192.168.0.1:80\"",
        "",
        &["172.16.0.11:8080", "172.16.0.12:8080"],
    );
    let rules = rules_of("", &web, |_| true);
    assert_eq!(
        lines(&rules, Chain::Raw),
        [
            "untrack ipv4 requests not from eth1",
            "untrack ipv4 replies from eth1 not to 172.16.0.0/24",
        ]
    );
    assert_eq!(
        lines(&rules, Chain::Input)[..3],
        [
            "accept established,related,untracked not from eth1",
            "accept established,related",
            "accept answers to checks by 0x0000",
        ]
    );
    assert_eq!(
        lines(&rules, Chain::Forward),
        ["offload established", "drop new from eth0"]
    );
    assert_eq!(rules.fast.servers.len(), 2);
    let links: Vec<_> = rules.fast.offload.iter().map(|link| link.as_str()).collect();
    assert_eq!(links, ["eth0", "eth1"]);
}

#[test]
fn a_service_that_is_not_open_is_not_let_pass_untracked() {
    let web = service("web", "\"192.168.0.1:80\"", "", &["172.16.0.11:8080"]);
    let rules = rules_of("", &web, |_| false);
    assert_eq!(rules.fast.services.len(), 0);
    assert_eq!(rules.fast.servers.len(), 1);
}

#[test]
fn whatever_needs_tracking_is_tracked() {
    let tcp = |listen: &str, more: &str, server: &str| untracked(&service("a", listen, more, &[server]));
    let none: [&str; 0] = [];
    assert_eq!(
        tcp("\"192.168.0.1:80\"", "", "172.16.0.11:80"),
        ["192.168.0.1:80/tcp"]
    );
    // Packets that stay whole, services that are told by a mark.
    assert_eq!(
        tcp("\"192.168.0.1:80\"", "forward = \"direct\"", "172.16.0.11:80"),
        none
    );
    assert_eq!(
        tcp(
            "[\"192.168.0.1:80\", \"192.168.0.1:443\"]",
            "check = { port = 80 }",
            "172.16.0.11:80"
        ),
        none
    );
    // Beside its servers, behind the interface that lets replies pass only, behind the rest of the world.
    assert_eq!(tcp("\"172.16.0.254:80\"", "", "172.16.0.11:80"), none);
    assert_eq!(tcp("\"192.168.0.1:80\"", "", "192.168.0.7:80"), none);
    assert_eq!(tcp("\"192.168.0.1:80\"", "", "203.0.113.1:80"), none);
    // Datagrams of a server that is masqueraded; without that they are none of tracking's business.
    let udp = "protocol = \"udp\"\ncheck = { type = \"none\" }";
    assert_eq!(tcp("\"192.168.0.1:53\"", udp, "172.16.0.11:53"), none);
    assert_eq!(
        tcp("\"[2001:db8:1::1]:53\"", udp, "[2001:db8:2::11]:53"),
        ["[2001:db8:1::1]:53/udp"]
    );
    // Everything from there is an answer, masqueraded or not.
    let single = format!("{udp}\none_packet = true");
    assert_eq!(
        tcp("\"192.168.0.1:53\"", &single, "172.16.0.11:53"),
        ["192.168.0.1:53/udp"]
    );
}

/// The servers' side is the way to the rest of the world: its clients are not only those beside the servers.
#[test]
fn servers_in_front_of_the_gateway_are_tracked() {
    let web = service("web", "\"192.168.0.1:80\"", "", &["172.16.0.11:80"]);
    let rules = rules_of("gateway = \"172.16.0.1\"", &web, |_| true);
    assert_eq!(lines(&rules, Chain::Raw), Vec::<String>::new());
    assert_eq!(lines(&rules, Chain::Input)[0], "accept established,related");
}

#[test]
fn services_that_share_a_server_with_a_tracked_one_are_tracked() {
    let services = [
        service("a", "\"192.168.0.1:80\"", "", &["172.16.0.11:80"]),
        service(
            "b",
            "\"192.168.0.1:81\"",
            "",
            &["172.16.0.11:81", "172.16.0.12:81"],
        ),
        service(
            "c",
            "\"192.168.0.1:82\"",
            "",
            &["172.16.0.12:82", "192.168.0.7:82"],
        ),
        service("d", "\"192.168.0.1:83\"", "", &["172.16.0.13:83"]),
    ];
    assert_eq!(untracked(&services.concat()), ["192.168.0.1:83/tcp"]);
}

/// They cost each packet something; with too many, tracking is cheaper.
#[test]
fn with_many_networks_everything_is_tracked() {
    let web = service("web", "\"192.168.0.1:80\"", "", &["172.16.0.11:80"]);
    let routes = |count: u8| {
        let route = |n| format!("{{ to = \"10.{n}.0.0/24\", via = \"172.16.0.9\" }}");
        format!(
            "routes = [{}]",
            (0..count).map(route).collect::<Vec<_>>().join(", ")
        )
    };
    let raw = |count| lines(&rules_of(&routes(count), &web, |_| true), Chain::Raw).len();
    assert_eq!(raw(12), 2);
    assert_eq!(raw(20), 0);
}

#[test]
fn a_link_that_is_still_to_be_made_has_no_part_yet() {
    let web = service("web", "\"192.168.0.1:80\"", "", &["172.16.0.11:8080"]);
    let text = format!(
        "[[interface]]\nname = \"eth0\"\naddresses = [\"192.168.0.1/24\"]\n\
         [[interface]]\nname = \"eth1\"\naddresses = []\n\
         [[interface]]\nname = \"inside\"\nvlan = {{ link = \"eth1\", id = 100 }}\naddresses = [\"172.16.0.254/24\"]\n\
         [[masquerade]]\nfrom = \"172.16.0.0/24\"\nout = \"eth0\"\n{web}"
    );
    let config = crate::config::parse(&text).expect("the test's configuration is right");
    let mut kernel = FakeKernel::with_links(&["eth0", "eth1"]);
    let wanted =
        |kernel: &FakeKernel| network(Some(&config), &kernel.state.links, &kernel.own, 1 << 30, |_| true);
    let before = wanted(&kernel);
    assert!(before.ruleset.rules(Chain::Raw).is_empty() && before.ruleset.fast.services.is_empty());
    assert!(!before.ruleset.fast.offload.contains(&"inside".parse().unwrap()));
    for step in plan::diff_network(&before, &kernel.state) {
        kernel.apply(&step).unwrap();
    }
    let after = wanted(&kernel).ruleset;
    assert_eq!(after.fast.services.len(), 1);
    assert!(after.fast.offload.contains(&"inside".parse().unwrap()));
}

#[test]
fn clients_that_are_proved_first_are_tracked_after_that_and_told_nothing_of_a_closed_service() {
    let proved = "syn_proxy = true";
    let services = service("web", "\"192.168.0.1:80\"", proved, &["172.16.0.11:80"])
        + &service("six", "\"[2001:db8:1::1]:80\"", proved, &["[2001:db8:2::11]:80"]);
    let rules = rules_of("mtu = 1400", &services, |_| true);
    assert_eq!(
        lines(&rules, Chain::Raw),
        [
            "untrack syns to 192.168.0.1:80/tcp",
            "untrack syns to [2001:db8:1::1]:80/tcp"
        ]
    );
    // The fake links carry 1,500 bytes, whatever the file asks them to.
    assert_eq!(
        lines(&rules, Chain::Input)[..3],
        [
            "proxy syns to 192.168.0.1:80/tcp mss 1460",
            "proxy syns to [2001:db8:1::1]:80/tcp mss 1440",
            "accept established,related"
        ]
    );
    assert_eq!(lines(&rules, Chain::Output).len(), 2);
    let closed = rules_of("", &services, |service| service.name != "web");
    assert!(closed.same_rules(&rules));
    assert_eq!(
        lines(&closed, Chain::Output),
        ["untrack answers of [2001:db8:1::1]:80/tcp"]
    );
    assert!(rules_of("", &services, |_| false).rules(Chain::Output).is_empty());
}

/// More links than a flowtable takes.
#[test]
fn with_many_links_vlans_are_found_by_what_they_stand_on() {
    let vlans = |count: u16, link: &str| -> String {
        let one = |id: u16| {
            format!(
                "[[interface]]\nname = \"v{id}\"\nvlan = {{ link = \"{link}\", id = {id} }}\naddresses = [\"10.{}.{}.1/24\"]\n",
                id / 200,
                id % 200
            )
        };
        (1..=count).map(one).collect()
    };
    let base = "[[interface]]\nname = \"eth0\"\naddresses = [\"192.168.0.1/24\"]\n\
                [[interface]]\nname = \"eth1\"\naddresses = []\n\
                [[masquerade]]\nfrom = \"10.0.0.0/8\"\nout = \"eth0\"\n";
    let plan = |text: &str| {
        let config = crate::config::parse(text).unwrap();
        let (with, without) = super::short_ways(&config);
        let told = crate::config::warnings(&config);
        let told = told.into_iter().filter(|warning| warning.contains("short way"));
        (with.len(), without.len(), told.collect::<Vec<_>>())
    };
    let few = format!("{base}{}", vlans(254, "eth1"));
    assert_eq!(plan(&few), (256, 0, vec![]));
    let many = format!("{base}{}", vlans(300, "eth1"));
    assert_eq!(plan(&many), (2, 0, vec![]));
    let config = crate::config::parse(&many).unwrap();
    let mut kernel = FakeKernel::with_links(&["eth0", "eth1"]);
    for _ in 0..2 {
        let wanted = network(Some(&config), &kernel.state.links, &kernel.own, 1 << 30, |_| true);
        for step in plan::diff(&wanted, &[].into(), &kernel.state) {
            kernel.apply(&step).unwrap();
        }
    }
    let links = &kernel.state.ruleset.unwrap().fast.offload;
    assert_eq!(
        links.iter().map(|link| link.as_str()).collect::<Vec<_>>(),
        ["eth0", "eth1"]
    );
    // Cards, and VLANs on VLANs.
    let cards: String = (1..300)
        .map(|number| format!("[[interface]]\nname = \"e{number}\"\n"))
        .collect();
    let (with, without, told) = plan(&format!("{base}{cards}"));
    assert_eq!((with, without), (256, 45));
    assert!(
        told[0].contains("between 256 interfaces")
            && told[0].contains("those of e255 and 44 more are forwarded"),
        "{told:?}"
    );
    let inner = format!(
        "{base}[[interface]]\nname = \"outer\"\nvlan = {{ link = \"eth1\", id = 4000 }}\n{}",
        vlans(300, "outer")
    );
    let (with, without, _) = plan(&inner);
    assert_eq!((with, without), (256, 46));
}
