//! What goes wrong in the field: a message with its place and its remedy, traffic unharmed, nothing lost.

use std::time::Duration;

use lb_e2e::config::{QUICK, marked, scenario};
use lb_e2e::scene::{BOOT_LIMIT, health};
use lb_e2e::{Scene, Setting, Start, volume};
use lb_image::layout::CONFIG;
use lb_lab::story::Told;
use lb_lab::vm::{CLUSTER_MAC, EXTERNAL_MAC};

use crate::rows::settle;

const SOON: Duration = Duration::from_secs(30);

/// Boots with this lb.toml, which cannot be used: says `why`, and answers.
fn refused_at_boot(text: Vec<u8>, why: &str) -> Told {
    let mut scene = Scene::new(Setting::new(Start::Kernel, text))?;
    scene.vm().wait_for_prompt(BOOT_LIMIT)?;
    let checked = scene.vm().command("config check")?;
    assert!(
        checked.to_lowercase().contains(why),
        "config check said:\n{checked}"
    );
    let status = scene.vm().json("status")?;
    assert_eq!(status["config"]["source"], "none", "{status:#}");
    let problems = status["problems"].to_string();
    assert!(problems.contains("lb.toml"), "{status:#}");
    // A good file from the console is all that it takes.
    scene.vm().config_put(&scenario(QUICK))?;
    scene.wait_for_page(SOON)?;
    assert!(!scene.vm().console.text().contains("panicked"));
    Ok(())
}

pub fn ten_megabytes() -> Told {
    let line = b"# a comment that is repeated until the file is far too large\n";
    let text: Vec<u8> = line.iter().copied().cycle().take(10 * 1024 * 1024).collect();
    refused_at_boot(text, "too large")
}

pub fn invalid_utf8() -> Told {
    let mut text = b"hostname = \"lb".to_vec();
    text.extend([0xff, 0xfe, b'"', b'\n']);
    refused_at_boot(text, "utf-8")
}

/// /config has no room: the new file is refused, the old one stays, also across a reboot.
pub fn volume_full() -> Told {
    let old = scenario(QUICK);
    let mut scene = Scene::new(Setting::new(Start::Sabotage, old.clone()))?;
    scene.wait_until_serving()?;
    let saboteur = scene.saboteur()?;
    saboteur.sh("saboteur fill /config/filler")?;
    // Too large for what the file system keeps in reserve or finds at the end of a block.
    let new = format!("{}{}", marked(QUICK, "does not fit"), "# filler\n".repeat(2000));
    let said = scene.vm().config_put(&new)?;
    let space = ["no space", "full", "enospc"];
    assert!(
        space.iter().any(|word| said.to_lowercase().contains(word)),
        "{said}"
    );
    scene.row_1(5)?;
    scene.cut_power()?;
    let kept = volume::read(&scene.disk, "lb.toml")?;
    assert_eq!(kept.as_deref(), Some(old.as_bytes()), "the old file is whole");
    scene.power_on()?;
    scene.wait_until_serving()?;
    scene.rows_1_to_5()?;
    Ok(())
}

/// The disk refuses to be written to: the appliance serves, and says that nothing can be kept.
pub fn volume_read_only() -> Told {
    let mut setting = Setting::new(Start::Kernel, scenario(QUICK));
    setting.read_only = true;
    let mut scene = Scene::new(setting)?;
    scene.wait_until_serving()?;
    scene.rows_1_to_5()?;
    let status = scene.vm().json("status")?;
    assert_eq!(status["config"]["persistent"], false, "{status:#}");
    let said = scene.vm().config_put(&marked(QUICK, "cannot be kept"))?;
    assert!(said.to_lowercase().contains("read-only"), "{said}");
    scene.row_1(5)?;
    Ok(())
}

