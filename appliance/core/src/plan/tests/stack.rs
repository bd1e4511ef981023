//! Plans for links that are made of others: from every stack to every other, whatever somebody has done in between.

use super::*;
use crate::config;
use crate::link_kind::{BondMode, BondSettings, LinkKind};
use crate::model::IfName;

const CARDS: [&str; 4] = ["eth0", "eth1", "eth2", "eth3"];

fn name(text: &str) -> IfName {
    text.parse().unwrap()
}

/// `mtu` lines, or none.
fn any_mtu(range: std::ops::Range<u32>) -> impl Strategy<Value = String> {
    let line = |mtu: Option<u32>| mtu.map(|mtu| format!("mtu = {mtu}\n")).unwrap_or_default();
    proptest::option::of(range).prop_map(line)
}

prop_compose! {
    /// eth0 and what is on it; a bond of eth1 and eth2 with VLANs; a bridge of eth3 and one of the VLANs.
    fn any_text()(
        mode in 0usize..4,
        cards in 0u8..4,
        primary in any::<bool>(),
        ids in proptest::collection::btree_map(0usize..3, 1u16..5, 0..4),
        on_card in any::<bool>(),
        bridge in 0u8..4,
        card_mtu in any_mtu(1400..1600),
        mtu in any_mtu(1400..1600),
        // Not above what is below it.
        vlan_mtu in any_mtu(1300..1400),
        bridge_mtu in any_mtu(1300..1600),
        port_mtu in any_mtu(1300..1600),
        addresses in any::<bool>(),
    ) -> String {
        let mode = ["active-backup", "802.3ad", "balance-xor", "balance-rr"][mode];
        let mut text = format!("[[interface]]\nname = \"eth0\"\n{card_mtu}addresses = [\"192.168.0.1/24\"]\n");
        let links = ["eth1", "eth2"].into_iter().enumerate().filter(|(bit, _)| cards & (1 << bit) != 0);
        let links: Vec<&str> = links.map(|(_, link)| link).collect();
        if links.is_empty() {
            text += "[[interface]]\nname = \"eth1\"\naddresses = [\"172.16.9.1/24\"]\n";
        } else {
            let primary = (primary && mode == "active-backup").then(|| format!(", primary = \"{}\"", links[0]));
            let primary = primary.unwrap_or_default();
            text += &format!(
                "[[interface]]\nname = \"bond0\"\n{mtu}bond = {{ links = {links:?}, mode = \"{mode}\"{primary} }}\n"
            );
        }
        let below = if links.is_empty() || on_card { "eth0" } else { "bond0" };
        let mut seen = BTreeSet::new();
        let vlans: Vec<_> = ids.iter().filter(|(_, id)| seen.insert(**id)).collect();
        let port = vlans.first().map(|(n, _)| format!("v{n}")).filter(|_| bridge & 1 != 0);
        for (n, id) in &vlans {
            let address = format!("addresses = [\"172.16.{n}.1/24\"]\n");
            let address = if addresses && port != Some(format!("v{n}")) { address } else { String::new() };
            let mtu = if **n == 1 { &*vlan_mtu } else { "" };
            text += &format!("[[interface]]\nname = \"v{n}\"\n{mtu}vlan = {{ link = \"{below}\", id = {id} }}\n{address}");
        }
        let ports: Vec<String> = port.into_iter().chain(["eth3".to_owned()]).collect();
        if bridge > 0 {
            let stp = bridge == 3;
            text += &format!(
                "[[interface]]\nname = \"br0\"\n{bridge_mtu}bridge = {{ links = {ports:?}, stp = {stp} }}\naddresses = [\"10.1.1.1/24\"]\n"
            );
            text += &format!("[[interface]]\nname = \"eth3\"\n{port_mtu}");
        }
        text
    }
}

fn read(text: &str) -> Config {
    config::parse(text).unwrap_or_else(|faults| panic!("{}\n{text}", faults.render("lb.toml", text)))
}

fn any_stack() -> impl Strategy<Value = Config> {
    any_text().prop_map(|text| read(&text))
}

/// A machine whose cards come with MTUs of their own.
fn machine(mtus: [u32; 4]) -> FakeKernel {
    let mut kernel = FakeKernel::with_links(&CARDS);
    for (card, mtu) in CARDS.iter().zip(mtus) {
        kernel.state.links.get_mut(&name(card)).unwrap().mtu = mtu;
    }
    kernel.own = OwnMtus::default();
    kernel.own.see(&kernel.state.links);
    kernel
}

fn any_machine() -> impl Strategy<Value = FakeKernel> {
    let mtu = || prop::sample::select(vec![1450, 1500, 1550, 9000]);
    [mtu(), mtu(), mtu(), mtu()].prop_map(machine)
}

