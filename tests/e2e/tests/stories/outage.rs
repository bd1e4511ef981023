//! The box loses sight of its servers: no cable, or a switch that passes nothing on. That says nothing of the servers, so
//! nobody is taken out, and nobody's connection ends. One machine alone that dies is a dead machine.

use std::path::Path;
use std::time::{Duration, Instant};

use lb_e2e::config::with_services;
use lb_e2e::farm::{
    IMPATIENT, ONE, SOON, THREE, TWO, count, log, power, service, table, wait_for, who_answers,
};
use lb_e2e::sabotage::Saboteur;
use lb_e2e::scene::health;
use lb_e2e::{Held, Peers, Scene, Setting, Start};
use lb_lab::cluster::CLUSTER;
use lb_lab::command::run;
use lb_lab::load::Program;
use lb_lab::story::Told;

const MACHINES: [(&str, &str, &str); 3] = [
    ("worker01", "one", ONE),
    ("worker02", "two", TWO),
    ("master", "three", THREE),
];
/// Of each machine.
const CONNECTIONS: usize = 4;
/// Longer than a verdict and `kill_after` together: who is not gone by then does not go.
const LONG: Duration = Duration::from_secs(5);
const KILL_AFTER: &str = "kill_after = \"2s\"\n";
/// Of the VM, and its end on the cluster's bridge.
const CARD: usize = 1;
const TAP: &str = "tap1";
/// A card that was switched on more than so long ago has looked for a carrier: from then on it may lose one.
const LOOKED: Duration = Duration::from_secs(10);
const FROZEN: &str = "have fallen silent at once";
const THAWED: &str = "are judged again";

pub fn link_down_freezes_the_pools() -> Told {
    let keys = format!("{KILL_AFTER}{IMPATIENT}");
    let config = with_services(&service("web", 8080, &keys, &[ONE, TWO, THREE]));
    let mut scene = Scene::dark(Setting::new(Start::Sabotage, config))?;
    let load = Program::own()?;
    let mut servers = Vec::new();
    for (machine, name, address) in MACHINES {
        servers.push(load.serve(machine, name, &[address])?);
    }
    scene.power_on()?;
    all_up(&mut scene)?;
    the_doctor_sees_the_way_back(&mut scene)?;
    let saboteur = scene.saboteur()?;
    let peers = Peers::new(Path::new(env!("CARGO_BIN_EXE_peer")));
    let mut held = Held::open(&peers, "host01", "192.168.0.1:8080", 3 * CONNECTIONS)?;
    std::thread::sleep(LOOKED);
    the_cable_is_pulled(&mut scene, &saboteur, &mut held)?;
    everybody_answers(&load)?;
    the_switch_is_silent(&mut scene, &saboteur, &mut held)?;
    everybody_answers(&load)?;
    one_machine_dies(&mut scene, &saboteur, &mut held)?;
    let who = who_answers(&load, "host01", 8080, 10)?;
    assert_eq!(who.keys().collect::<Vec<_>>(), ["three", "two"]);
    Ok(())
}

fn all_up(scene: &mut Scene) -> Told {
    Ok(wait_for(scene, &MACHINES.map(|(_, _, address)| (address, "up"))).map(drop)?)
}

/// No client has come yet. A machine without a default route passes its checks, and answers nobody from outside.
fn the_doctor_sees_the_way_back(scene: &mut Scene) -> Told {
    let route = |verb| {
        run(&[
            "ip",
            "netns",
            "exec",
            "worker01",
            "ip",
            "route",
            verb,
            "default",
            "via",
            "172.16.0.254",
        ])
    };
    let findings = |scene: &mut Scene| -> lb_lab::Result<String> {
        Ok(scene.vm().json("doctor web")?["services"][0]["findings"].to_string())
    };
    let found = findings(scene)?;
    assert!(
        found.contains("answers of 3 servers come back through the lb"),
        "{found}"
    );
    assert!(!found.contains("farther"), "{found}");
    route("del")?;
    let found = findings(scene)?;
    let lost = format!("{ONE} does not answer a SYN from an address that nobody has");
    assert!(found.contains(&lost) && found.contains("172.16.0.254"), "{found}");
    assert!(
        found.contains("answers of 2 servers come back through the lb"),
        "{found}"
    );
    Ok(route("add").map(drop)?)
}

