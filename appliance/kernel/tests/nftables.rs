//! The table `inet lb` against the host's kernel, with nft as the oracle and as the saboteur.
#![allow(clippy::unwrap_used)] // Tests: a panic is the failure report.

mod namespace;
mod sabotage;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use lb_core::model::{Endpoint, PortRange, Protocol};
use lb_core::plan::Step;
use lb_core::ports::{KernelError, KernelPort};
use lb_core::ruleset::{Chain, Rule, Ruleset};
use lb_kernel::{Kernel, Parts};
use namespace::{nft, sh};
use sabotage::SABOTAGE;

fn kernel() -> Kernel {
    Kernel::open(Parts { ipvs: false }).unwrap()
}

fn seen(kernel: &mut Kernel) -> Option<Ruleset> {
    let seen = kernel.observe(&BTreeSet::new()).unwrap().ruleset;
    seen.map(std::sync::Arc::unwrap_or_clone)
}

fn replace(kernel: &mut Kernel, rules: &Ruleset) -> Result<(), KernelError> {
    kernel.apply(&Step::ReplaceRuleset(Box::new(rules.clone())))
}

fn masquerade(from: &str, out: &str) -> Rule {
    line(&format!("masquerade {from} out {out}"))
}

fn line(line: &str) -> Rule {
    line.parse().unwrap()
}

fn hairpin(from: &str, out: &str) -> Rule {
    Rule::Hairpin {
        from: from.parse().unwrap(),
        out: out.parse().unwrap(),
    }
}

/// One of each rule, services of both families.
fn everything() -> Ruleset {
    let services = ["192.0.2.1:80/tcp", "192.0.2.1:443/tcp", "[2001:db8::1]:443/tcp"];
    let input = [
        Rule::AcceptLoopback,
        Rule::AcceptEstablished,
        line("accept answers to checks by 0x3fa1"),
        Rule::AcceptIcmp,
        Rule::AcceptIcmpv6,
        Rule::AcceptServices4,
        Rule::AcceptServices6,
    ];
    let forward = [
        Rule::AcceptEstablished,
        line("accept forwarded tcp 192.0.2.1:2222 to 172.16.0.11:22"),
        line("accept forwarded udp 192.0.2.1:5000-5010 to 172.16.0.11 from 192.0.2.0/24"),
        line(&format!(
            "accept {}",
            FORWARD_V6.replacen("forward", "forwarded", 1)
        )),
        Rule::DropNewFrom("wan0".parse().unwrap()),
        Rule::DropNewFrom("abcdefghijklmno".parse().unwrap()),
    ];
    let postrouting = [
        hairpin("172.16.0.0/24", "lan0"),
        hairpin("2001:db8:1::/64", "lan0"),
        masquerade("172.16.0.0/24", "wan0"),
        masquerade("10.0.0.0/9", "wan0"),
        masquerade("192.0.2.77/32", "wan0"),
        masquerade("0.0.0.0/0", "wan1"),
        masquerade("2001:db8:1::/48", "wan0"),
        line("masquerade 172.16.0.9/32 out wan0 to 192.0.2.9"),
        line("masquerade 2001:db8:2::/64 out wan0 to 2001:db8::9"),
        line("masquerade 172.16.1.0/24 out wan0 to 192.0.2.20-192.0.2.29"),
        line("masquerade 2001:db8:3::/64 out wan0 to 2001:db8::9-2001:db8::a"),
        line("masquerade 172.16.2.0/24 out wan0 to 192.0.2.5 share 0 of 2"),
        line("masquerade 2001:db8:4::/64 out wan0 to 2001:db8::7 share 1 of 2"),
        line("hairpin forwarded 172.16.0.0/24 out lan0"),
    ];
    let dstnat = [
        line("forward tcp 192.0.2.1:2222 to 172.16.0.11:22"),
        line("forward udp 192.0.2.1:5000-5010 to 172.16.0.11 from 192.0.2.0/24"),
        line(FORWARD_V6),
    ];
    let clamp = |way| ["ipv4", "ipv6"].map(|ip| line(&format!("clamp mss 1432 {ip} {way} wan0")));
    Ruleset::for_services(services.map(|key| key.parse().unwrap()))
        .with(Chain::MangleIn, clamp("in"))
        .with(Chain::Dstnat, dstnat)
        .with(Chain::Input, input)
        .with(Chain::Forward, forward)
        .with(Chain::MangleOut, clamp("out"))
        .with(Chain::Postrouting, postrouting)
}

