//! lb.toml has a fault when the machine starts, and what stands in for it fails in turn: the last one applied, the copy outside of the volume, the
//! history. Each start serves by the best that is left, and says where the fault is, what is in force instead and what to do.

use std::time::Duration;

use lb_e2e::config::{QUICK, scenario};
use lb_e2e::scene::BOOT_LIMIT;
use lb_e2e::{Scene, Setting, Start, volume};
use lb_lab::Result;
use lb_lab::story::Told;

use crate::bad_input::unfolded;
use crate::blocks::{SECOND, serves_second};
use crate::power::file_on;
use crate::rows::settle;

const SOON: Duration = Duration::from_secs(30);
const FAULTY: &str = "hostname = \"lb\"\nhostnam = \"lb\"\n";
/// As its message begins.
const FAULT: &str = "lb.toml:2:1: unknown key `hostnam`";

pub fn a_start_falls_back() -> Told {
    let first = scenario(QUICK);
    let good = format!("{first}{SECOND}");
    let mut scene = Scene::new(Setting::new(Start::Kernel, first))?;
    scene.wait_until_serving()?;
    scene.vm().wait_for_prompt(BOOT_LIMIT)?;
    let said = scene.vm().config_put(&good)?;
    assert!(said.contains("It is saved and survives a power cut"), "{said}");
    scene.cut_power()?;

    volume::write(&scene.disk, "lb.toml", FAULTY.as_bytes())?;
    serves_by(
        &mut scene,
        "last-applied",
        "the last one that was applied successfully",
    )?;
    settle(&mut scene)?;
    scene.vm().command("status")?;
    scene.screen_is_as_kept("a_start_falls_back/last_applied", "lb> status")?;
    scene.cut_power()?;

    volume::write(&scene.disk, "lb.applied.toml", b"\0\xff")?;
    serves_by(&mut scene, "mirror", "the copy outside the config volume")?;
    scene.cut_power()?;

    volume::destroy_mirror(&scene.disk)?;
    serves_by(
        &mut scene,
        "history",
        "the newest one of the history that can be used",
    )?;
    is_mended(&mut scene)?;
    scene.cut_power()?;
    assert_eq!(file_on(&scene)?, good);
    Ok(())
}

/// A start: everybody is served, the log has the fault with its place, and `status` what is in force.
fn serves_by(scene: &mut Scene, source: &str, told: &str) -> Told {
    scene.power_on()?;
    scene.vm().wait_for_prompt(BOOT_LIMIT)?;
    scene.wait_until_serving()?;
    scene.rows_1_to_5()?;
    assert!(serves_second(scene)?, "{source}: not what was in force");
    let status = scene.vm().json("status")?;
    assert_eq!(status["config"]["source"], source, "{status:#}");
    let problems = status["problems"].to_string();
    for words in [
        "lb.toml has faults and is not used",
        "`config put` replaces it",
        told,
    ] {
        assert!(
            problems.contains(words),
            "{source}: `{words}` is missing: {problems}"
        );
    }
    let log = scene.vm().command("log --all")?;
    assert!(unfolded(&log).contains(FAULT), "{source}: {log}");
    let checked = scene.vm().command("config check")?;
    assert!(
        checked.contains(FAULT) && checked.contains("did you mean `hostname`"),
        "{checked}"
    );
    assert_eq!(
        file_on_console(scene)?,
        FAULTY,
        "nobody has touched the faulty one"
    );
    Ok(())
}

fn file_on_console(scene: &mut Scene) -> Result<String> {
    let shown = scene.vm().command("config show")?;
    Ok(format!("{}\n", shown.trim().replace('\r', "")))
}

/// One command makes what is in force lb.toml again.
fn is_mended(scene: &mut Scene) -> Told {
    let said = unfolded(&scene.vm().command("config rollback 2")?);
    assert!(said.contains("OK."), "{said}");
    let status = scene.wait_for_report("status", SOON, |status| status["config"]["source"] == "file")?;
    let problems = status["problems"].to_string();
    assert!(!problems.contains("lb.toml"), "{problems}");
    Ok(())
}