fn everybody_answers(load: &Program) -> Told {
    let who = who_answers(load, "host01", 8080, 12)?;
    assert!(who.values().eq([4, 4, 4].iter()), "{who:?}");
    Ok(())
}

/// The table is what it was, all the time.
fn nobody_leaves(saboteur: &Saboteur, before: &str) -> Told {
    let begun = Instant::now();
    while begun.elapsed() < LONG {
        assert_eq!(table(saboteur)?, before, "after {:?}", begun.elapsed());
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn the_cable_is_pulled(scene: &mut Scene, saboteur: &Saboteur, held: &mut Held) -> Told {
    let before = table(saboteur)?;
    scene.vm().plug(CARD, false)?;
    wait_for(scene, &MACHINES.map(|(_, _, address)| (address, "cannot-check")))?;
    nobody_leaves(saboteur, &before)?;
    let status = scene.vm().json("status")?;
    let problems = status["problems"].to_string();
    assert!(problems.contains("eth1 has no carrier"), "{problems}");
    scene.vm().plug(CARD, true)?;
    all_up(scene)?;
    assert_eq!(table(saboteur)?, before);
    held.assert_whole("the cable is back")?;
    let log = log(scene)?;
    assert_eq!(count(&log, "link eth1 has lost its carrier"), 1, "{log:#?}");
    for (_, _, address) in MACHINES {
        assert_eq!(
            count(&log, &format!("{address} of web cannot be checked")),
            1,
            "{log:#?}"
        );
    }
    for words in [" is down", FROZEN] {
        assert_eq!(count(&log, words), 0, "{words}: {log:#?}");
    }
    Ok(())
}

/// The card keeps its carrier: the far end of the switch is not on the cluster's bridge any more.
fn the_switch_is_silent(scene: &mut Scene, saboteur: &Saboteur, held: &mut Held) -> Told {
    let before = table(saboteur)?;
    run(&["ip", "link", "set", TAP, "nomaster"])?;
    let problem = "3 of 3 machines behind eth1 fell silent at once";
    scene.wait_for_report("status", SOON, |status| {
        status["problems"].to_string().contains(problem)
    })?;
    nobody_leaves(saboteur, &before)?;
    run(&["ip", "link", "set", TAP, "master", CLUSTER])?;
    scene.wait_for_report("status", SOON, |status| {
        status["problems"] == serde_json::json!([]) && status["servers_up"] == MACHINES.len()
    })?;
    assert_eq!(table(saboteur)?, before);
    held.assert_whole("the switch is back")?;
    let log = log(scene)?;
    let shouts: Vec<_> = log.iter().filter(|(level, _)| level == "error").collect();
    assert!(shouts.len() == 1 && shouts[0].1.contains(FROZEN), "{shouts:#?}");
    assert_eq!(count(&log, THAWED), 1, "{log:#?}");
    assert_eq!(count(&log, " is down"), 0, "{log:#?}");
    Ok(())
}

/// One of three is never most.
fn one_machine_dies(scene: &mut Scene, saboteur: &Saboteur, held: &mut Held) -> Told {
    let before = table(saboteur)?;
    power("worker01", false)?;
    let begun = Instant::now();
    while table(saboteur)?.contains(ONE) {
        assert!(begun.elapsed() < SOON, "{}", table(saboteur)?);
        std::thread::sleep(Duration::from_millis(100));
    }
    let without: String = before
        .lines()
        .filter(|line| !line.contains(ONE))
        .map(|line| format!("{line}\n"))
        .collect();
    nobody_leaves(saboteur, &without)?;
    let services = scene.vm().json("services")?;
    let health = MACHINES.map(|(_, _, address)| health(&services, address).unwrap_or("-"));
    assert_eq!(health, ["down", "up", "up"], "{services:#}");
    for (_, name, _) in MACHINES {
        let expected = if name == "one" { "reset" } else { name };
        let numbers = held.at(name);
        assert_eq!(numbers.len(), CONNECTIONS);
        for number in numbers {
            assert_eq!(held.ask(number)?.said, expected, "connection {number}");
        }
    }
    assert_eq!(count(&log(scene)?, FROZEN), 1, "of the switch, and no other");
    Ok(())
}
