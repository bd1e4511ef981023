//! What leaves the machine on a disk, because the serial line is slow or somebody else reads along.

use std::path::Path;

use lb_e2e::config::{QUICK, scenario};
use lb_e2e::scene::BOOT_LIMIT;
use lb_e2e::{Scene, Setting, Start};
use lb_lab::command::run;
use lb_lab::story::Told;
use lb_lab::{Result, cage};

/// A FAT disk of two megabytes with this label.
fn made(path: &Path, label: &str) -> Result<Vec<String>> {
    let file = path.display().to_string();
    run(&["mkfs.fat", "-C", "-n", label, &file, "2048"])?;
    let drive = format!("if=none,id=stick,format=raw,file={file}");
    let device = "virtio-blk-pci,drive=stick".to_owned();
    Ok(vec!["-drive".to_owned(), drive, "-device".to_owned(), device])
}

pub fn on_a_disk() -> Told {
    let directory = cage::scratch("stick")?;
    let stick = directory.join("stick.img");
    let mut scene = Scene::dark(Setting::new(Start::Kernel, scenario(QUICK)))?;
    scene.attach(made(&stick, "LBSEED")?);
    scene.power_on()?;
    scene.wait_until_serving()?;
    scene.vm().wait_for_prompt(BOOT_LIMIT)?;
    let listed = scene.vm().command("support-bundle --list")?;
    assert!(!listed.contains("which can be taken out"), "{listed}");
    let said = scene.vm().command("support-bundle --disk")?;
    assert!(said.contains("which can be taken out now"), "{said}");
    let sha = said.split_whitespace().rfind(|word| word.len() == 64);
    let sha = sha.expect("the answer has the SHA-256").to_owned();
    let said = scene.vm().command("config export --disk")?;
    assert!(said.contains("lb.export, "), "{said}");
    // As if somebody pulled the disk right after the answers.
    scene.cut_power()?;

    let image = stick.display().to_string();
    run(&["fsck.fat", "-n", &image])?;
    let out = directory.display().to_string();
    run(&["mcopy", "-n", "-i", &image, "::*", &out])?;
    let entries = std::fs::read_dir(&directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.retain(|name| name != "stick.img");
    names.sort();
    let [bundle, export] = names.as_slice() else {
        panic!("on the disk are {names:?}");
    };
    assert!(
        bundle.starts_with("lb-support-20") && bundle.ends_with(".tar.gz"),
        "{bundle}"
    );
    assert_eq!(export, "lb.export");
    let at = |name: &str| directory.join(name).display().to_string();
    assert!(run(&["sha256sum", &at(bundle)])?.starts_with(&sha));
    let inside = run(&["tar", "-tzf", &at(bundle)])?;
    assert!(inside.contains("lb-support/status"), "{inside}");
    let export = std::fs::read_to_string(at(export)).expect("it is text");
    // Each line of lb.toml has a mark before it there.
    let first = scenario(QUICK);
    let first = first
        .lines()
        .find(|line| line.starts_with("listen"))
        .expect("a service");
    assert!(
        export.starts_with("lb-export 1\n") && export.contains(first),
        "{export}"
    );
    Ok(())
}
