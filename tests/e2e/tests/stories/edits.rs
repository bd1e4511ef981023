//! lb.toml is edited on the serial line: a fault is seen and mended, a paste loses nothing, and a text that was not applied is
//! there after a power cut.

use lb_e2e::config::{QUICK, scenario};
use lb_e2e::scene::BOOT_LIMIT;
use lb_e2e::{Scene, Setting, Start, volume};
use lb_lab::story::Told;

use crate::counters::shows;
use crate::power::file_on;

const PASTED: usize = 1_000;

fn pasted() -> String {
    let line = |n: usize| format!("# {n:04}\t\"quoted\" [[virtual_server]] \u{fc}\u{20ac}\n");
    (0..PASTED).map(line).collect()
}

/// A fault, its mending, a paste of 1,000 lines, a draft over a power cut, and the change in force; as many lines by `config put`.
pub fn edited_at_the_console() -> Told {
    let original = scenario(QUICK);
    let mut scene = Scene::new(Setting::new(Start::Kernel, original.clone()))?;
    scene.wait_until_serving()?;
    scene.vm().console.reach_prompt("lb> ", BOOT_LIMIT)?;
    scene.vm().console.send(b"config edit\r")?;
    shows(&mut scene, "the editor", |screen| {
        screen.starts_with("lb.toml") && screen.contains("^X leave")
    })?;
    fault_and_mending(&mut scene)?;
    let text = pasted();
    scene.vm().console.paste(&text)?;
    let end = format!("line {}/", PASTED + 1);
    shows(&mut scene, "the end of the paste", |screen| screen.contains(&end))?;
    scene.vm().console.send(b"\x18")?;
    shows(&mut scene, "what is changed", |screen| {
        screen.contains("d leave a draft")
    })?;
    scene.screen_is_as_kept("edited_at_the_console/leaving", "")?;
    scene.vm().console.send(b"d")?;
    scene.vm().wait_for("/config/lb.draft.ttyS0.toml", BOOT_LIMIT)?;
    scene.cut_power()?;
    assert_eq!(file_on(&scene)?, original, "a draft is not lb.toml");
    scene.power_on()?;
    scene.wait_until_serving()?;
    continued(&mut scene)?;
    scene.rows_1_to_5()?;
    scene.cut_power()?;
    assert!(file_on(&scene)? == format!("{text}{original}"), "no byte is lost");
    scene.power_on()?;
    scene.wait_until_serving()?;
    scene.vm().wait_for_prompt(BOOT_LIMIT)?;
    let other = format!("{original}{text}");
    let said = scene.vm().config_put(&other)?;
    assert!(said.contains("It is saved and survives a power cut"), "{said}");
    scene.cut_power()?;
    assert!(file_on(&scene)? == other, "no byte of `config put` is lost");
    let left = volume::read(&scene.disk, "lb.draft.ttyS0.toml")?;
    assert_eq!(left, None, "what is in force is no draft");
    Ok(())
}

fn fault_and_mending(scene: &mut Scene) -> Told {
    scene.vm().console.send(b"hostnam = 1\r\x1b[A")?;
    shows(scene, "the fault and its remedy", |screen| {
        screen.contains("  1! hostnam = 1") && screen.contains("did you mean `hostname`")
    })?;
    scene.screen_is_as_kept("edited_at_the_console/fault", "")?;
    // The line is cut, and what was undone and done again is as if it had never been.
    scene.vm().console.send(b"\x0b\x1a\x19")?;
    shows(scene, "no fault", |screen| {
        !screen.contains("hostnam = 1") && !screen.contains("  1!") && screen.contains("line 1/")
    })?;
    scene.screen_is_as_kept("edited_at_the_console/mended", "")?;
    Ok(())
}

fn continued(scene: &mut Scene) -> Told {
    scene.vm().console.reach_prompt("lb> ", BOOT_LIMIT)?;
    scene.vm().console.send(b"config edit --comment draft\r")?;
    shows(scene, "the draft", |screen| screen.contains("c continue it"))?;
    scene.screen_is_as_kept("edited_at_the_console/draft", "")?;
    scene.vm().console.send(b"c")?;
    shows(scene, "its text", |screen| screen.starts_with("lb.toml draft"))?;
    scene.vm().console.send(b"\x18")?;
    shows(scene, "what is changed", |screen| screen.contains("a apply"))?;
    scene.vm().console.send(b"a")?;
    scene.vm().wait_for("OK. Applied", BOOT_LIMIT)?;
    scene.screen_is_as_kept("edited_at_the_console/applied", "")?;
    let history = scene.vm().json("config history")?;
    let newest = &history["entries"][0];
    assert_eq!(newest["why"], "edit: draft", "{history:#}");
    assert_eq!(newest["by"], "console ttyS0", "{history:#}");
    Ok(())
}
