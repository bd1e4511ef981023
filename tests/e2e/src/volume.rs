//! /config of an image that no machine runs, through e2fsprogs at the partition's offset: no root, no mount.
//! A check of its own against what the appliance and the image tool believe.
//! Must not: touch an image that a VM has open.

use std::fs;
use std::path::Path;

use lb_lab::command::{output, run};
use lb_lab::{LabError, Result, cage};

use crate::artifacts::partition;

/// e2fsck's exit status is a set of bits; these two say "repaired".
const REPAIRED: i32 = 1 | 2;

/// e2fsprogs' name for the file system inside of the image.
fn device(image: &Path) -> Result<String> {
    let config = partition(image, "config")?;
    Ok(format!("{}?offset={}", image.display(), config.offset))
}

/// Replays the journal and repairs, as a mount and a fsck would; returns what e2fsck had to say.
pub fn check(image: &Path) -> Result<String> {
    let done = output(&["e2fsck", "-f", "-p", &device(image)?], "")?;
    match done.code() {
        Some(code) if code & !REPAIRED == 0 => Ok(done.stdout),
        _ => Err(LabError::Unexpected(format!(
            "/config is damaged: {}{}",
            done.stdout, done.stderr
        ))),
    }
}

/// Fails unless the file system was unmounted in order and has nothing to repair.
pub fn assert_clean(image: &Path) -> Result<()> {
    let done = output(&["e2fsck", "-f", "-n", &device(image)?], "")?;
    if done.status.success() && !done.stdout.contains("recovering journal") {
        return Ok(());
    }
    Err(LabError::Unexpected(format!(
        "/config is not clean: {}{}",
        done.stdout, done.stderr
    )))
}

/// The file's content; `None` when it does not exist.
pub fn read(image: &Path, name: &str) -> Result<Option<Vec<u8>>> {
    let copy = cage::scratch("volume")?.join("out");
    let _ = fs::remove_file(&copy);
    let request = format!("dump /{name} {}", copy.display());
    run(&["debugfs", "-R", &request, &device(image)?])?;
    match fs::read(&copy) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(LabError::io("read what debugfs dumped")(error)),
    }
}

/// Replaces or creates a file in the volume's root; nobody checks the content.
pub fn write(image: &Path, name: &str, content: &[u8]) -> Result<()> {
    let directory = cage::scratch("volume")?;
    let (source, script) = (directory.join("in"), directory.join("script"));
    fs::write(&source, content).map_err(LabError::io("write a file for debugfs"))?;
    let requests = format!("rm /{name}\nwrite {} {name}\n", source.display());
    fs::write(&script, requests).map_err(LabError::io("write requests for debugfs"))?;
    let device = device(image)?;
    run(&["debugfs", "-w", "-f", &script.to_string_lossy(), &device])?;
    match read(image, name)? {
        Some(written) if written == content => Ok(()),
        _ => Err(LabError::Unexpected(format!("debugfs did not write {name}"))),
    }
}
