//! The power goes, or the machine is reset, in the middle of `config put`: the old file or the new one, never neither,
//! and never the old one once the new one was acknowledged.

use std::time::Duration;

use lb_e2e::config::{QUICK, marked};
use lb_e2e::scene::BOOT_LIMIT;
use lb_e2e::{Scene, Setting, Start, volume};
use lb_lab::story::Told;
use lb_lab::{LabError, Result};

/// After the dot that ends the file: moments of the write, not waits for it.
const MOMENTS_MS: [u64; 5] = [0, 20, 60, 150, 400];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    PowerCut,
    Reset,
}

pub fn cut_in_config_put() -> Told {
    interrupted(End::PowerCut)
}

pub fn reset_in_config_put() -> Told {
    interrupted(End::Reset)
}

fn interrupted(end: End) -> Told {
    let mut current = marked(QUICK, "before");
    let mut scene = Scene::new(Setting::new(Start::Kernel, current.clone()))?;
    scene.wait_until_serving()?;
    for moment in MOMENTS_MS {
        let new = marked(QUICK, &format!("cut after {moment} ms"));
        scene.vm().begin_config_put(&new)?;
        std::thread::sleep(Duration::from_millis(moment));
        let found = after(&mut scene, end)?;
        assert!(
            same(&found, &current) || same(&found, &new),
            "{moment} ms: neither the old nor the new file:\n{found}"
        );
        current = found;
        scene.wait_until_serving()?;
    }
    // Acknowledged, then the power goes at once.
    let new = marked(QUICK, "acknowledged");
    let said = scene.vm().config_put(&new)?;
    let found = after(&mut scene, end)?;
    assert!(
        same(&found, &new),
        "acknowledged with:\n{said}\nbut then:\n{found}"
    );
    scene.wait_until_serving()?;
    scene.rows_1_to_5()?;
    Ok(())
}

/// Ends the machine, brings it up again, and tells which lb.toml it has.
fn after(scene: &mut Scene, end: End) -> Result<String> {
    if end == End::PowerCut {
        scene.cut_power()?;
        let found = file_on(scene)?;
        scene.power_on()?;
        return Ok(found);
    }
    scene.vm().reset()?;
    scene.vm().wait_for_prompt(BOOT_LIMIT)?;
    scene.wait_until_serving()?;
    scene.vm().command("config show")
}

/// lb.toml on the disk, which needs no more than a replay of its journal.
pub fn file_on(scene: &Scene) -> Result<String> {
    volume::assert_replayable(&scene.disk)?;
    let content = volume::read(&scene.disk, "lb.toml")?
        .ok_or_else(|| LabError::Unexpected("there is no lb.toml any more".into()))?;
    String::from_utf8(content).map_err(|error| LabError::Unexpected(format!("lb.toml is not text: {error}")))
}

/// The same file, whatever the console made of the end of its lines.
fn same(found: &str, expected: &str) -> bool {
    let lines = |text: &str| -> Vec<String> {
        let trimmed = text.trim().lines().map(|line| line.trim_end().to_owned());
        trimmed.collect()
    };
    lines(found) == lines(expected)
}
