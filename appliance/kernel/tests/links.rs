//! Links, addresses, routes and announcements against the host's kernel, with iproute2 as the oracle.
#![allow(clippy::unwrap_used)] // Tests: a panic is the failure report.

mod namespace;

use std::collections::BTreeSet;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use lb_core::config::Route;
use lb_core::desired;
use lb_core::link_kind::{BridgeSettings, LinkKind};
use lb_core::model::{IfName, RealKey};
use lb_core::observed::{ObservedLink, WayBack};
use lb_core::own_mtu::OwnMtus;
use lb_core::plan::{self, Step};
use lb_core::ports::{ActivityPort, KernelPort, LinkEvents};
use lb_kernel::{Kernel, LinkMonitor, Parts};
use namespace::{Peer, eventually, sh};

fn kernel() -> Kernel {
    Kernel::open(Parts { ipvs: false }).unwrap()
}

fn name(text: &str) -> IfName {
    text.parse().unwrap()
}

fn seen(kernel: &mut Kernel, link: &str) -> ObservedLink {
    let links = kernel.observe(&BTreeSet::new()).unwrap().links;
    links[&name(link)].clone()
}

fn add_address(link: &str, address: &str) -> Step {
    Step::AddAddress {
        link: name(link),
        address: address.parse().unwrap(),
    }
}

fn delete_address(link: &str, address: &str) -> Step {
    Step::DeleteAddress {
        link: name(link),
        address: address.parse().unwrap(),
    }
}

fn route(to: &str, via: &str) -> Route {
    Route {
        to: to.parse().unwrap(),
        via: via.parse().unwrap(),
    }
}

fn add_route(link: &str, to: &str, via: &str) -> Step {
    Step::AddRoute {
        link: name(link),
        route: route(to, via),
    }
}

fn delete_route(link: &str, to: &str, via: &str) -> Step {
    Step::DeleteRoute {
        link: name(link),
        route: route(to, via),
    }
}

/// Applies the steps, of which none may fail.
fn apply(kernel: &mut Kernel, steps: &[Step]) {
    for step in steps {
        kernel.apply(step).unwrap();
    }
}

/// What the kernel answers to a step that cannot be done.
fn refusal(kernel: &mut Kernel, step: &Step) -> String {
    kernel.apply(step).unwrap_err().to_string()
}

fn bridge(stp: bool, forward_delay_ms: Option<u32>) -> LinkKind {
    LinkKind::Bridge(BridgeSettings {
        stp,
        forward_delay_ms,
    })
}

fn set_master(link: &str, master: &str) -> Step {
    Step::SetMaster {
        link: name(link),
        master: name(master),
    }
}

/// The steps about links that lead to this configuration; they are carried out, and then there are none.
fn settle(kernel: &mut Kernel, text: &str) -> Vec<String> {
    settle_with(kernel, text, &OwnMtus::default())
}

fn settle_with(kernel: &mut Kernel, text: &str, own: &OwnMtus) -> Vec<String> {
    let config = lb_core::config::parse(text).unwrap();
    let links = |steps: Vec<Step>| -> Vec<Step> {
        let others = |step: &Step| {
            matches!(
                step,
                Step::SetSysctl { .. }
                    | Step::SetHostname(_)
                    | Step::ReplaceRuleset(_)
                    | Step::Announce { .. }
            )
        };
        steps.into_iter().filter(|step| !others(step)).collect()
    };
    let plan = |kernel: &mut Kernel| {
        let observed = kernel.observe(&BTreeSet::new()).unwrap();
        let network = desired::network(Some(&config), &observed.links, own, 1 << 30, |_| true);
        links(plan::diff_network(&network, &observed))
    };
    let steps = plan(kernel);
    apply(kernel, &steps);
    assert_eq!(
        plan(kernel),
        [],
        "planning again changes something after {steps:#?}"
    );
    steps.iter().map(Step::to_string).collect()
}

