//! What is left at the console when nothing else works: a prompt that says why, and ways out of it.

use std::time::Duration;

use lb_e2e::config::{QUICK, scenario};
use lb_e2e::scene::BOOT_LIMIT;
use lb_e2e::{Scene, Setting, Start};
use lb_lab::Result;
use lb_lab::story::Told;

const PROMPT: &str = "rescue> ";
const ANSWER: Duration = Duration::from_secs(20);

/// Types `line` at the rescue prompt; what came before the next one.
fn typed(scene: &mut Scene, line: &str) -> Result<String> {
    scene.vm().console.command(PROMPT, line, ANSWER)
}

/// A root without /proc cannot go on: the prompt says which stage failed and why, and `retry` finishes the boot.
pub fn boot_stage_fails() -> Told {
    let mut scene = Scene::new(Setting::new(Start::Maimed, scenario(QUICK)))?;
    scene.vm().wait_for("This machine needs help", BOOT_LIMIT)?;
    scene.vm().console.reach_prompt(PROMPT, ANSWER)?;
    let why = typed(&mut scene, "why")?;
    assert!(why.contains("/proc"), "`why` said:\n{why}");
    let stages = typed(&mut scene, "stages")?;
    assert!(stages.contains("FAILED"), "`stages` said:\n{stages}");
    let unknown = typed(&mut scene, "status")?;
    assert!(unknown.contains("`help`"), "`status` said:\n{unknown}");
    for command in ["why", "stages", "log", "retry", "continue", "reboot", "poweroff"] {
        let help = typed(&mut scene, "help")?;
        assert!(help.contains(command), "{command} is not in:\n{help}");
    }
    let log = typed(&mut scene, "log")?;
    assert!(log.lines().count() > 5, "`log` said:\n{log}");
    scene.vm().console.forget();
    // The stage has laid the overlay meanwhile, so that it finds a place for /proc now.
    scene.vm().console.send(b"retry\r")?;
    scene.wait_until_serving()?;
    scene.vm().wait_for_prompt(BOOT_LIMIT)?;
    scene.rows_1_to_5()?;
    Ok(())
}

/// No console program lives: the terminal gets the rescue prompt, traffic goes on, and `retry` brings the console back.
pub fn console_cannot_run() -> Told {
    let mut scene = Scene::new(Setting::new(Start::Sabotage, scenario(QUICK)))?;
    scene.wait_until_serving()?;
    scene.vm().wait_for_prompt(BOOT_LIMIT)?;
    let saboteur = scene.saboteur()?;
    scene.vm().console.forget();
    let haunting = std::thread::spawn(move || saboteur.sh("saboteur haunt console 15"));
    scene
        .vm()
        .wait_for("This machine needs help", Duration::from_secs(60))?;
    scene.vm().console.reach_prompt(PROMPT, ANSWER)?;
    let why = typed(&mut scene, "why")?;
    assert!(why.contains("console program"), "`why` said:\n{why}");
    scene.row_1(5)?;
    scene.row_2()?;
    let killed: u32 = haunting.join().expect("the saboteur answers")?.trim().parse()?;
    assert!(killed >= 3, "{killed} console programs were killed");
    scene.vm().console.forget();
    scene.vm().console.send(b"retry\r")?;
    scene.vm().wait_for_prompt(ANSWER)?;
    scene.rows_1_to_5()?;
    Ok(())
}
