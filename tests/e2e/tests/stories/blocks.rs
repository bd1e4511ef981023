//! Every block of the config volume that is not empty is garbled in turn, and the machine boots with it: it serves by what was in force, each time,
//! and says what it could not read. What stands outside of the volume is whole.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use lb_e2e::config::{QUICK, scenario};
use lb_e2e::scene::BOOT_LIMIT;
use lb_e2e::traffic::is_whole;
use lb_e2e::{Scene, Setting, Start};
use lb_image::layout::CONFIG;
use lb_lab::command::run;
use lb_lab::story::Told;
use lb_lab::{LabError, Result, cage};

/// What the file system takes for one.
const BLOCK: usize = 4096;
/// Of all blocks, so many in an ordinary run, evenly spread.
const SOME: usize = 6;
const SOON: Duration = Duration::from_secs(30);
/// One more service than the scenario has, so that what is in force is known by it.
pub const SECOND: &str = "[[virtual_server]]\nname = \"second\"\nlisten = \"192.168.0.1:8099\"\n\
                      [[virtual_server.real_server]]\naddress = \"172.16.0.11:30080\"\n";

pub fn every_block_of_the_config_volume() -> Told {
    let first = scenario(QUICK);
    let mut scene = Scene::new(Setting::new(Start::Kernel, first.clone()))?;
    scene.wait_until_serving()?;
    scene.vm().config_put(&format!("{first}{SECOND}"))?;
    scene.vm().console.reach_prompt("lb> ", BOOT_LIMIT)?;
    scene.vm().console.send(b"poweroff --yes\r")?;
    scene.vm().wait_until_off(SOON)?;
    let pristine = cage::scratch("blocks")?.join("disk.img");
    copy(&scene.disk, &pristine)?;
    let blocks = used(&pristine)?;
    let step = if is_whole() {
        1
    } else {
        blocks.len().div_ceil(SOME)
    };
    let chosen: Vec<u64> = blocks.iter().copied().step_by(step).collect();
    println!("{} blocks of {} are garbled in turn", chosen.len(), blocks.len());
    for block in chosen {
        copy(&pristine, &scene.disk)?;
        garble(&scene.disk, block)?;
        scene.power_on()?;
        scene.vm().wait_for_prompt(BOOT_LIMIT)?;
        scene.wait_until_serving()?;
        let status = scene.vm().json("status")?;
        let (volume, source) = (&status["init"]["config_volume"], &status["config"]["source"]);
        println!("block {block}: {volume}, from {source}");
        assert!(
            serves_second(&mut scene)?,
            "block {block}: not what was in force\n{status:#}"
        );
        let is_whole = volume["state"] == "persistent" && source == "file";
        let problems = status["problems"].as_array().map_or(0, Vec::len);
        assert!(
            is_whole || problems > 0,
            "block {block}: nobody says it\n{status:#}"
        );
        scene.cut_power()?;
    }
    Ok(())
}

pub fn serves_second(scene: &mut Scene) -> Result<bool> {
    let services = scene.vm().json("services")?;
    let mut listed = services["services"].as_array().into_iter().flatten();
    Ok(listed.any(|service| service["name"] == "second"))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let paths = [from, to].map(|path| path.display().to_string());
    run(&["cp", "--sparse=always", "--reflink=auto", &paths[0], &paths[1]]).map(drop)
}

/// Numbers of the blocks of the volume that hold anything.
fn used(image: &Path) -> Result<Vec<u64>> {
    let file = File::open(image).map_err(LabError::io("open the disk"))?;
    let mut found = Vec::new();
    let mut block = [0; BLOCK];
    for number in 0..CONFIG.size / BLOCK as u64 {
        let at = CONFIG.start + number * BLOCK as u64;
        file.read_exact_at(&mut block, at)
            .map_err(LabError::io("read the disk"))?;
        if block.iter().any(|byte| *byte != 0) {
            found.push(number);
        }
    }
    Ok(found)
}

/// Bytes of which no two neighbours are alike, and which are no UTF-8.
fn garble(image: &Path, number: u64) -> Result<()> {
    let garbage: Vec<u8> = (0..=u8::MAX)
        .cycle()
        .take(BLOCK)
        .map(|byte| byte.wrapping_mul(167) | 0x80)
        .collect();
    let file = File::options()
        .write(true)
        .open(image)
        .map_err(LabError::io("open the disk"))?;
    file.write_all_at(&garbage, CONFIG.start + number * BLOCK as u64)
        .map_err(LabError::io("write to the disk"))
}