/// What the kernel is asked for, and what it is told, until nothing is left to do.
fn settle_whole<'c>(kernel: &mut Kernel, given: desired::Given<'c>) {
    let own = OwnMtus::default();
    let names: BTreeSet<_> = [
        desired::IPV6_OFF.to_owned(),
        "net/ipv4/conf/all/arp_ignore".to_owned(),
    ]
    .into();
    for _round in 0..3 {
        let observed = kernel.observe(&names).unwrap();
        let network = desired::network(given, &observed.links, &own, 1 << 30, |_| true);
        let steps = plan::diff_network(&network, &observed);
        // Where there is no IPVS, nothing of it can be set.
        let ours = |step: &&Step| {
            !matches!(
                step,
                Step::SetHostname(_) | Step::ReplaceRuleset(_) | Step::SetIpvsTimeouts(_)
            )
        };
        let steps: Vec<Step> = steps.iter().filter(ours).cloned().collect();
        if steps.is_empty() {
            return;
        }
        apply(kernel, &steps);
    }
    panic!("there is always something left to do");
}

/// RFC 4291, appendix A.
fn link_local(link: &ObservedLink) -> Ipv6Addr {
    let mac = link.mac.unwrap().0;
    let [a, b, c, d, e, f] = mac.map(u16::from);
    let id = [(a ^ 2) << 8 | b, c << 8 | 0xff, 0xfe << 8 | d, e << 8 | f];
    Ipv6Addr::new(0xfe80, 0, 0, 0, id[0], id[1], id[2], id[3])
}