/// As long as a line can be.
const FORWARD_V6: &str = "forward sctp [2001:db8:1111:2222:3333:4444:5555:6666]:65534-65535 \
                          to 2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff from 2001:db8:1111:2222:3333:4444:5555:0/112";

fn range(address: &str, protocol: Protocol, first: u16, last: u16) -> PortRange {
    PortRange {
        address: address.parse().unwrap(),
        protocol,
        first,
        last,
    }
}

/// The same, with services of several ports.
fn with_marks() -> Ruleset {
    let from = ["172.16.0.0/24", "2001:db8:1::/64"];
    let hairpins = from.map(|from| Rule::HairpinMarked {
        from: from.parse().unwrap(),
        out: "lan0".parse().unwrap(),
    });
    let mut rules = everything()
        .with(
            Chain::MangleIn,
            [Rule::AcceptReplies, Rule::MarkServices4, Rule::MarkServices6],
        )
        .with(Chain::Input, [Rule::AcceptMarked])
        .with(Chain::Postrouting, [Rule::AcceptMarks4, Rule::AcceptMarks6])
        .with(Chain::Postrouting, hairpins);
    rules.marks = [
        (range("192.0.2.1", Protocol::Tcp, 1, 65_535), 0x4c00_0001),
        (range("192.0.2.1", Protocol::Udp, 30_000, 32_767), 0x4cff_fffe),
        (range("192.0.2.2", Protocol::Sctp, 53, 53), 0x4c00_0001),
        (range("2001:db8::1", Protocol::Tcp, 80, 8_080), 0x4c12_ab34),
    ]
    .into();
    rules
}

/// The same with connections that are not tracked. The flowtable is for a kernel that has one: the appliance's.
fn with_fast_path() -> Ruleset {
    let raw = [
        "untrack ipv4 requests not from lo",
        "untrack ipv6 requests not from lo",
        "untrack ipv4 replies from lo not to 172.16.0.0/24,172.17.0.1/32",
        "untrack ipv6 replies from lo not to 2001:db8:1::/64",
    ];
    let raw = raw.map(|line| line.parse().unwrap());
    let known = "accept established,related,untracked not from lo";
    let mut rules = everything()
        .with(Chain::Raw, raw)
        .with(Chain::Input, [known.parse().unwrap()]);
    rules.fast.services = ["192.0.2.1:80/tcp", "[2001:db8::1]:443/tcp"]
        .map(|key| key.parse().unwrap())
        .into();
    rules.fast.servers = [
        "172.16.0.11:80/tcp",
        "172.16.0.12:8080/tcp",
        "[2001:db8:1::7]:443/udp",
    ]
    .map(|key| key.parse().unwrap())
    .into();
    rules
}

fn many(count: u32) -> BTreeSet<Endpoint> {
    (0..count)
        .map(|n| Endpoint {
            address: match n % 5 {
                0 => IpAddr::V6(Ipv6Addr::from(0x2001_0db8 << 96 | u128::from(n))),
                _ => IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + n / 3)),
            },
            port: 1 + n as u16,
            protocol: Protocol::Tcp,
        })
        .collect()
}

