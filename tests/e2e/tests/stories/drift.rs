//! Somebody else changes what the appliance owns, with real ipvsadm, nft and ip; it is put right, and what is not the
//! appliance's own is left alone.

use std::time::Duration;

use lb_e2e::config::{QUICK, scenario};
use lb_e2e::sabotage::Saboteur;
use lb_e2e::{Scene, Setting, Start};
use lb_lab::Result;
use lb_lab::story::Told;

use crate::rows::settle;

/// A full read-back happens every 30 s; the rest is for a slow machine.
const REPAIR_LIMIT: Duration = Duration::from_secs(45);

/// The column of /proc/net/softnet_stat that counts how often another processor has woken this one (softnet_seq_show).
const RECEIVED_RPS: usize = 9;

const DAMAGE: [(&str, &[&str]); 5] = [
    (
        "IPVS servers: one gone, one with another weight, one too many",
        &[
            "ipvsadm -d -t 192.168.0.1:30080 -r 172.16.0.11:30080",
            "ipvsadm -e -t 192.168.0.1:6443 -r 172.16.0.1:6443 -m -w 7",
            "ipvsadm -a -t 192.168.0.1:6443 -r 172.16.0.99:6443 -m -w 3",
        ],
    ),
    (
        "IPVS services: one gone, one with another scheduler, one too many",
        &[
            "ipvsadm -D -t 192.168.0.1:30080",
            "ipvsadm -E -t 192.168.0.1:6443 -s sh",
            "ipvsadm -A -t 192.168.0.1:8080 -s rr",
        ],
    ),
    ("IPVS cleared", &["ipvsadm -C"]),
    (
        "the filter, an address and a route",
        &[
            "nft flush ruleset",
            "ip addr del 172.16.0.254/24 dev eth1",
            "ip route del 10.0.0.0/8",
        ],
    ),
    ("a link taken down", &["ip link set eth1 down"]),
];

pub fn is_repaired() -> Told {
    let routes = "addresses = [\"192.168.0.1/24\"]\n\
                  routes = [{ to = \"10.0.0.0/8\", via = \"192.168.0.20\" }]\n";
    let config = scenario(QUICK).replacen("addresses = [\"192.168.0.1/24\"]\n", routes, 1);
    let mut scene = Scene::new(Setting::new(Start::Sabotage, config))?;
    scene.wait_until_serving()?;
    settle(&mut scene)?;
    let saboteur = scene.saboteur()?;
    let whole = saboteur.kernel_state()?;
    assert!(
        whole.contains("-a -t 192.168.0.1:30080 -r 172.16.0.11:30080"),
        "{whole}"
    );
    assert!(whole.contains("10.0.0.0/8 via 192.168.0.20"), "{whole}");
    for (what, commands) in DAMAGE {
        for command in commands {
            saboteur.sh(command)?;
        }
        wait_until_repaired(&saboteur, &whole, what)?;
        scene.rows_1_to_5()?;
    }
    let status = scene.vm().json("status")?;
    assert!(status["reconcile"]["repairs"].as_u64() >= Some(10), "{status:#}");
    foreign_tables_are_left_alone(&mut scene, &saboteur, &whole)?;
    // What the tests without a kernel believe of IPVS is what this one does, with what was damaged here and much else.
    let agreed = saboteur.sh("saboteur agreement")?;
    print!("{agreed}");
    assert!(agreed.contains("agreed with the fake kernel"), "{agreed}");
    saboteur.sh("nft delete table ip foreign")?;
    assert_eq!(saboteur.kernel_state()?, whole);
    Ok(())
}

fn wait_until_repaired(saboteur: &Saboteur, whole: &String, what: &str) -> Result<()> {
    saboteur.wait_for_repair(what, REPAIR_LIMIT, whole, Saboteur::kernel_state)
}

fn foreign_tables_are_left_alone(scene: &mut Scene, saboteur: &Saboteur, whole: &String) -> Told {
    saboteur.sh("nft add table ip foreign")?;
    saboteur.sh("ipvsadm -D -t 192.168.0.1:30080")?;
    let without_table = |saboteur: &Saboteur| {
        let state = saboteur.kernel_state()?;
        Ok(state.replace("table ip foreign {\n}\n", ""))
    };
    saboteur.wait_for_repair("a service deleted", REPAIR_LIMIT, whole, without_table)?;
    let tables = saboteur.sh("nft list tables")?;
    assert!(tables.contains("table ip foreign"), "{tables}");
    scene.row_1(5)?;
    Ok(())
}

/// Cards with one queue, two processors: each has its part of what is received, and what somebody changes is put right.
pub fn packets_are_steered() -> Told {
    let mut scene = Scene::new(Setting::new(Start::Sabotage, scenario(QUICK)))?;
    scene.wait_until_serving()?;
    settle(&mut scene)?;
    let saboteur = scene.saboteur()?;
    let file = |link: &str| format!("/sys/class/net/{link}/queues/rx-0/rps_cpus");
    let wait_for = |link: &str| -> Told {
        let look = |saboteur: &Saboteur| {
            let mask = saboteur.run(&["saboteur", "read", &file(link)])?;
            Ok(mask.trim().to_owned())
        };
        Ok(saboteur.wait_for_repair(link, REPAIR_LIMIT, &"3".to_owned(), look)?)
    };
    for link in ["eth0", "eth1"] {
        wait_for(link)?;
    }
    // One connection is one flow: among some are both kinds.
    scene.row_1(20)?;
    let handed: Vec<u64> = saboteur
        .proc("net/softnet_stat")?
        .lines()
        .filter_map(|line| u64::from_str_radix(line.split_whitespace().nth(RECEIVED_RPS)?, 16).ok())
        .collect();
    assert!(
        handed.len() == 2 && handed.iter().all(|packets| *packets > 0),
        "{handed:?}"
    );
    saboteur.run(&["saboteur", "write", &file("eth1"), "0"])?;
    wait_for("eth1")?;
    Ok(scene.row_1(5)?)
}
