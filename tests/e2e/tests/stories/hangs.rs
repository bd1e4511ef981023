//! What does not end, and does nothing: an agent that stands still is started anew by init, and a machine whose init stands still by its watchdog.

use std::time::Duration;

use lb_e2e::config::{QUICK, marked, scenario};
use lb_e2e::scene::BOOT_LIMIT;
use lb_e2e::{Scene, Setting, Start};
use lb_lab::story::Told;

/// Half a minute without a sign of life, a look, and a start, on a slow machine.
const STARTED_ANEW: Duration = Duration::from_secs(120);
/// The device's own half a minute, a boot loader, and a boot.
const RESET: Duration = Duration::from_secs(60);

/// A device that QEMU resets the machine for.
fn device() -> Vec<String> {
    ["-device", "i6300esb", "-action", "watchdog=reset"]
        .map(str::to_owned)
        .to_vec()
}

pub fn what_hangs_is_started_anew() -> Told {
    let mut scene = Scene::dark(Setting::new(Start::Sabotage, scenario(QUICK)))?;
    scene.attach(device());
    scene.power_on()?;
    scene.wait_until_serving()?;
    scene.vm().wait_for_prompt(BOOT_LIMIT)?;
    let status = scene.vm().json("status")?;
    assert_eq!(status["init"]["watchdog"], "i6300ESB timer, 30 s", "{status:#}");

    // It hangs within the window of a configuration that nobody can confirm then.
    let saboteur = scene.saboteur()?;
    scene
        .vm()
        .config_put_with("--confirm 10s", &marked(QUICK, "on trial"))?;
    saboteur.sh("saboteur stop-agent")?;
    scene.row_1(5)?;
    scene.row_2()?;
    let told = "killed by SIGKILL: it had stood still for 30 s";
    scene.wait_for_report("status", STARTED_ANEW, |status| {
        status["init"]["agent_last_exit"] == told && status["config"]["pending"].is_null()
    })?;
    let shown = scene.vm().command("config show")?;
    assert!(!shown.contains("on trial"), "{shown}");
    let events = scene.vm().command("events")?;
    assert!(events.contains("RETURNED"), "{events}");
    scene.rows_1_to_5()?;

    // Nobody is left who could start init anew; the device is.
    scene.vm().console.forget();
    let tracing = std::thread::spawn(move || saboteur.sh("saboteur stop-init"));
    scene.vm().wait_for("Config volume", RESET + BOOT_LIMIT)?;
    scene.wait_until_serving()?;
    // Its line ended with the machine.
    drop(tracing);
    scene.vm().wait_for_prompt(BOOT_LIMIT)?;
    let status = scene.vm().json("status")?;
    let problems = status["problems"].to_string();
    assert!(
        problems.contains("has reset the machine before this boot"),
        "{problems}"
    );
    scene.rows_1_to_5()?;

    // An end that was asked for is one.
    scene.vm().console.send(b"poweroff --yes\r")?;
    scene.vm().wait_until_off(Duration::from_secs(30))?;
    Ok(())
}