fn mtus(kernel: &FakeKernel) -> Vec<(String, u32)> {
    let links = kernel.state.links.iter();
    links.map(|(name, link)| (name.to_string(), link.mtu)).collect()
}

/// What somebody with `ip` at hand could do.
fn any_mischief() -> impl Strategy<Value = Step> {
    let bond = |mode| {
        LinkKind::Bond(BondSettings {
            mode,
            miimon_ms: 0,
            primary: None,
            lacp_rate: None,
            xmit_hash_policy: None,
        })
    };
    let vlan = |parent: &str, id| LinkKind::Vlan {
        parent: name(parent),
        id,
    };
    let made = || prop::sample::select(vec!["bond0", "br0", "v0", "v1", "v2"]).prop_map(name);
    let card = || prop::sample::select(CARDS.to_vec()).prop_map(name);
    let any_link = || prop_oneof![made(), card()];
    prop_oneof![
        made().prop_map(Step::DeleteLink),
        any_link().prop_map(Step::ReleaseLink),
        any_link().prop_map(Step::SetLinkDown),
        any_link().prop_map(Step::SetLinkUp),
        (any_link(), 1300u32..1400).prop_map(|(link, mtu)| Step::SetMtu { link, mtu }),
        Just(Step::SetMaster {
            link: name("eth3"),
            master: name("bond0")
        }),
        Just(Step::SetMaster {
            link: name("eth1"),
            master: name("br0")
        }),
        Just(Step::ChangeLink {
            link: name("bond0"),
            kind: bond(BondMode::Broadcast).into()
        }),
        Just(Step::ChangeLink {
            link: name("v0"),
            kind: vlan("eth0", 77).into()
        }),
        Just(Step::CreateLink {
            link: name("stray"),
            kind: vlan("eth0", 99).into()
        }),
        Just(Step::CreateLink {
            link: name("v1"),
            kind: bond(BondMode::BalanceAlb).into()
        }),
    ]
}