isolated! {
    /// Their carriers can be told, and that is all: no address of any kind, no answer, and not one packet by themselves. A configuration ends it.
    fn at_first_contact_cards_are_on_and_nothing_is_open() {
        let peer = Peer::new();
        peer.connect("lan0", "far0", &["192.0.2.9/24"]);
        sh(&format!("ip link add lan1 type veth peer name loose1 netns {}", peer.id()));
        sh("ip address add 192.0.2.1/24 dev lan0");
        let sent = || sh("ip -s link show dev lan0 | tail -n 1");
        let before = sent();
        let mut kernel = kernel();
        settle_whole(&mut kernel, desired::Given::FirstContact);
        let carriers = (seen(&mut kernel, "lan0").carrier, seen(&mut kernel, "lan1").carrier);
        assert_eq!(carriers, (true, false));
        assert!(seen(&mut kernel, "lan1").admin_up);
        // Not even ARP and neighbour discovery are answered: the peer's kernel gives up on the neighbours.
        let there = peer.sh("ip -o link show far0 | cut -d: -f1");
        let own = SocketAddr::from(([192, 0, 2, 1], 9));
        let scope: u32 = there.trim().parse().unwrap();
        // What a card of this address would be given (EUI-64), and all nodes of the link.
        let group = SocketAddrV6::new("ff02::1".parse().unwrap(), 9, 0, scope);
        let local = SocketAddrV6::new(link_local(&seen(&mut kernel, "lan0")), 9, 0, scope);
        eventually("the peer has an address to ask from", || {
            let shown = peer.sh("ip -6 address show dev far0");
            shown.contains("fe80::") && !shown.contains("tentative")
        });
        peer.inside(|| {
            UdpSocket::bind("0.0.0.0:0").unwrap().send_to(b"?", own).unwrap();
            let socket = UdpSocket::bind("[::]:0").unwrap();
            for to in [group, local] {
                socket.send_to(b"?", to).unwrap();
            }
        });
        eventually("the peer has given up", || peer.sh("ip neighbour show dev far0").matches("FAILED").count() == 2);
        for link in ["lan0", "lan1"] {
            assert_eq!(sh(&format!("ip -o address show dev {link}")), "", "{link}");
        }
        assert_eq!(sent(), before, "it answers nothing, and says nothing by itself");
        // A card that comes later has none either.
        sh("ip link add lan2 type veth peer name loose2; ip link set loose2 up");
        settle_whole(&mut kernel, desired::Given::FirstContact);
        assert!(seen(&mut kernel, "lan2").carrier);
        assert_eq!(sh("ip -o address show dev lan2"), "");

        let text = "[[interface]]\nname = \"lan0\"\naddresses = [\"192.0.2.1/24\"]\n";
        let config = lb_core::config::parse(text).unwrap();
        settle_whole(&mut kernel, desired::Given::Config(&config));
        assert!(!seen(&mut kernel, "lan1").admin_up && !seen(&mut kernel, "lan2").admin_up);
        peer.inside(|| UdpSocket::bind("0.0.0.0:0").unwrap().send_to(b"?", own).unwrap());
        eventually("ARP is answered", || peer.sh("ip neighbour show 192.0.2.1 dev far0").contains("lladdr"));
        eventually("the link-local address", || sh("ip -6 address show dev lan0").contains(&local.ip().to_string()));
    }

    fn a_link_is_seen_as_it_is() {
        sh("ip link add lan0 type veth peer name far0");
        sh("ip link set lan0 address 52:54:00:00:00:0a mtu 1400");
        let mut kernel = kernel();
        let link = seen(&mut kernel, "lan0");
        assert_eq!(link.mac.unwrap().to_string(), "52:54:00:00:00:0a");
        assert_eq!((link.mtu, link.admin_up, link.carrier, link.loopback), (1400, false, false, false));
        assert!(sh("ip -o link show lan0").starts_with(&format!("{}: lan0", link.index)));
        let lo = seen(&mut kernel, "lo");
        assert!(lo.loopback && lo.admin_up && lo.mac.is_none());
    }

    fn a_link_goes_up_and_down_and_its_carrier_is_the_peers() {
        sh("ip link add lan0 type veth peer name far0");
        let mut kernel = kernel();
        let state = |kernel: &mut Kernel| {
            let link = seen(kernel, "lan0");
            (link.admin_up, link.carrier)
        };
        apply(&mut kernel, &[Step::SetLinkUp(name("lan0"))]);
        assert_eq!(state(&mut kernel), (true, false));
        sh("ip link set far0 up");
        assert_eq!(state(&mut kernel), (true, true));
        apply(&mut kernel, &[Step::SetLinkDown(name("lan0"))]);
        assert_eq!(state(&mut kernel), (false, false));
    }

    fn the_mtu_is_set_and_a_bad_one_is_refused_in_the_kernels_words() {
        sh("ip link add lan0 type veth peer name far0");
        let mut kernel = kernel();
        let mtu = |mtu| Step::SetMtu { link: name("lan0"), mtu };
        apply(&mut kernel, &[mtu(9000)]);
        assert_eq!(seen(&mut kernel, "lan0").mtu, 9000);
        assert_eq!(
            refusal(&mut kernel, &mtu(100_000)),
            "set link lan0 mtu 100000: EINVAL (mtu greater than device maximum)"
        );
        assert_eq!(seen(&mut kernel, "lan0").mtu, 9000);
    }

    fn addresses_come_and_go() {
        sh("ip link add lan0 type veth peer name far0");
        let mut kernel = kernel();
        let addresses = ["192.0.2.1/24", "192.0.2.2/24", "198.51.100.0/31", "203.0.113.9/32", "2001:db8::1/64"];
        apply(&mut kernel, &[Step::SetLinkUp(name("lan0"))]);
        for address in addresses {
            apply(&mut kernel, &[add_address("lan0", address)]);
        }
        sh("ip link set far0 up");
        assert!(sh("ip -6 address show dev lan0").contains("fe80::"), "there is a link-local address to leave out");
        assert_eq!(seen(&mut kernel, "lan0").addresses, addresses.map(|a| a.parse().unwrap()).into());
        let shown = sh("ip -o address show dev lan0");
        assert!(shown.contains("192.0.2.1/24 brd 192.0.2.255 scope global"), "{shown}");
        assert!(shown.contains("198.51.100.0/31 scope global"), "{shown}");
        assert!(shown.contains("2001:db8::1/64 scope global nodad"), "{shown}");
        // Usable at once, without detection of duplicates.
        std::net::TcpListener::bind("[2001:db8::1]:80").unwrap();
        for address in addresses.into_iter().rev() {
            apply(&mut kernel, &[delete_address("lan0", address)]);
        }
        assert_eq!(seen(&mut kernel, "lan0").addresses, BTreeSet::new());
    }

    fn routes_of_ours_come_and_go_and_others_are_left_alone() {
        sh("ip link add lan0 type veth peer name far0; ip link set far0 up; ip link set lan0 up");
        let mut kernel = kernel();
        apply(&mut kernel, &[add_address("lan0", "192.0.2.1/24"), add_address("lan0", "2001:db8::1/64")]);
        let routes = [
            ("0.0.0.0/0", "192.0.2.254"),
            ("10.0.0.0/8", "192.0.2.253"),
            ("203.0.113.5/32", "192.0.2.253"),
            ("::/0", "2001:db8::fe"),
            ("2001:db8:1::/48", "2001:db8::fd"),
        ];
        for (to, via) in routes {
            apply(&mut kernel, &[add_route("lan0", to, via)]);
        }
        sh("ip route add 172.31.0.0/16 via 192.0.2.252");
        sh("ip route add 172.30.0.0/16 via 192.0.2.252 table 7 proto 205");
        sh("ip route add unreachable 172.29.0.0/16 proto 205");
        assert_eq!(seen(&mut kernel, "lan0").routes, routes.map(|(to, via)| route(to, via)).into());
        assert_eq!(
            sh("ip route show proto 205 type unicast | sort"),
            "10.0.0.0/8 via 192.0.2.253 dev lan0 \n203.0.113.5 via 192.0.2.253 dev lan0 \ndefault via 192.0.2.254 dev lan0 \n"
        );
        assert!(sh("ip -6 route show proto 205").contains("default via 2001:db8::fe dev lan0"));
        for (to, via) in routes {
            apply(&mut kernel, &[delete_route("lan0", to, via)]);
        }
        assert_eq!(seen(&mut kernel, "lan0").routes, BTreeSet::new());
        assert!(sh("ip route").contains("172.31.0.0/16"));
    }

    fn refusals_name_the_step_the_errno_and_the_kernels_words() {
        sh("ip link add lan0 type veth peer name far0; ip link set far0 up; ip link set lan0 up");
        let mut kernel = kernel();
        apply(&mut kernel, &[add_address("lan0", "192.0.2.1/24"), add_route("lan0", "10.0.0.0/8", "192.0.2.254")]);
        for (step, text) in [
            (Step::SetLinkUp(name("nic9")), "set link nic9 up: ENODEV"),
            (add_address("nic9", "192.0.2.9/24"), "add address 192.0.2.9/24 to nic9: ENODEV"),
            (add_address("lan0", "192.0.2.1/24"), "add address 192.0.2.1/24 to lan0: EEXIST"),
            (delete_address("lan0", "192.0.2.7/24"), "delete address 192.0.2.7/24 from lan0: EADDRNOTAVAIL"),
            (add_route("lan0", "10.0.0.0/8", "192.0.2.254"), "add route 10.0.0.0/8 via 192.0.2.254 dev lan0: EEXIST"),
            (
                add_route("lan0", "10.0.0.0/9", "198.51.100.1"),
                "add route 10.0.0.0/9 via 198.51.100.1 dev lan0: ENETUNREACH (Nexthop has invalid gateway)",
            ),
            (delete_route("lan0", "10.0.0.0/9", "192.0.2.254"), "delete route 10.0.0.0/9 via 192.0.2.254 dev lan0: ESRCH"),
        ] {
            let refusal = refusal(&mut kernel, &step);
            assert!(refusal.starts_with(text), "{refusal}");
        }
    }

    fn an_announcement_corrects_what_a_neighbour_believes() {
        let peer = Peer::new();
        peer.connect("lan0", "far0", &["192.0.2.10/24", "2001:db8::10/64"]);
        sh("ip link set lan0 address 52:54:00:00:00:0a");
        let mut kernel = kernel();
        apply(&mut kernel, &[
            Step::SetLinkUp(name("lan0")),
            add_address("lan0", "192.0.2.1/24"),
            add_address("lan0", "2001:db8::1/64"),
        ]);
        for address in ["192.0.2.1", "2001:db8::1"] {
            peer.sh(&format!("ip neigh replace {address} lladdr 52:54:00:00:00:99 dev far0 nud stale"));
            eventually("the neighbour has learned the address", || {
                // Until the carrier is there on both sides, nothing arrives.
                apply(&mut self::kernel(), &[Step::Announce { link: name("lan0"), address: address.parse().unwrap() }]);
                peer.sh(&format!("ip neigh show {address}")).contains("52:54:00:00:00:0a")
            });
        }
        let lo = Step::Announce { link: name("lo"), address: "192.0.2.1".parse().unwrap() };
        apply(&mut kernel, &[lo]);
    }

    fn another_machine_with_an_address_of_ours_is_heard() {
        let peer = Peer::new();
        peer.connect("lan0", "far0", &["192.0.2.1/24", "2001:db8::1/64"]);
        peer.sh("ip link set far0 address 52:54:00:00:00:99");
        sh("ip link set lan0 address 52:54:00:00:00:0a");
        let mut kernel = kernel();
        apply(&mut kernel, &[
            Step::SetLinkUp(name("lan0")),
            add_address("lan0", "192.0.2.1/24"),
            add_address("lan0", "2001:db8::1/64"),
        ]);
        let link = seen(&mut kernel, "lan0");
        let ask = |address: &str| {
            let mut activity = lb_kernel::KernelActivity::new();
            activity.others_with(link.index, link.mac.unwrap(), address.parse().unwrap()).unwrap()
        };
        for (taken, free) in [("192.0.2.1", "192.0.2.7"), ("2001:db8::1", "2001:db8::7")] {
            eventually("the other machine says that the address is its own", || ask(taken) == ["52:54:00:00:00:99"]);
            assert_eq!(ask(free), [""; 0]);
        }
        // It learned nothing from the question.
        assert!(!peer.sh("ip neigh show").contains("52:54:00:00:00:0a"));
    }

    fn a_strangers_syn_comes_back_where_the_default_route_leads_here() {
        let peer = Peer::new();
        peer.connect("lan0", "far0", &["10.0.0.2/24", "fd00::2/64"]);
        sh("ip address add 10.0.0.1/24 dev lan0; ip address add fd00::1/64 dev lan0 nodad; ip link set lan0 up");
        let (v4, v6) = (("198.51.100.1", "10.0.0.2:80"), ("3fff::1", "[fd00::2]:80"));
        let ask = |(stranger, server): (&str, &str)| {
            let server: std::net::SocketAddr = server.parse().unwrap();
            let server = RealKey { address: server.ip(), port: server.port() };
            let mut activity = lb_kernel::KernelActivity::new();
            activity.ways_back(stranger.parse().unwrap(), &[server]).unwrap().get(&server).copied()
        };
        peer.sh("ip route add default via 10.0.0.1; ip -6 route add default via fd00::1");
        for question in [v4, v6] {
            // Nobody listens there: it refuses the stranger, which is an answer.
            eventually("its answer comes here", || ask(question) == Some(WayBack::Through { hops: 0 }));
        }
        peer.sh("ip route del default; ip -6 route del default");
        for question in [v4, v6] {
            assert_eq!(ask(question), Some(WayBack::Nowhere), "it has no way to the stranger");
        }
        assert_eq!(ask(("198.51.100.1", "203.0.113.7:80")), None, "nothing can be sent there");
    }

    /// The appliance boots with a cable unplugged as well as without a fault.
    fn an_announcement_where_nobody_listens_is_no_fault() {
        sh("ip link add lan0 type veth peer name far0");
        let mut kernel = kernel();
        let announce = |address: &str| Step::Announce { link: name("lan0"), address: address.parse().unwrap() };
        apply(&mut kernel, &[
            Step::SetLinkUp(name("lan0")),
            add_address("lan0", "192.0.2.1/24"),
            add_address("lan0", "2001:db8::1/64"),
            announce("192.0.2.1"),
            announce("2001:db8::1"),
        ]);
    }

    fn a_bridge_is_made_changed_and_deleted() {
        sh("ip link add lan0 type veth peer name far0; ip link set lan0 up");
        let mut kernel = kernel();
        let (on, off) = (bridge(true, Some(4_000)), bridge(false, None));
        apply(&mut kernel, &[Step::CreateLink { link: name("br0"), kind: on.clone().into() }]);
        let made = seen(&mut kernel, "br0");
        assert_eq!((made.kind.as_ref(), made.is_made(), made.admin_up), (Some(&on), true, false));
        let shown = sh("ip -d link show br0");
        assert!(shown.contains("group 205") && shown.contains("forward_delay 400"), "{shown}");
        apply(&mut kernel, &[set_master("lan0", "br0"), Step::SetLinkUp(name("br0"))]);
        assert_eq!(seen(&mut kernel, "lan0").master, Some(name("br0")));
        apply(&mut kernel, &[Step::ChangeLink { link: name("br0"), kind: off.clone().into() }]);
        assert_eq!(seen(&mut kernel, "br0").kind, Some(off));
        apply(&mut kernel, &[Step::ReleaseLink(name("lan0")), Step::DeleteLink(name("br0"))]);
        assert_eq!(seen(&mut kernel, "lan0").master, None);
        assert!(!kernel.observe(&BTreeSet::new()).unwrap().links.contains_key(&name("br0")));
        for (step, text) in [
            (set_master("lan0", "nic9"), "set link lan0 master nic9: ENODEV"),
            (Step::DeleteLink(name("br0")), "delete link br0: ENODEV"),
            (Step::CreateLink { link: name("far0"), kind: bridge(false, None).into() }, "add link far0 type bridge stp_state 0: EEXIST"),
        ] {
            let refusal = refusal(&mut kernel, &step);
            assert!(refusal.starts_with(text), "{refusal}");
        }
    }

    fn somebody_elses_bridge_is_taken_over_only_by_name() {
        sh("ip link add br0 type bridge; ip link add br1 type bridge; ip link add br2 type bridge");
        sh("ip link set br2 group 205");
        let mut kernel = kernel();
        let steps = settle(&mut kernel, "[[interface]]\nname = \"br0\"\nbridge = { links = [\"lan0\"] }\n");
        assert_eq!(steps, ["delete link br2", "set link br0 group 205", "set link br0 up"]);
        sh("ip link show br1");
        assert_eq!(settle(&mut kernel, "")[0], "delete link br0");
        sh("ip link show br1");
    }

    fn a_bridge_is_built_repaired_and_taken_away() {
        sh("ip link add lan0 type veth peer name far0; ip link set far0 up");
        sh("ip link add lan1 type veth peer name far1; ip link set far1 up; ip address add 10.7.7.7/24 dev lan1");
        let mut kernel = kernel();
        let config = "[[interface]]\nname = \"br0\"\nbridge = { links = [\"lan0\", \"lan1\"] }\nmtu = 1400\n\
                      addresses = [\"192.0.2.1/24\"]\n[[interface]]\nname = \"far0\"\n[[interface]]\nname = \"far1\"\n";
        let steps = settle(&mut kernel, config);
        for step in ["add link br0 type bridge stp_state 0", "delete address 10.7.7.7/24 from lan1", "set link lan1 master br0"] {
            assert!(steps.iter().any(|s| s == step), "{steps:#?}");
        }
        eventually("the bridge has a carrier", || seen(&mut self::kernel(), "br0").carrier);
        sh("ip link set lan0 nomaster; ip link set lan0 mtu 1300");
        assert_eq!(settle(&mut kernel, config), ["set link lan0 mtu 1400", "set link lan0 master br0"]);
        sh("ip link del br0");
        let again = settle(&mut kernel, config);
        assert_eq!(again[0], "add link br0 type bridge stp_state 0", "{again:#?}");
        assert!(again.contains(&"add address 192.0.2.1/24 to br0".to_owned()), "{again:#?}");
        let plain = "[[interface]]\nname = \"lan0\"\naddresses = [\"192.0.2.1/24\"]\n";
        assert_eq!(settle(&mut kernel, plain)[0], "delete link br0");
        let lan0 = seen(&mut kernel, "lan0");
        assert!(lan0.admin_up && lan0.master.is_none(), "{lan0:?}");
    }

    fn an_mtu_goes_back_to_what_the_card_came_with() {
        sh("ip link add lan0 mtu 1450 type veth peer name far0; ip link add lan1 type veth peer name far1");
        let mut kernel = kernel();
        let mut own = OwnMtus::default();
        let see = |own: &mut OwnMtus| own.see(&self::kernel().observe(&BTreeSet::new()).unwrap().links);
        assert!(see(&mut own) && !see(&mut own));
        let mtus = |links: &[&str]| -> Vec<u32> { links.iter().map(|link| seen(&mut self::kernel(), link).mtu).collect() };
        let set = "[[interface]]\nname = \"lan0\"\nmtu = 1400\n";
        let plain = set.replace("mtu = 1400\n", "");
        settle_with(&mut kernel, set, &own);
        assert_eq!((mtus(&["lan0"]), see(&mut own)), (vec![1400], false));
        assert_eq!(settle_with(&mut kernel, &plain, &own), ["set link lan0 mtu 1450"]);
        // What somebody sets by hand goes the same way.
        sh("ip link set lan0 mtu 1234");
        assert_eq!(settle_with(&mut kernel, &plain, &own), ["set link lan0 mtu 1450"]);
        // A card that nobody names any more.
        settle_with(&mut kernel, set, &own);
        assert_eq!(settle_with(&mut kernel, "", &own), ["set link lan0 mtu 1450", "set link lan0 down"]);

        let bridge = "[[interface]]\nname = \"br0\"\nbridge = { links = [\"lan0\", \"lan1\"] }\nmtu = 1300\n\
                      [[interface]]\nname = \"lan0\"\n[[interface]]\nname = \"lan1\"\n";
        settle_with(&mut kernel, bridge, &own);
        assert_eq!(mtus(&["br0", "lan0", "lan1"]), [1300; 3]);
        // The kernel takes the smallest of the links only as long as nobody has set one.
        settle_with(&mut kernel, &bridge.replace("mtu = 1300\n", ""), &own);
        assert_eq!(mtus(&["br0", "lan0", "lan1"]), [1450, 1450, 1500]);
        settle_with(&mut kernel, bridge, &own);
        settle_with(&mut kernel, "", &own);
        assert_eq!(mtus(&["lan0", "lan1", "far0"]), [1450, 1500, 1500]);

        // Another card under the same name.
        sh("ip link del lan0; ip link add lan0 mtu 1420 type veth peer name far0");
        assert!(see(&mut own));
        settle_with(&mut kernel, set, &own);
        assert_eq!(settle_with(&mut kernel, &plain, &own), ["set link lan0 mtu 1420"]);
    }

    fn changes_are_told_once_and_silence_is_waited_for() {
        sh("ip link add lan0 type veth peer name far0");
        let mut monitor = LinkMonitor::open().unwrap();
        let (told, changes) = channel();
        thread::spawn(move || while told.send(monitor.wait()).is_ok() {});
        let quiet = Duration::from_millis(300);
        for change in [
            "ip link set lan0 up",
            "ip link set far0 up",
            "ip address add 192.0.2.1/24 dev lan0",
            "ip route add 10.0.0.0/8 via 192.0.2.254",
            "ip -6 address add 2001:db8::1/64 dev lan0 nodad",
            "ip -6 route add 2001:db8:1::/48 via 2001:db8::2",
            "ip link del lan0",
        ] {
            // The kernel's own late changes (link-local addresses) belong to the change before.
            while changes.recv_timeout(quiet).is_ok() {}
            sh(change);
            changes.recv_timeout(Duration::from_secs(5)).expect(change).unwrap();
        }
    }

    fn an_overrun_is_a_change_like_others() {
        sh("ip link add lan0 type veth peer name far0");
        let mut monitor = LinkMonitor::open().unwrap();
        // More notices than the socket's queue holds.
        sh("for i in $(seq 3000); do echo link set lan0 mtu $((1000 + i % 2)); done | ip -batch -");
        monitor.wait().unwrap();
        let (told, changes) = channel();
        thread::spawn(move || while told.send(monitor.wait()).is_ok() {});
        assert!(matches!(changes.recv_timeout(Duration::from_millis(300)), Err(RecvTimeoutError::Timeout)));
        sh("ip link set lan0 up");
        changes.recv_timeout(Duration::from_secs(5)).unwrap().unwrap();
    }
}
