//! The MTU of a card goes back to what the card came with, whatever took it out of lb.toml and whoever died in between.

use std::time::{Duration, Instant};

use lb_e2e::config::{QUICK, scenario};
use lb_e2e::sabotage::Saboteur;
use lb_e2e::{Scene, Setting, Start};
use lb_lab::story::Told;

use crate::rows::settle;

const SOON: Duration = Duration::from_secs(30);
const OWN: u64 = 1500;
const NARROW: u64 = 1400;

fn narrow() -> String {
    let plain = "addresses = [\"192.168.0.1/24\"]\n";
    let config = scenario(QUICK);
    assert!(config.contains(plain), "{config}");
    config.replacen(plain, &format!("{plain}mtu = {NARROW}\n"), 1)
}

/// As `applctl link` has it.
fn wait_for(scene: &mut Scene, bytes: u64) -> Told {
    scene.wait_for_report("link eth0", SOON, |report| report["links"][0]["mtu"] == bytes)?;
    Ok(())
}

pub fn goes_back() -> Told {
    let mut scene = Scene::new(Setting::new(Start::Sabotage, scenario(QUICK)))?;
    scene.wait_until_serving()?;
    settle(&mut scene)?;
    let saboteur = scene.saboteur()?;
    wait_for(&mut scene, OWN)?;

    let said = scene.vm().config_put_with("--confirm 8s", &narrow())?;
    assert!(said.contains("PENDING"), "{said}");
    wait_for(&mut scene, NARROW)?;
    let shown = scene.vm().command("link eth0")?;
    assert!(shown.contains("mtu 1400"), "{shown}");
    wait_for(&mut scene, OWN)?;
    println!("a trial has given it back");

    killed_in_between(&mut scene, &saboteur)?;

    saboteur.sh("ip link set eth0 mtu 1300")?;
    wait_for(&mut scene, OWN)?;
    let status = scene.vm().json("status")?;
    assert!(status["reconcile"]["repairs"].as_u64() >= Some(1), "{status:#}");
    assert_eq!(status["reconcile"]["failed"], serde_json::json!([]), "{status:#}");

    unused_tunnels_are_told(&mut scene)?;
    scene.rows_1_to_5()?;
    Ok(())
}

fn killed_in_between(scene: &mut Scene, saboteur: &Saboteur) -> Told {
    let said = scene.vm().config_put(&narrow())?;
    assert!(said.contains("OK. Applied"), "{said}");
    wait_for(scene, NARROW)?;
    let killed = saboteur.kill_agent()?;
    scene.wait_for_report("status", SOON, |status| {
        status["agent"]["pid"]
            .as_u64()
            .is_some_and(|pid| pid != u64::from(killed))
    })?;
    settle(scene)?;
    wait_for(scene, NARROW)?;
    let begun = Instant::now();
    let said = scene.vm().config_put(&scenario(QUICK))?;
    assert!(said.contains("OK. Applied"), "{said}");
    let shown = scene.vm().command("link eth0")?;
    assert!(shown.contains("mtu 1500"), "{shown}");
    println!("taken out and back after {:?}", begun.elapsed());
    scene.row_1(3)?;
    Ok(())
}

/// The kernel's own devices for tunnels are no interfaces.
fn unused_tunnels_are_told(scene: &mut Scene) -> Told {
    let shown = scene.vm().command("link")?;
    let (table, note) = shown.split_once("Left out: ").unwrap_or((&shown, ""));
    assert!(table.contains("eth0") && !table.contains("tunl0"), "{shown}");
    assert!(note.contains("tunl0") && note.contains("ip6tnl0"), "{shown}");
    let all = scene.vm().json("link")?.to_string();
    assert!(all.contains("tunl0"), "{all}");
    Ok(())
}
