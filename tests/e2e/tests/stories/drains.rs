//! Servers that are set aside, and servers that are taken out of the file, under load: nobody's request is lost, new
//! connections go elsewhere, and those that are there end by themselves.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use lb_e2e::config::with_services;
use lb_e2e::farm::{
    IMPATIENT, ONE, SERVICE, SOON, TWO, asking, server, service, table, wait_for, who_answers,
};
use lb_e2e::sabotage::Saboteur;
use lb_e2e::{Held, Peers, Scene, Setting, Start};
use lb_lab::load::{Client, Program};
use lb_lab::story::Told;

const WEB: &str = "192.168.0.1:8080";
const RATE: u32 = 40;
const CONNECTIONS: usize = 10;
/// Short, so that the story sees its end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(15);
/// What looking at it takes on a slow machine.
const LOOK: Duration = Duration::from_secs(4);

fn config(servers: &[&str]) -> String {
    let keys = format!("drain_timeout = \"{}s\"\n{IMPATIENT}", DRAIN_TIMEOUT.as_secs());
    with_services(&service("web", 8080, &keys, servers))
}

pub fn drained_under_load() -> Told {
    let mut scene = Scene::dark(Setting::new(Start::Sabotage, config(&[ONE, TWO])))?;
    let load = Program::own()?;
    let _one = load.serve("worker01", "one", &[ONE])?;
    let _two = load.serve("worker02", "two", &[TWO])?;
    scene.power_on()?;
    wait_for(&mut scene, &[(ONE, "up"), (TWO, "up")])?;
    let saboteur = scene.saboteur()?;
    let peers = Peers::new(Path::new(env!("CARGO_BIN_EXE_peer")));
    set_aside(&mut scene, &load, &peers)?;
    it_lasts_over_a_reboot(&mut scene, &load)?;
    out_of_the_file(&mut scene, &saboteur, &load, &peers)
}

fn wait_for_weight(scene: &mut Scene, weight: u32) -> Told {
    scene.wait_for_report("services", SOON, |services| {
        let one = server(services, ONE);
        one["health"] == "up" && one["weight"] == weight && one["drained_by"].is_null() == (weight > 0)
    })?;
    Ok(())
}

fn only_two_answers(load: &Program, occasion: &str) -> Told {
    let who = who_answers(load, "host01", SERVICE.1, 10)?;
    assert_eq!(who, [("two".to_owned(), 10)].into(), "{occasion}");
    Ok(())
}

fn set_aside(scene: &mut Scene, load: &Program, peers: &Peers) -> Told {
    let mut held = Held::open(peers, "host01", WEB, CONNECTIONS)?;
    assert_eq!(held.at("one").len(), CONNECTIONS / 2, "{held:?}");
    let orders = Client::long(SocketAddr::from(SERVICE), CONNECTIONS, Duration::from_millis(250));
    let long = load.start("host02", &orders)?;
    long.wait_for("long connections", SOON, |so_far| {
        so_far.answers >= 2 * CONNECTIONS as u64
    })?;
    let short = asking(load, "host01", RATE)?;
    short.wait_for("short connections", SOON, |so_far| {
        so_far.answers >= u64::from(RATE)
    })?;

    scene.vm().command(&format!("drain {ONE} --yes"))?;
    wait_for_weight(scene, 0)?;
    only_two_answers(load, "one is set aside")?;
    let services = scene.vm().json("services")?;
    let left = server(&services, ONE)["active_connections"].as_u64();
    assert!(left >= Some(CONNECTIONS as u64), "{services:#}");
    let drains = scene.vm().json("drains")?;
    let drain = &drains["drains"][0];
    assert_eq!(
        (&drain["server"], &drain["servers"]),
        (&ONE.into(), &1.into()),
        "{drains:#}"
    );

    let before = long.progress().answers;
    long.wait_for("more answers", SOON, |so_far| {
        so_far.answers >= before + 8 * CONNECTIONS as u64
    })?;
    held.assert_whole("one is set aside")?;
    for (client, report) in [("short", short.report()?), ("long", long.report()?)] {
        println!("while one is set aside, {client}: {}", report.summary());
        assert!(report.lost().is_empty(), "{client}: {:#?}", report.lost());
        assert_eq!(
            report.servers.keys().collect::<Vec<_>>(),
            ["one", "two"],
            "{client}"
        );
    }
    drop(held);
    scene.wait_for_report("services", SOON, |services| {
        server(services, ONE)["active_connections"] == 0
    })?;
    Ok(())
}

fn it_lasts_over_a_reboot(scene: &mut Scene, load: &Program) -> Told {
    scene.reboot()?;
    wait_for(scene, &[(ONE, "up"), (TWO, "up")])?;
    wait_for_weight(scene, 0)?;
    only_two_answers(load, "after a reboot")?;
    scene.vm().command(&format!("undrain {ONE}"))?;
    wait_for_weight(scene, 1)?;
    let who = who_answers(load, "host01", SERVICE.1, 10)?;
    assert_eq!(who, [("one".to_owned(), 5), ("two".to_owned(), 5)].into());
    let drains = scene.vm().json("drains")?;
    assert_eq!(drains["drains"], serde_json::json!([]), "{drains:#}");
    Ok(())
}

fn out_of_the_file(scene: &mut Scene, saboteur: &Saboteur, load: &Program, peers: &Peers) -> Told {
    let mut held = Held::open(peers, "host01", WEB, CONNECTIONS)?;
    let ending = held.at("one");
    assert_eq!(ending.len(), CONNECTIONS / 2, "{held:?}");
    let short = asking(load, "host01", RATE)?;
    short.wait_for("short connections", SOON, |so_far| {
        so_far.answers >= u64::from(RATE)
    })?;
    scene.vm().config_put(&config(&[TWO]))?;
    let taken = Instant::now();
    only_two_answers(load, "one is out of the file")?;
    let services = scene.vm().json("services")?;
    let one = server(&services, ONE);
    assert_eq!(
        (&one["role"], &one["weight"]),
        (&"leaving".into(), &0.into()),
        "{services:#}"
    );
    held.assert_whole("one is out of the file")?;
    let report = short.report()?;
    println!("while one is taken out of the file: {}", report.summary());
    assert!(report.lost().is_empty(), "{:#?}", report.lost());
    assert!(taken.elapsed() < DRAIN_TIMEOUT, "nothing was seen in time");

    while table(saboteur)?.contains(ONE) {
        assert!(taken.elapsed() < DRAIN_TIMEOUT + SOON, "{}", table(saboteur)?);
        std::thread::sleep(Duration::from_millis(100));
    }
    let stayed = taken.elapsed();
    assert!(
        stayed > DRAIN_TIMEOUT - LOOK && stayed < DRAIN_TIMEOUT + LOOK,
        "gone after {stayed:?}"
    );
    // Whoever is still there then is told.
    for number in ending {
        assert_eq!(held.ask(number)?.said, "reset", "connection {number}");
    }
    for number in held.at("two") {
        assert_eq!(held.ask(number)?.said, "two", "connection {number}");
    }
    let services = scene.vm().json("services")?;
    assert!(server(&services, ONE).is_null(), "{services:#}");
    Ok(())
}
