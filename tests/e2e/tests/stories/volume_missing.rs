//! A machine whose config partition is missing: what it serves by, what it says of a change, and what the next boot makes of that.

use lb_e2e::config::{QUICK, marked};
use lb_e2e::scene::BOOT_LIMIT;
use lb_e2e::{Scene, Setting, Start, volume};
use lb_lab::story::Told;

use crate::bad_input::{SOON, unfolded};
use crate::rows::settle;

/// There is no config partition any more. The machine serves by the copy outside of it, which takes what is changed now: a boot uses that, unless the
/// partition is back with an lb.toml of its own. Where that copy is gone as well the machine can still be told what to do, until it boots again.
pub fn served_by_the_copy() -> Told {
    let mut scene = Scene::new(Setting::new(Start::Kernel, marked(QUICK, "version 1")))?;
    scene.wait_until_serving()?;
    scene.vm().console.reach_prompt("lb> ", BOOT_LIMIT)?;
    scene.vm().console.send(b"poweroff --yes\r")?;
    scene.vm().wait_until_off(SOON)?;
    let table = volume::remove_partition(&scene.disk)?;
    serves_from_memory(&mut scene, "# version 1")?;
    settle(&mut scene)?;
    scene.vm().command("status")?;
    scene.screen_is_as_kept("config_volume_missing/status", "lb> status")?;
    put_into_memory(&mut scene, "version 2", BY_THE_COPY)?;
    scene.rows_1_to_5()?;
    scene.cut_power()?;
    serves_from_memory(&mut scene, "# version 2")?;
    scene.cut_power()?;
    volume::put_table(&scene.disk, &table)?;
    scene.power_on()?;
    scene.wait_until_serving()?;
    let status = scene.wait_for_report("status", SOON, |status| status["init"].is_object())?;
    assert_eq!(status["config"]["persistent"], true, "{status:#}");
    assert!(scene.vm().command("config show")?.starts_with("# version 1"));
    scene.cut_power()?;
    volume::remove_partition(&scene.disk)?;
    volume::destroy_mirror(&scene.disk)?;
    starts_from_nothing(&mut scene)?;
    put_into_memory(&mut scene, "version 3", "will be gone after a reboot")?;
    scene.wait_for_page(SOON)?;
    scene.rows_1_to_5()?;
    scene.cut_power()?;
    starts_from_nothing(&mut scene)
}

const BY_THE_COPY: &str = "It is in the copy outside of the volume: a boot uses that";

fn serves_from_memory(scene: &mut Scene, mark: &str) -> Told {
    scene.power_on()?;
    scene.wait_until_serving()?;
    in_memory(
        scene,
        "lb.toml is the last configuration that was applied",
        "a reboot keeps only the configuration in force",
    )?;
    let shown = scene.vm().command("config show")?;
    assert!(shown.starts_with(mark), "{shown}");
    Ok(())
}

fn starts_from_nothing(scene: &mut Scene) -> Told {
    scene.power_on()?;
    scene.vm().wait_for_prompt(BOOT_LIMIT)?;
    in_memory(
        scene,
        "there is no configuration to restore",
        "lost with the next reboot",
    )
}

fn in_memory(scene: &mut Scene, source: &str, fate: &str) -> Told {
    // The first page may come before the console takes a command.
    let status = scene.wait_for_report("status", SOON, |status| status["init"].is_object())?;
    let volume = &status["init"]["config_volume"];
    assert_eq!(volume["state"], "memory", "{status:#}");
    assert_eq!(status["config"]["persistent"], false, "{status:#}");
    let problems = status["problems"].to_string();
    for words in ["no partition named config", source, fate] {
        assert!(problems.contains(words), "{words}: {problems}");
    }
    Ok(())
}

/// What is put is in force, and nothing says that it stays whatever comes.
fn put_into_memory(scene: &mut Scene, mark: &str, fate: &str) -> Told {
    let said = unfolded(&scene.vm().config_put(&marked(QUICK, mark))?);
    for words in ["OK. Applied", "It is NOT saved", fate] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!said.contains("survives a power cut"), "{said}");
    assert_eq!(said.contains(BY_THE_COPY), fate == BY_THE_COPY, "{said}");
    Ok(())
}
