//! What goes wrong in the field: a message with its place and its remedy, traffic unharmed, nothing lost.

use std::time::{Duration, Instant};

use lb_e2e::config::{QUICK, marked, scenario};
use lb_e2e::sabotage::Saboteur;
use lb_e2e::scene::{BOOT_LIMIT, SERVICE, health};
use lb_e2e::{Scene, Setting, Start, Stream, volume};
use lb_image::layout::CONFIG;
use lb_lab::Result;
use lb_lab::story::Told;
use lb_lab::vm::{CLUSTER_MAC, EXTERNAL_MAC};

use crate::counters::shows;
use crate::power;
use crate::rows::settle;

pub const SOON: Duration = Duration::from_secs(30);
/// What `status` says of it.
const NO_ROOM: &str = "config volume is full";

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

/// So /config has to be mounted; what stands between the options that were asked for follows from the last one (ext4_check_journal_data_mount).
const MOUNTED: &str =
    "ext4 rw,nosuid,nodev,noexec,noatime,nodioread_nolock,nodelalloc,errors=remount-ro,data=journal";

/// What fills it is the operator's own. Every change says what is wrong and what to do, traffic goes on, the configuration stays, also when the power
/// fails; and with room again all is as before.
pub fn volume_full() -> Told {
    let old = scenario(QUICK);
    let mut scene = Scene::new(Setting::new(Start::Sabotage, old.clone()))?;
    scene.wait_until_serving()?;
    let saboteur = scene.saboteur()?;
    let mounts = saboteur.proc("1/mounts")?;
    let config = mounts.lines().find(|line| line.contains(" /config "));
    assert!(config.is_some_and(|line| line.contains(MOUNTED)), "{mounts}");
    // What lies elsewhere lies in memory.
    saboteur.sh("saboteur write /etc/left behind")?;
    let stream = Stream::start("host01", SERVICE);
    saboteur.sh("saboteur fill /config/filler")?;
    nothing_is_lost_without_room(&mut scene)?;
    edits_find_no_room(&mut scene)?;
    applied_without_room(&mut scene, &saboteur)?;
    stream.stop().assert_all_pages(20, "while /config was full");
    scene.cut_power()?;
    for name in ["lb.toml", "lb.applied.toml"] {
        let kept = volume::read(&scene.disk, name)?;
        assert_eq!(kept.as_deref(), Some(old.as_bytes()), "{name} is whole");
    }
    scene.power_on()?;
    scene.wait_until_serving()?;
    scene.rows_1_to_5()?;
    assert!(
        problems(&mut scene)?.contains(NO_ROOM),
        "status says it after a start"
    );
    settle(&mut scene)?;
    scene.vm().command("status")?;
    scene.screen_is_as_kept("config_volume_full/status", "lb> status")?;
    let saboteur = scene.saboteur()?;
    let left = saboteur.sh("saboteur read /etc/left");
    assert!(left.is_err(), "only /config outlives a boot: {left:?}");
    saboteur.sh("saboteur remove /config/filler")?;
    let said = scene.vm().config_put(&marked(QUICK, "fits"))?;
    assert!(said.contains("It is saved and survives a power cut"), "{said}");
    let left = problems(&mut scene)?;
    assert!(!left.contains(NO_ROOM) && !left.contains("history"), "{left}");
    scene.cut_power()?;
    assert!(power::file_on(&scene)?.starts_with("# fits"));
    Ok(())
}

fn problems(scene: &mut Scene) -> Result<String> {
    Ok(scene.vm().json("status")?["problems"].to_string())
}