fn inflict(kernel: &mut FakeKernel, mischief: &Step) {
    // Nothing belongs to what is not there.
    let there = match mischief {
        Step::SetMaster { link, master } => {
            kernel.state.links.contains_key(master) && kernel.state.links[link].master.is_none()
        }
        _ => true,
    };
    if there {
        kernel.state.assume(mischief);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn every_stack_becomes_every_other(
        first in any_stack(), second in any_stack(), mischief in proptest::collection::vec(any_mischief(), 0..5),
        unmarked in any::<bool>(), machine in any_machine(),
    ) {
        let mut kernel = machine.clone();
        converge(&mut kernel, &first, 0);
        for step in &mischief {
            inflict(&mut kernel, step);
        }
        // Somebody has taken our mark from one; it is ours again if the file names it.
        if let Some(link) = kernel.state.links.get_mut(&name("bond0")).filter(|_| unmarked) {
            link.ours = false;
        }
        converge(&mut kernel, &second, 0);
        prop_assert!(plan_for(&second, 0, &kernel).is_empty());
        let made = |text: &str| kernel.state.links.get(&name(text)).is_some_and(|link| link.is_made());
        for interface in &second.interfaces {
            let wanted = interface.kind != config::InterfaceKind::Card;
            prop_assert_eq!(made(&interface.label), wanted, "{}", interface.label);
        }
        prop_assert!(!made("stray"));
        // What each link carries follows from the file and the cards, whatever was there before.
        let mut fresh = machine;
        converge(&mut fresh, &second, 0);
        for (name, mtu) in mtus(&fresh) {
            prop_assert_eq!(kernel.state.links[&name.parse::<IfName>().unwrap()].mtu, mtu, "{}", name);
        }
    }

    #[test]
    fn an_mtu_that_goes_leaves_nothing_behind(text in any_text(), machine in any_machine()) {
        let lines = text.lines().filter(|line| !line.starts_with("mtu = "));
        let without: String = lines.map(|line| format!("{line}\n")).collect();
        let mut kernel = machine.clone();
        converge(&mut kernel, &read(&without), 0);
        let before = mtus(&kernel);
        converge(&mut kernel, &read(&text), 0);
        converge(&mut kernel, &read(&without), 0);
        prop_assert_eq!(mtus(&kernel), before);
        // Without any interface the cards are as they came.
        converge(&mut kernel, &Config::empty(), 0);
        prop_assert_eq!(mtus(&kernel), mtus(&machine));
    }

    #[test]
    fn what_is_right_is_left_alone(stack in any_stack()) {
        let mut kernel = FakeKernel::with_links(&CARDS);
        converge(&mut kernel, &stack, 0);
        kernel.state.assume(&Step::CreateLink { link: name("stray"), kind: LinkKind::Vlan { parent: name("eth0"), id: 99 }.into() });
        let lines: Vec<String> = converge(&mut kernel, &stack, 0).iter().map(Step::to_string).collect();
        prop_assert_eq!(lines, ["delete link stray"]);
    }
}

fn lines(kernel: &mut FakeKernel, text: &str) -> Vec<String> {
    let config = config::parse(text).unwrap_or_else(|faults| panic!("{}", faults.render("lb.toml", text)));
    let steps = converge(kernel, &config, 0);
    let others = |step: &&Step| {
        !matches!(
            step,
            Step::SetSysctl { .. }
                | Step::SetHostname(_)
                | Step::ReplaceRuleset(_)
                | Step::SetIpvsTimeouts(_)
        )
    };
    steps.iter().filter(others).map(Step::to_string).collect()
}

#[test]
fn a_card_that_comes_later_is_taken_in_and_becomes_the_primary() {
    let text =
        "[[interface]]\nname = \"bond0\"\nbond = { links = [\"eth0\", \"eth1\"], primary = \"eth1\" }\n";
    let mut kernel = FakeKernel::with_links(&["eth0", "eth1"]);
    let late = kernel.state.links.remove(&name("eth1")).unwrap();
    assert_eq!(
        lines(&mut kernel, text),
        [
            "add link bond0 type bond mode active-backup miimon 100",
            "set link eth0 master bond0",
            "set link bond0 up"
        ]
    );
    kernel.state.links.insert(name("eth1"), late);
    assert_eq!(
        lines(&mut kernel, text),
        [
            "set link bond0 type bond mode active-backup miimon 100 primary eth1",
            "set link eth1 master bond0"
        ]
    );
}

/// Other people's links are never deleted, whatever they are.
#[test]
fn only_what_we_have_made_is_deleted() {
    let mut kernel = FakeKernel::with_links(&["eth0"]);
    for (link, id) in [("ours", 1), ("theirs", 2)] {
        let kind = LinkKind::Vlan {
            parent: name("eth0"),
            id,
        };
        kernel.state.assume(&Step::CreateLink {
            link: name(link),
            kind: kind.into(),
        });
    }
    kernel.state.links.get_mut(&name("theirs")).unwrap().ours = false;
    let done = lines(&mut kernel, "[[interface]]\nname = \"eth0\"\n");
    assert_eq!(done[0], "delete link ours");
    assert!(kernel.state.links.contains_key(&name("theirs")), "{done:?}");
}

/// A card leaves its bond with what it came with; a VLAN on the bond follows.
#[test]
fn a_card_that_leaves_a_bond_gets_its_own_mtu_back() {
    let with = |links: &str, mtu: &str| {
        format!(
            "[[interface]]\nname = \"bond0\"\n{mtu}bond = {{ links = [{links}] }}\n\
             [[interface]]\nname = \"v7\"\nvlan = {{ link = \"bond0\", id = 7 }}\n"
        )
    };
    let mut kernel = machine([1500, 9000, 1500, 1500]);
    lines(&mut kernel, &with("\"eth0\", \"eth1\"", "mtu = 1400\n"));
    let of =
        |kernel: &FakeKernel| ["bond0", "v7", "eth0", "eth1"].map(|link| kernel.state.links[&name(link)].mtu);
    assert_eq!(of(&kernel), [1400; 4]);
    assert_eq!(
        lines(&mut kernel, &with("\"eth0\"", "mtu = 1400\n")),
        ["set link eth1 nomaster", "set link eth1 mtu 9000"]
    );
    lines(&mut kernel, &with("\"eth0\", \"eth1\"", ""));
    assert_eq!(of(&kernel), [1500; 4]);
}

/// What somebody else has made is not repaired.
#[test]
fn an_mtu_set_by_hand_is_put_right_on_links_of_ours() {
    let mut kernel = machine([1500; 4]);
    let text = "[[interface]]\nname = \"eth0\"\n";
    lines(&mut kernel, text);
    let theirs = LinkKind::Vlan {
        parent: name("eth0"),
        id: 2,
    };
    kernel.state.assume(&Step::CreateLink {
        link: name("theirs"),
        kind: theirs.into(),
    });
    kernel.state.links.get_mut(&name("theirs")).unwrap().ours = false;
    for link in kernel.state.links.values_mut() {
        link.mtu = 1300;
    }
    assert_eq!(
        lines(&mut kernel, text),
        [
            "set link eth0 mtu 1500",
            "set link eth1 mtu 1500",
            "set link eth2 mtu 1500",
            "set link eth3 mtu 1500"
        ]
    );
    assert_eq!(kernel.state.links[&name("theirs")].mtu, 1300);
}