isolated! {
    fn the_table_reads_back_as_written() {
        let mut kernel = kernel();
        assert_eq!(seen(&mut kernel), None);
        replace(&mut kernel, &everything()).unwrap();
        assert_eq!(seen(&mut kernel), Some(everything()));
        replace(&mut kernel, &Ruleset::default()).unwrap();
        assert_eq!(seen(&mut kernel), Some(Ruleset::default()));
    }

    fn nft_shows_the_table_as_meant() {
        let mut rules = everything();
        // A set's elements have no order: one of each.
        rules.services.pop_first();
        replace(&mut kernel(), &rules).unwrap();
        let shown = sh("nft --stateless list ruleset");
        let lines: Vec<&str> = shown.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
        assert_eq!(lines, include_str!("nftables.expected").lines().collect::<Vec<_>>());
    }

    fn ranges_of_ports_are_one_element_each_and_read_back() {
        let mut kernel = kernel();
        replace(&mut kernel, &with_marks()).unwrap();
        assert_eq!(seen(&mut kernel), Some(with_marks()));
        let shown = sh("nft --stateless list map inet lb marks4");
        let shown: Vec<&str> = shown.split_whitespace().collect();
        let shown = shown.join(" ");
        for element in [
            "192.0.2.1 . tcp . 1-65535 : 0x4c000001",
            "192.0.2.1 . udp . 30000-32767 : 0x4cfffffe",
            "192.0.2.2 . sctp . 53 : 0x4c000001",
        ] {
            assert!(shown.contains(element), "{element} in {shown}");
        }
        assert_eq!(shown.matches(" : 0x").count(), 3, "{shown}");
        let chain = sh("nft --stateless list chain inet lb mangle_in");
        assert_eq!(
            chain.lines().map(str::trim).filter(|line| line.contains("mark") || line.contains("replies")).collect::<Vec<_>>(),
            [
                "ct direction reply counter accept comment \"accept replies\"",
                "meta mark set ip daddr . meta l4proto . th dport map @marks4 counter comment \"mark by marks4\"",
                "meta mark set ip6 daddr . meta l4proto . th dport map @marks6 counter comment \"mark by marks6\"",
            ]
        );
        // Without such services nothing of it is left.
        replace(&mut kernel, &everything()).unwrap();
        let shown = sh("nft list ruleset");
        assert!(!shown.contains("mark"), "{shown}");
        assert_eq!(seen(&mut kernel), Some(everything()));
    }

    fn untracked_connections_read_back_and_damage_shows() {
        let mut kernel = kernel();
        replace(&mut kernel, &with_fast_path()).unwrap();
        assert_eq!(seen(&mut kernel), Some(with_fast_path()));
        let raw = sh("nft --stateless list chain inet lb raw");
        for line in [
            "iif != \"lo\" ip6 daddr . meta l4proto . th dport @untracked6 notrack accept comment \"untrack ipv6 requests not from lo\"",
            "iif \"lo\" ip daddr != 172.16.0.0/24 ip daddr != 172.17.0.1 ip saddr . meta l4proto . th sport @servers4 notrack accept \
             comment \"untrack ipv4 replies from lo not to 172.16.0.0/24,172.17.0.1/32\"",
        ] {
            assert!(raw.contains(line), "{line} in {raw}");
        }
        for script in [
            "delete element inet lb servers4 { 172.16.0.11 . tcp . 80 }",
            "add element inet lb untracked4 { 192.0.2.9 . tcp . 80 }",
            "flush set inet lb servers6; flush set inet lb untracked6",
            "flush chain inet lb raw",
            "add rule inet lb raw notrack",
        ] {
            sh(&format!("nft '{script}'"));
            assert_ne!(seen(&mut kernel), Some(with_fast_path()), "{script}");
            replace(&mut kernel, &with_fast_path()).unwrap();
            assert_eq!(seen(&mut kernel), Some(with_fast_path()));
        }
        // A link's number is in the rules, so it has to be there.
        let absent = everything().with(
            Chain::Raw,
            ["untrack ipv4 requests not from absent0".parse().unwrap()],
        );
        let refused = replace(&mut kernel, &absent).unwrap_err().to_string();
        assert!(refused.ends_with("ENODEV"), "{refused}");
        assert_eq!(seen(&mut kernel), Some(with_fast_path()));
        replace(&mut kernel, &everything()).unwrap();
        assert_eq!(seen(&mut kernel), Some(everything()));
    }

    fn thousands_of_ranges_fit() {
        let mut kernel = kernel();
        let mut rules = with_marks();
        let ranges = (0..2_500u32).map(|n| {
            let v4 = Ipv4Addr::from(0x0a00_0000 + n).to_string();
            let v6 = Ipv6Addr::from(0x2001_0db8 << 96 | u128::from(n)).to_string();
            let address = if n % 2 == 0 { v4 } else { v6 };
            (range(&address, Protocol::Tcp, 30_000, 32_767), 0x4c00_0000 + n)
        });
        rules.marks = ranges.collect();
        replace(&mut kernel, &rules).unwrap();
        assert_eq!(seen(&mut kernel), Some(rules));
    }

    /// What somebody does to the marks shows as a difference.
    fn every_change_of_the_marks_is_seen() {
        let mut kernel = kernel();
        for script in [
            "delete element inet lb marks4 { 192.0.2.1 . udp . 30000-32767 }",
            "delete element inet lb marks4 { 192.0.2.2 . sctp . 53 }; add element inet lb marks4 { 192.0.2.2 . sctp . 53 : 0x7 }",
            "add element inet lb marks6 { 2001:db8::9 . tcp . 22 : 0x4c000001 }",
            "add element inet lb marks4 { 192.0.2.9 . dccp . 53 : 0x4c000001 }",
            "add element inet lb marks4 { 192.0.2.10-192.0.2.19 . tcp . 53 : 0x4c000001 }",
            "flush map inet lb marks6",
            "flush chain inet lb mangle_in",
            "flush chain inet lb mangle_in; delete chain inet lb mangle_in",
            "add rule inet lb mangle_in meta mark set 1",
            "add map inet lb marks5 { type ipv4_addr : mark; }",
        ] {
            replace(&mut kernel, &with_marks()).unwrap();
            nft(script);
            assert_ne!(seen(&mut kernel), Some(with_marks()), "not seen: {script}");
        }
        replace(&mut kernel, &with_marks()).unwrap();
        assert_eq!(seen(&mut kernel), Some(with_marks()));
        // What would be right with such services is not without them.
        replace(&mut kernel, &everything()).unwrap();
        nft("add map inet lb marks4 { type ipv4_addr . inet_proto . inet_service : mark; flags interval; }");
        assert_ne!(seen(&mut kernel), Some(everything()));
    }

    fn five_thousand_services_fit() {
        let mut kernel = kernel();
        let mut rules = everything();
        rules.services = many(5_000);
        let start = Instant::now();
        replace(&mut kernel, &rules).unwrap();
        let written = start.elapsed();
        assert_eq!(seen(&mut kernel), Some(rules.clone()));
        println!("written in {written:?}, read back in {:?}", start.elapsed() - written);
        assert_eq!(sh("nft list set inet lb services4").matches(". tcp .").count(), 4_000);
        // And again, over a full table.
        rules.services.pop_first();
        replace(&mut kernel, &rules).unwrap();
        assert_eq!(seen(&mut kernel), Some(rules));
    }

    /// Rules keep their handles and counters, and a packet in between meets all of them.
    fn services_come_and_go_without_a_touch_to_the_rules() {
        let mut kernel = kernel();
        let mut rules = with_marks();
        replace(&mut kernel, &rules).unwrap();
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
        let chains = || sh("nft --handle list ruleset").split_once("chain ").unwrap().1.to_owned();
        let before = chains();
        assert!(before.contains("packets 1 "), "{before}");
        let more: BTreeSet<Endpoint> = rules.services.iter().copied().chain(many(5_000)).collect();
        let mut marks = rules.marks.clone();
        // Another mark for the same ports, part of the ports of another, and one that goes.
        marks.insert(range("192.0.2.2", Protocol::Sctp, 53, 53), 0x4c00_0002);
        marks.remove(&range("2001:db8::1", Protocol::Tcp, 80, 8_080));
        marks.insert(range("2001:db8::1", Protocol::Tcp, 8_000, 9_000), 0x4c12_ab34);
        marks.remove(&range("192.0.2.1", Protocol::Udp, 30_000, 32_767));
        for n in 0..1_000u16 {
            marks.insert(range("198.51.100.1", Protocol::Tcp, 10 * n + 1, 10 * n + 5), 0x4c00_0003);
        }
        for (services, marks) in [
            (more, rules.marks.clone()),
            (rules.services.clone(), marks),
            (BTreeSet::new(), BTreeMap::new()),
            (rules.services.clone(), rules.marks.clone()),
        ] {
            (rules.services, rules.marks) = (services, marks);
            replace(&mut kernel, &rules).unwrap();
            assert_eq!(seen(&mut kernel), Some(rules.clone()));
            assert_eq!(chains(), before);
        }
    }

    /// A chain that is put right stays hooked in, so that no packet falls between its old rules and its new ones; the others are
    /// not touched at all.
    fn a_damaged_chain_is_put_right_and_no_other() {
        let mut kernel = kernel();
        for (name, script) in [
            ("input", "add rule inet lb input tcp dport 22 accept"),
            ("input", "flush chain inet lb input"),
            ("forward", "flush chain inet lb forward"),
            ("postrouting", "insert rule inet lb postrouting accept"),
            ("mangle_in", "flush chain inet lb mangle_in"),
            ("dstnat", "flush chain inet lb dstnat; delete chain inet lb dstnat"),
        ] {
            replace(&mut kernel, &with_marks()).unwrap();
            let (before, chains) = (others(name), handles_of_chains());
            nft(script);
            replace(&mut kernel, &with_marks()).unwrap();
            assert_eq!(others(name), before, "{script}");
            assert_eq!(seen(&mut kernel), Some(with_marks()), "{script}");
            if !script.contains("delete") {
                assert_eq!(handles_of_chains(), chains, "{script}");
            }
        }
    }

    /// Chains and maps come and go with what needs them, and `input` is the same all the time.
    fn chains_and_maps_come_and_go_beside_the_others() {
        let mut kernel = kernel();
        let input = || sh("nft --handle list chain inet lb input");
        let few = || Ruleset::for_services(everything().services).with(Chain::Input, everything().rules(Chain::Input).to_vec());
        replace(&mut kernel, &few()).unwrap();
        let before = input();
        for rules in [everything(), few(), everything()] {
            replace(&mut kernel, &rules).unwrap();
            assert_eq!(seen(&mut kernel), Some(rules));
            assert_eq!(input(), before);
        }
        let table = || sh("nft --handle list ruleset").lines().next().unwrap_or_default().to_owned();
        let before = table();
        for rules in [with_marks(), everything(), with_marks(), few()] {
            replace(&mut kernel, &rules).unwrap();
            assert_eq!(seen(&mut kernel), Some(rules));
            assert_eq!(table(), before);
        }
    }

    fn a_thousand_masquerades_fit() {
        let mut kernel = kernel();
        let masquerades = (0..1_000).map(|n| masquerade(&format!("10.{}.{}.0/24", n / 256, n % 256), "wan0"));
        let rules = Ruleset::default().with(Chain::Postrouting, masquerades);
        replace(&mut kernel, &rules).unwrap();
        assert_eq!(seen(&mut kernel), Some(rules));
    }

    fn a_refused_batch_leaves_the_old_table_whole() {
        let mut kernel = kernel();
        replace(&mut kernel, &everything()).unwrap();
        let before = sh("nft list ruleset");
        // Only a chain of type nat can masquerade.
        let bad = Ruleset::for_services(many(3_000))
            .with(Chain::Input, [Rule::AcceptLoopback, masquerade("10.0.0.0/8", "wan0")]);
        let error = replace(&mut kernel, &bad).unwrap_err();
        assert_eq!(
            error.to_string(),
            "replace ruleset: 3000 services, 2 input: \
             EOPNOTSUPP at add rule `masquerade 10.0.0.0/8 out wan0`"
        );
        assert_eq!(sh("nft list ruleset"), before);
        assert_eq!(seen(&mut kernel), Some(everything()));
    }

    fn a_foreign_rule_is_not_written() {
        let rules = Ruleset::default().with(Chain::Forward, [Rule::Foreign("x".to_owned())]);
        assert!(replace(&mut kernel(), &rules).is_err());
        assert_eq!(sh("nft list ruleset"), "");
    }

    fn the_table_can_be_removed_twice_and_others_stay() {
        nft("table inet other { chain input { type filter hook input priority 5; }; }");
        let other = sh("nft list ruleset");
        let mut kernel = kernel();
        replace(&mut kernel, &everything()).unwrap();
        for _ in 0..2 {
            kernel.apply(&Step::DeleteRuleset).unwrap();
            assert_eq!(seen(&mut kernel), None);
            assert_eq!(sh("nft list ruleset"), other);
        }
    }

    fn counters_are_no_difference() {
        let mut kernel = kernel();
        replace(&mut kernel, &everything()).unwrap();
        assert!(!sh("nft list ruleset").contains("packets 1 "));
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
        assert!(sh("nft list ruleset").contains("packets 1 "), "the packet was counted");
        assert_eq!(seen(&mut kernel), Some(everything()));
    }

    fn a_table_that_changes_all_the_time_is_read_at_last() {
        let mut kernel = kernel();
        replace(&mut kernel, &everything()).unwrap();
        let mut busy = std::process::Command::new("sh")
            .args(["-c", "while nft add table inet busy && nft delete table inet busy; do sleep 0.01; done"])
            .spawn()
            .unwrap();
        let results: Vec<_> = (0..20).map(|_| kernel.observe(&BTreeSet::new())).collect();
        busy.kill().unwrap();
        busy.wait().unwrap();
        for result in results {
            assert_eq!(result.unwrap().ruleset.as_deref(), Some(&everything()));
        }
    }

    /// Each sabotage shows as a difference, and one replacement repairs it.
    fn every_change_by_somebody_else_is_seen_and_repaired() {
        let mut kernel = kernel();
        for (script, foreign) in SABOTAGE {
            replace(&mut kernel, &everything()).unwrap();
            // It is remembered from here on.
            let known = kernel.observe(&BTreeSet::new()).unwrap();
            assert!(kernel.frame_is(&BTreeSet::new(), &known).unwrap());
            let script = script.replace("ICMP_HANDLE", &handle("accept icmp"));
            let script = script.replace("FORWARD_HANDLE", &handle("\"forward tcp"));
            let script = script.replace("POOL_HANDLE", &handle("192.0.2.20-192.0.2.29\""));
            let script = script.replace("CLAMP_HANDLE", &handle("1432 ipv4 out"));
            nft(&script.replace("DROP_HANDLE", &handle("drop new from wan0")));
            assert!(!kernel.frame_is(&BTreeSet::new(), &known).unwrap(), "{script}");
            let seen = seen(&mut kernel);
            assert_ne!(seen, Some(everything()), "not seen: {script}");
            let all = format!("{seen:?}");
            assert!(all.contains(foreign), "`{script}` reads as {all}");
        }
        replace(&mut kernel, &everything()).unwrap();
        assert_eq!(seen(&mut kernel), Some(everything()));
    }
}

/// The handle of the rule with this comment.
fn handle(comment: &str) -> String {
    let shown = sh("nft --handle list table inet lb");
    let line = shown.lines().find(|l| l.contains(comment)).unwrap();
    line.rsplit(' ').next().unwrap().to_owned()
}

/// The table without a chain.
fn others(chain: &str) -> String {
    let shown = sh("nft --handle list ruleset");
    let (before, rest) = shown.split_once(&format!("chain {chain} {{")).unwrap();
    let shown = format!("{before}{}", rest.split_once("\n\t}\n").unwrap().1);
    shown.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn handles_of_chains() -> Vec<String> {
    let shown = sh("nft --handle list chains");
    let chains = shown.lines().filter(|line| line.contains("handle"));
    chains.map(str::to_owned).collect()
}