/// Without the ends of the terminal's lines.
pub fn unfolded(said: &str) -> String {
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Each way to change something.
fn nothing_is_lost_without_room(scene: &mut Scene) -> Told {
    assert!(problems(scene)?.contains(NO_ROOM), "status says it while it runs");
    // Too large for what the file system keeps in reserve or finds at the end of a block.
    let new = format!("{}{}", marked(QUICK, "does not fit"), "# filler\n".repeat(2000));
    let said = unfolded(&scene.vm().config_put(&new)?);
    scene.screen_is_as_kept("config_volume_full/put", "Nothing was changed")?;
    for words in [
        "Nothing was changed",
        "could not be saved",
        NO_ROOM,
        "remove files from it (`config files` lists them)",
    ] {
        assert!(said.contains(words), "{said}");
    }
    let said = unfolded(&scene.vm().config_put_with("--confirm 60s", &new)?);
    assert!(
        said.contains("nothing was changed") && said.contains(NO_ROOM),
        "{said}"
    );
    is_as_it_was(scene)
}

/// The ways of small changes: one message, and lb.toml and what is in force are as they were.
fn edits_find_no_room(scene: &mut Scene) -> Told {
    scene
        .vm()
        .command("config set virtual_server.nginx.real_server.172.16.0.11:30080.weight 5")?;
    scene.screen_is_as_kept("config_volume_full/set", "lb> config set")?;
    scene.vm().console.reach_prompt("lb> ", SOON)?;
    scene.vm().console.send(b"config edit\r")?;
    shows(scene, "the editor", |screen| screen.contains("^X leave"))?;
    scene.vm().console.send(b"# does not fit\r\x18")?;
    shows(scene, "what is changed", |screen| screen.contains("a apply"))?;
    scene.vm().console.send(b"a")?;
    shows(scene, "why not", |screen| screen.contains("Not applied"))?;
    scene.screen_is_as_kept("config_volume_full/edit", "")?;
    scene.vm().console.send(b"\x18")?;
    shows(scene, "what is changed", |screen| screen.contains("t throw away"))?;
    scene.vm().console.send(b"t")?;
    shows(scene, "what would be lost", |screen| {
        screen.contains("This would be lost")
    })?;
    scene.vm().console.send(b"y")?;
    scene.vm().wait_for("Nothing was changed", SOON)?;
    is_as_it_was(scene)
}

/// Somebody else has changed lb.toml where it lies: it is on the disk, so it comes in force, and goes by the same way.
fn applied_without_room(scene: &mut Scene, saboteur: &Saboteur) -> Told {
    let old = scenario(QUICK);
    for text in [old.replace("\"rr\"", "\"lc\""), old] {
        saboteur.run(&["saboteur", "write", "/config/lb.toml", &text])?;
        let said = scene.vm().command("config apply")?;
        assert!(said.contains("OK. Applied, 2 steps."), "{said}");
    }
    is_as_it_was(scene)
}

fn is_as_it_was(scene: &mut Scene) -> Told {
    let shown = scene.vm().command("config show")?;
    assert_eq!(shown.trim(), scenario(QUICK).trim(), "lb.toml is as it was");
    let said = scene.vm().command("config apply")?;
    assert!(said.contains("OK. Applied. Nothing had to change"), "{said}");
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

/// The ladder of /config on a real disk. Without its journal the file system is read as it is and made anew with all that was in it; when the
/// whole partition is garbage, with the copy outside of it. Each time the machine serves, and nobody has typed anything.
pub fn volume_damaged() -> Told {
    let mut scene = Scene::new(Setting::new(Start::Kernel, marked(QUICK, "version 1")))?;
    scene.wait_until_serving()?;
    let kept = marked(QUICK, "version 2");
    scene.vm().config_put(&kept)?;
    // In order: with its journal goes what is only in there.
    scene.vm().console.reach_prompt("lb> ", BOOT_LIMIT)?;
    scene.vm().console.send(b"poweroff --yes\r")?;
    scene.vm().wait_until_off(SOON)?;
    volume::destroy_journal(&scene.disk)?;
    scene.power_on()?;
    scene.wait_until_serving()?;
    made_anew(&mut scene, "lb.toml was rescued", &kept, &[2, 1])?;
    scene.cut_power()?;
    volume::assert_replayable(&scene.disk)?;
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
    from_the_copy(&mut scene, &kept)?;
    volume::assert_replayable(&scene.disk)?;
    volume::assert_fills(&scene.disk)?;
    Ok(())
}

/// The partition has grown, as on a bigger disk: the file system takes all of it. It has shrunk, and its file system is cut off: another one is made,
/// with what is in the copy outside of it. Each time the machine serves as before.
pub fn volume_resized() -> Told {
    let kept = marked(QUICK, "version 1");
    let mut scene = Scene::new(Setting::new(Start::Kernel, kept.clone()))?;
    scene.wait_until_serving()?;
    scene.cut_power()?;
    let (large, small) = (2 * CONFIG.size, CONFIG.size / 4);
    volume::resize_partition(&scene.disk, large)?;
    scene.power_on()?;
    scene.wait_until_serving()?;
    let status = scene.vm().json("status")?;
    assert_eq!(
        status["init"]["config_volume"]["state"], "persistent",
        "{status:#}"
    );
    assert_eq!(scene.vm().command("config show")?.trim(), kept.trim());
    scene.cut_power()?;
    volume::assert_fills_bytes(&scene.disk, large)?;

    volume::resize_partition(&scene.disk, small)?;
    from_the_copy(&mut scene, &kept)?;
    volume::assert_fills_bytes(&scene.disk, small)?;
    Ok(())
}

/// A boot puts the copy outside of the volume into one that is made anew.
fn from_the_copy(scene: &mut Scene, kept: &str) -> Told {
    scene.power_on()?;
    scene.wait_until_serving()?;
    made_anew(
        scene,
        "lb.toml is the last configuration that was applied",
        kept,
        &[1],
    )?;
    scene.cut_power()?;
    assert_eq!(power::file_on(scene)?, kept, "it is on the disk again");
    Ok(())
}

/// `status` says so, and what was in it is there.
fn made_anew(scene: &mut Scene, source: &str, text: &str, history: &[u64]) -> Told {
    let status = scene.vm().json("status")?;
    let volume = &status["init"]["config_volume"];
    assert_eq!(volume["state"], "restored", "{status:#}");
    assert!(status["problems"].to_string().contains(source), "{status:#}");
    assert_eq!(status["config"]["source"], "file", "{status:#}");
    let shown = scene.vm().command("config show")?;
    assert_eq!(shown.trim(), text.trim());
    scene.wait_for_report("config history", SOON, |report| {
        let entries = report["entries"].as_array().into_iter().flatten();
        entries
            .map(|entry| entry["number"].as_u64())
            .eq(history.iter().copied().map(Some))
    })?;
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

/// A card that never had a cable is said to have none; one whose cable is pulled has lost something.
pub fn link_without_cable() -> Told {
    let mut scene = Scene::dark(Setting::unconfigured(Start::Kernel))?;
    scene.power_on()?;
    // Before the kernel has found the card.
    scene.vm().plug(1, false)?;
    scene.vm().wait_for_prompt(BOOT_LIMIT)?;
    let said = |scene: &mut Scene, words: &str| -> Result<usize> {
        let log = scene.vm().command("log --all")?;
        Ok(log.matches(&format!("link eth1 {words}")).count())
    };
    let (none, lost, back) = ("has no carrier", "has lost its carrier", "has a carrier");
    await_words(&mut scene, none)?;
    assert_eq!(said(&mut scene, lost)?, 0);
    scene.vm().plug(1, true)?;
    await_words(&mut scene, back)?;
    assert_eq!((said(&mut scene, none)?, said(&mut scene, lost)?), (1, 0));
    scene.vm().plug(1, false)?;
    await_words(&mut scene, lost)?;
    assert_eq!(said(&mut scene, none)?, 1);
    Ok(())
}

/// Until the log tells it of eth1.
fn await_words(scene: &mut Scene, words: &str) -> Told {
    let begun = Instant::now();
    loop {
        let log = scene.vm().command("log --all")?;
        if log.contains(&format!("link eth1 {words}")) {
            return Ok(());
        }
        assert!(begun.elapsed() < SOON, "{words}:\n{log}");
        std::thread::sleep(Duration::from_millis(200));
    }
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