/// The whole /config partition is garbage: the appliance makes a new one and can be configured again.
pub fn volume_damaged() -> Told {
    let mut scene = Scene::dark(Setting::unconfigured(Start::Kernel))?;
    lb_lab::command::run(&[
        "dd",
        "status=none",
        "conv=notrunc",
        "bs=1M",
        "count=8",
        "oflag=seek_bytes",
        "if=/dev/urandom",
        &format!("of={}", scene.disk.display()),
        &format!("seek={}", CONFIG.start),
    ])?;
    scene.power_on()?;
    scene.vm().wait_for_prompt(BOOT_LIMIT)?;
    let status = scene.vm().json("status")?;
    let volume = &status["init"]["config_volume"];
    assert_eq!(volume["state"], "restored", "{status:#}");
    scene.vm().config_put(&scenario(QUICK))?;
    scene.wait_for_page(SOON)?;
    scene.cut_power()?;
    volume::assert_replayable(&scene.disk)?;
    scene.power_on()?;
    scene.wait_until_serving()?;
    Ok(())
}

/// The cluster's cable is pulled: that is our fault and not the servers'; plugged in again, all is well.
pub fn link_unplugged() -> Told {
    let mut scene = Scene::new(Setting::new(Start::Kernel, scenario(QUICK)))?;
    scene.wait_until_serving()?;
    settle(&mut scene)?;
    scene.vm().plug(1, false)?;
    let services = scene.wait_for_report("services", SOON, |services| {
        health(services, "172.16.0.11:30080") == Some("cannot-check")
            && health(services, "172.16.0.1:6443") == Some("cannot-check")
    })?;
    assert!(
        services.to_string().contains("eth1"),
        "the reason names the link: {services:#}"
    );
    let interfaces = scene.vm().json("interfaces")?;
    assert!(interfaces.to_string().contains("no-carrier"), "{interfaces:#}");
    scene.vm().plug(1, true)?;
    scene.wait_for_page(SOON)?;
    settle(&mut scene)?;
    scene.rows_1_to_5()?;
    Ok(())
}

/// The machine has only eth0: the file is valid, the rest works, and status says which link is missing.
pub fn link_missing() -> Told {
    let mut setting = Setting::new(Start::Kernel, scenario(QUICK));
    setting.macs = vec![EXTERNAL_MAC];
    let mut scene = Scene::new(setting)?;
    scene.vm().wait_for_prompt(BOOT_LIMIT)?;
    let interfaces = scene.wait_for_report("interfaces", SOON, |report| {
        report.to_string().contains("missing")
    })?;
    assert!(interfaces.to_string().contains("eth1"), "{interfaces:#}");
    // eth0 is there for its neighbours.
    scene.lab.curl("host01", "192.168.0.1:30080")?;
    let neighbour = scene
        .lab
        .ip_netns_exec("host01", &["ip", "neigh", "show", "192.168.0.1"])?;
    assert!(neighbour.stdout.contains(EXTERNAL_MAC), "{neighbour:?}");
    let status = scene.vm().json("status")?;
    assert!(status["problems"].to_string().contains("eth1"), "{status:#}");
    Ok(())
}

/// Two links with one MAC, and a file that matches by it: refused to guess, with both names.
pub fn links_with_one_mac() -> Told {
    let by_mac = format!("match = {{ mac = \"{EXTERNAL_MAC}\" }}\naddresses = [\"192.168.0.1/24\"]");
    let config = scenario(QUICK).replacen(
        "name = \"eth0\"\naddresses = [\"192.168.0.1/24\"]",
        &format!("name = \"outside\"\n{by_mac}"),
        1,
    );
    let config = config.replacen("out = \"eth0\"", "out = \"outside\"", 1);
    let mut setting = Setting::new(Start::Kernel, config);
    setting.macs = vec![EXTERNAL_MAC, EXTERNAL_MAC];
    let mut scene = Scene::new(setting)?;
    scene.vm().wait_for_prompt(BOOT_LIMIT)?;
    let status = scene.wait_for_report("status", SOON, |status| {
        status["problems"].to_string().contains(EXTERNAL_MAC)
    })?;
    let problems = status["problems"].to_string();
    assert!(
        problems.contains("eth0") && problems.contains("eth1"),
        "{problems}"
    );
    // By name they can be told apart: the same machine serves once the file says so.
    scene.cut_power()?;
    assert_ne!(EXTERNAL_MAC, CLUSTER_MAC);
    volume::write(&scene.disk, "lb.toml", scenario(QUICK).as_bytes())?;
    scene.power_on()?;
    scene.wait_until_serving()?;
    Ok(())
}
