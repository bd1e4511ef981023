//! The cluster's side over a VLAN on a bond of two cards, behind a switch that wants tags.

use std::time::{Duration, Instant};

use lb_e2e::config::{QUICK, scenario};
use lb_e2e::sabotage::Saboteur;
use lb_e2e::scene::{SECOND_VLAN, SERVICE, VLAN};
use lb_e2e::{Scene, Setting, Start, Stream};
use lb_lab::story::Told;
use lb_lab::vm::{CLUSTER_MAC, EXTERNAL_MAC};
use serde_json::{Value, json};

use crate::rows::settle;

const SOON: Duration = Duration::from_secs(30);
const SECOND_MAC: &str = "52:54:00:00:00:03";
/// The bond looks at its carriers every 100 ms; the rest is for an emulated machine that looks late.
const FAILOVER: Duration = Duration::from_secs(1);

/// For requests without the cable.
const LONG_ENOUGH: Duration = Duration::from_secs(3);

fn stacked(vlan: u16) -> String {
    behind("", "", "bond0", vlan)
}

/// The VLAN stands on a bridge that has one link, the bond; `settings` are the bond's.
fn bridged(settings: &str) -> String {
    let bridge = "[[interface]]\nname = \"br0\"\nbridge = { links = [\"bond0\"] }\n\n";
    behind(&format!(", {settings}"), bridge, "br0", VLAN)
}

/// The second card is known by its MAC address, which the bond replaces by the first one's.
fn behind(settings: &str, between: &str, below: &str, vlan: u16) -> String {
    let plain = "[[interface]]\nname = \"eth1\"\naddresses = [\"172.16.0.254/24\"]\n";
    let stack = format!(
        "[[interface]]\nname = \"second\"\nmatch = {{ mac = \"{SECOND_MAC}\" }}\n\n\
         [[interface]]\nname = \"bond0\"\nbond = {{ links = [\"eth1\", \"second\"]{settings} }}\n\n{between}\
         [[interface]]\nname = \"cluster\"\nvlan = {{ link = \"{below}\", id = {vlan} }}\n\
         addresses = [\"172.16.0.254/24\"]\n"
    );
    let config = scenario(QUICK);
    assert!(config.contains(plain), "{config}");
    config.replacen(plain, &stack, 1)
}

pub fn cluster_behind_a_bond() -> Told {
    let mut setting = Setting::new(Start::Sabotage, stacked(VLAN));
    setting.macs = vec![EXTERNAL_MAC, CLUSTER_MAC, SECOND_MAC];
    setting.switched = true;
    let mut scene = Scene::new(setting)?;
    scene.wait_until_serving()?;
    settle(&mut scene)?;
    scene.rows_1_to_5()?;
    let interfaces = scene.vm().json("interfaces")?;
    assert_eq!(bond(&interfaces)["mode"], "active-backup", "{interfaces:#}");
    assert_eq!(
        interface(&interfaces, "cluster")["vlan"]["id"],
        VLAN,
        "{interfaces:#}"
    );
    assert_eq!(
        interface(&interfaces, "second")["master"],
        "bond0",
        "{interfaces:#}"
    );

    seen_as_a_link(&mut scene)?;
    a_cable_is_pulled_out(&mut scene)?;
    let saboteur = scene.saboteur()?;
    repaired(&mut scene, &saboteur)?;
    another_vlan(&mut scene, &saboteur)?;
    an_mtu_is_that_of_all(&mut scene, &saboteur)?;
    other_modes(&mut scene, &saboteur)?;

    scene.reboot()?;
    scene.wait_until_serving()?;
    scene.rows_1_to_5()?;
    fast_over_links_of_ours(&mut scene, &saboteur)
}

/// Links that are made at boot are in the flowtable, and the boot had nothing to complain about.
fn fast_over_links_of_ours(scene: &mut Scene, saboteur: &Saboteur) -> Told {
    let table = saboteur.sh("nft -s list table inet lb")?;
    let flowtable = table
        .split("flowtable fast")
        .nth(1)
        .and_then(|rest| rest.split('}').next());
    for link in ["eth0", "cluster"] {
        let named = |flowtable: &str| {
            flowtable
                .split([' ', ',', '\n', '{', '\"'])
                .any(|word| word == link)
        };
        assert!(flowtable.is_some_and(named), "{link}: {table}");
    }
    assert!(table.contains("notrack"), "{table}");
    let log = scene.vm().json("log --last 1000")?;
    let lines = log["lines"].as_array().into_iter().flatten();
    let errors: Vec<&Value> = lines.filter(|line| line["level"] == "error").collect();
    assert!(errors.is_empty(), "{errors:#?}");
    let status = scene.vm().json("status")?;
    assert_eq!(status["problems"], serde_json::json!([]), "{status:#}");
    Ok(())
}

/// `link` says what the bond is made of, and what stands on it.
fn seen_as_a_link(scene: &mut Scene) -> Told {
    let report = scene.vm().json("link bond0")?;
    let bond = &report["links"][0];
    assert_eq!(
        (&bond["link"], &bond["kind"], &bond["state"]),
        (&json!("bond0"), &json!("bond"), &json!("up")),
        "{report:#}"
    );
    assert_eq!(bond["bond"]["mode"], "active-backup", "{report:#}");
    let links = json!([{ "link": "eth1", "state": "up" }, { "link": "eth2", "state": "up" }]);
    assert_eq!(bond["bond"]["links"], links, "{report:#}");
    assert_eq!(bond["vlans"], json!(["cluster"]), "{report:#}");
    // The first card's address is the bond's.
    assert_eq!(bond["mac"], CLUSTER_MAC, "{report:#}");
    let shown = scene.vm().command("link bond0")?;
    for part in ["bond0", "active-backup", "eth1", "eth2", "VLANs cluster"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    // By the file's name; its own address, not the one that the bond has lent it.
    let second = scene.vm().command("link second")?;
    for part in ["is eth2", SECOND_MAC] {
        assert!(second.contains(part), "{part}: {second}");
    }
    Ok(())
}

/// The bond's is that of its cards and of the VLAN; it goes with the key, and cards that leave have their own again.
fn an_mtu_is_that_of_all(scene: &mut Scene, saboteur: &Saboteur) -> Told {
    let mtus = || -> lb_lab::Result<Vec<String>> {
        let text = saboteur.sh("ip -o link show")?;
        let of = |link: &str| {
            let line = text
                .lines()
                .find(|line| line.split([':', '@']).nth(1).map(str::trim) == Some(link))?;
            line.split_whitespace()
                .skip_while(|word| *word != "mtu")
                .nth(1)
                .map(str::to_owned)
        };
        let links = ["bond0", "cluster", "eth1", "eth2"];
        Ok(links
            .iter()
            .map(|link| of(link).unwrap_or_else(|| "-".to_owned()))
            .collect())
    };
    let bond = "name = \"bond0\"\n";
    let narrow = stacked(VLAN).replacen(bond, &format!("{bond}mtu = 1400\n"), 1);
    scene.vm().config_put(&narrow)?;
    assert_eq!(mtus()?, ["1400"; 4]);
    scene.vm().config_put(&stacked(VLAN))?;
    assert_eq!(mtus()?, ["1500"; 4]);
    scene.vm().config_put(&narrow)?;
    scene.vm().config_put(&scenario(QUICK))?;
    assert_eq!(mtus()?, ["-", "-", "1500", "1500"]);
    scene.vm().config_put(&stacked(VLAN))?;
    scene.wait_for_page(SOON)?;
    Ok(())
}

/// First one, then the other: requests go on, and the switch sees the frames come by the other card.
fn a_cable_is_pulled_out(scene: &mut Scene) -> Told {
    for (card, left) in [(1, 2), (2, 1)] {
        let (gone, active) = (format!("eth{card}"), format!("eth{left}"));
        let stream = Stream::start("host01", SERVICE);
        let before = scene.switch().received(left, VLAN);
        scene.row_1(5)?;
        let pulled = Instant::now();
        scene.vm().plug(card, false)?;
        scene.wait_for_report("interfaces", SOON, |report| {
            bond(report)["active"] == active.as_str()
        })?;
        let status = scene.vm().json("status")?;
        let problems = status["problems"].to_string();
        assert!(problems.contains("has no carrier"), "{gone}: {status:#}");
        while pulled.elapsed() < LONG_ENOUGH {
            scene.row_1(5)?;
        }
        let records = stream.stop();
        let lost = records
            .0
            .iter()
            .filter(|record| !record.fetch.is_default_page() && record.at > pulled + FAILOVER);
        let lost: Vec<_> = lost.collect();
        assert!(lost.is_empty(), "{gone} was pulled out: {lost:?}");
        let failures = records.failures();
        assert!(failures.len() <= 1, "{gone} was pulled out: {failures:?}");
        let later = records
            .0
            .iter()
            .filter(|record| record.at > pulled && record.fetch.is_default_page());
        let later = later.count();
        assert!(
            later >= 5,
            "{later} pages after {gone} was pulled out prove nothing"
        );
        let after = scene.switch().received(left, VLAN);
        assert!(
            after > before + 100,
            "frames from {active}: {before}, then {after}"
        );
        scene.vm().plug(card, true)?;
        scene.wait_for_report("interfaces", SOON, |report| {
            let links = bond(report)["links"].as_array().cloned().unwrap_or_default();
            links.len() == 2 && links.iter().all(|link| link["state"] == "up")
        })?;
    }
    Ok(())
}

/// What others do to our links is undone; what they make is theirs.
fn repaired(scene: &mut Scene, saboteur: &Saboteur) -> Told {
    saboteur.sh("ip link add theirs link eth0 type vlan id 7")?;
    let whole = links(saboteur)?;
    assert!(whole.contains("cluster@bond0"), "{whole}");
    for (what, commands) in [
        ("the VLAN is deleted", &["ip link del cluster"][..]),
        ("a card is taken out", &["ip link set eth2 nomaster"]),
        ("the bond is switched off", &["ip link set bond0 down"]),
        ("the bond is deleted", &["ip link del bond0"]),
        (
            "a VLAN too many with our mark, and our mark taken from another",
            &[
                "ip link add stray link bond0 group 205 type vlan id 300",
                "ip link set cluster group 0",
            ],
        ),
    ] {
        for command in commands {
            saboteur.sh(command)?;
        }
        let started = Instant::now();
        while links(saboteur)? != whole {
            assert!(
                started.elapsed() < SOON,
                "{what}:\n{}\nwhole:\n{whole}",
                links(saboteur)?
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        scene.wait_for_page(SOON)?;
        scene.row_1(3)?;
    }
    Ok(())
}

/// Links with their addresses, masters, VLAN ids and groups, without what changes by itself.
fn links(saboteur: &Saboteur) -> lb_lab::Result<String> {
    let text = saboteur.sh("ip -d -o link show")?;
    let kept = text.lines().map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let after = |word: &str| {
            let at = words.iter().position(|w| *w == word);
            at.and_then(|at| words.get(at + 1)).copied().unwrap_or("-")
        };
        let up = line.contains(",UP") || line.contains("<UP");
        format!(
            "{} up {up} master {} mtu {} group {} id {} mode {}\n",
            words.get(1).unwrap_or(&"?"),
            after("master"),
            after("mtu"),
            after("group"),
            after("id"),
            after("mode"),
        )
    });
    let mut kept: Vec<String> = kept.collect();
    kept.sort();
    let addresses = saboteur.sh("ip -4 -br addr")?;
    Ok(kept.concat() + &addresses)
}

/// Another id and back, and no VLAN at all: each is in force when the command returns.
fn another_vlan(scene: &mut Scene, saboteur: &Saboteur) -> Told {
    for vlan in [SECOND_VLAN, VLAN] {
        let before = frames(scene, vlan);
        scene.vm().config_put(&stacked(vlan))?;
        scene.wait_for_page(SOON)?;
        scene.row_1(5)?;
        scene.row_5()?;
        assert!(frames(scene, vlan) > before + 20, "no frames in VLAN {vlan}");
    }
    scene.vm().config_put(&scenario(QUICK))?;
    let plain = saboteur.sh("ip -br link")?;
    assert!(!plain.contains("bond0") && !plain.contains("cluster"), "{plain}");
    assert!(plain.contains("theirs"), "{plain}");
    scene.vm().config_put(&stacked(VLAN))?;
    scene.wait_for_page(SOON)?;
    Ok(())
}

/// A bridge between the VLAN and the bond. What a bond can change while it runs is changed on the link that is there; another
/// mode makes it anew.
fn other_modes(scene: &mut Scene, saboteur: &Saboteur) -> Told {
    let before = scene.vm().json("status")?["reconcile"].clone();
    scene.vm().config_put(&bridged("mode = \"balance-xor\""))?;
    scene.wait_for_page(SOON)?;
    scene.rows_1_to_5()?;
    let report = scene.vm().json("interfaces")?;
    assert_eq!(bond(&report)["mode"], "balance-xor", "{report:#}");
    let bridge = &interface(&report, "br0")["bridge"];
    assert_eq!(
        bridge["links"],
        json!([{ "link": "bond0", "state": "up" }]),
        "{report:#}"
    );
    assert_eq!(interface(&report, "bond0")["master"], "br0", "{report:#}");
    let (index, settings) = kernels_bond(saboteur)?;
    assert!(settings.contains("mode balance-xor miimon 100 "), "{settings}");
    assert!(settings.contains("xmit_hash_policy layer3+4 "), "{settings}");

    let changed = "mode = \"balance-xor\", miimon = \"50ms\", xmit_hash_policy = \"layer2+3\"";
    scene.vm().config_put(&bridged(changed))?;
    let (same, settings) = kernels_bond(saboteur)?;
    assert!(settings.contains("mode balance-xor miimon 50 "), "{settings}");
    assert!(settings.contains("xmit_hash_policy layer2+3 "), "{settings}");
    assert_eq!(same, index, "{settings}");
    scene.row_1(3)?;

    let lacp = "mode = \"802.3ad\", lacp_rate = \"fast\"";
    scene.vm().config_put(&bridged(lacp))?;
    let (anew, settings) = kernels_bond(saboteur)?;
    assert!(settings.contains("mode 802.3ad "), "{settings}");
    assert!(settings.contains("lacp_rate fast "), "{settings}");
    assert_ne!(anew, index, "{settings}");
    // The switch speaks no LACP, so that nothing is said of traffic.
    scene.wait_for_report("interfaces", SOON, |report| {
        let links = bond(report)["links"].as_array().map_or(0, Vec::len);
        bond(report)["mode"] == "802.3ad" && links == 2
    })?;
    // What was asked for is what is read back: nothing is done twice.
    let after = scene.vm().json("status")?["reconcile"].clone();
    assert_eq!(after["failed"], json!([]), "{after:#}");
    assert_eq!(after["repairs"], before["repairs"], "{after:#}");

    scene.vm().config_put(&stacked(VLAN))?;
    let left = saboteur.sh("ip -br link")?;
    assert!(!left.contains("br0"), "{left}");
    scene.wait_for_page(SOON)?;
    Ok(())
}

/// Its index, and all that the kernel says of it.
fn kernels_bond(saboteur: &Saboteur) -> lb_lab::Result<(String, String)> {
    let line = saboteur.sh("ip -d -o link show bond0")?;
    let index = line.split(':').next().unwrap_or_default().to_owned();
    Ok((index, line))
}

fn frames(scene: &mut Scene, vlan: u16) -> u64 {
    let switch = scene.switch();
    switch.received(1, vlan) + switch.received(2, vlan)
}

fn interface<'a>(report: &'a Value, label: &str) -> &'a Value {
    let all = report["interfaces"].as_array();
    let found = all.into_iter().flatten().find(|entry| entry["label"] == label);
    found.unwrap_or(&Value::Null)
}

fn bond(report: &Value) -> &Value {
    &interface(report, "bond0")["bond"]
}
