//! /config of an image that no machine runs: read and written as the image tool does, and judged by e2fsck, which the
//! image tool lets repair too much to be a judge. Must not: touch an image that a VM has open.

use std::path::{Path, PathBuf};

use lb_image::config_volume::{self, ConfigVolumeError};
use lb_image::layout::{BOOTCTL, CONFIG, DISK_SIZE, MIB, SECTOR};
use lb_lab::command::{output, run};
use lb_lab::{LabError, Result, cage, error};

/// e2fsck's exit status is a set of bits; these two say "repaired".
const REPAIRED: i32 = 1 | 2;

/// The partition as a file of its own: e2fsck loses the offset when it opens the device again after a replay.
fn extract(image: &Path) -> Result<PathBuf> {
    extract_bytes(image, CONFIG.size)
}

fn extract_bytes(image: &Path, size: u64) -> Result<PathBuf> {
    let copy = cage::scratch("volume")?.join("config.ext4");
    run(&[
        "dd",
        "status=none",
        "bs=1M",
        "conv=sparse",
        "iflag=skip_bytes,count_bytes",
        &format!("skip={}", CONFIG.start),
        &format!("count={size}"),
        &format!("if={}", image.display()),
        &format!("of={}", copy.display()),
    ])?;
    Ok(copy)
}

fn failed(failure: ConfigVolumeError) -> LabError {
    LabError::Unexpected(error::chain(&failure))
}

/// Fails unless replaying the journal, as a mount does, is all that the file system needs.
pub fn assert_replayable(image: &Path) -> Result<()> {
    let copy = extract(image)?;
    let done = output(&["e2fsck", "-f", "-p", &copy.to_string_lossy()], "")?;
    match done.code() {
        Some(code) if code & !REPAIRED == 0 => Ok(()),
        _ => Err(LabError::Unexpected(format!(
            "/config is damaged: {}{}",
            done.stdout, done.stderr
        ))),
    }
}

/// Fails unless the file system was unmounted in order and has nothing to replay or repair.
pub fn assert_clean(image: &Path) -> Result<()> {
    let copy = extract(image)?;
    let done = output(&["e2fsck", "-f", "-n", &copy.to_string_lossy()], "")?;
    let journal = ["recovering journal", "skipping journal recovery"];
    let said = format!("{}{}", done.stdout, done.stderr);
    if done.status.success() && !journal.iter().any(|words| said.contains(words)) {
        return Ok(());
    }
    Err(LabError::Unexpected(format!("/config is not clean: {said}")))
}

/// The file system takes the whole partition: one that was made anew from the small template has grown.
pub fn assert_fills(image: &Path) -> Result<()> {
    assert_fills_bytes(image, CONFIG.size)
}

/// The same of a partition of another size.
pub fn assert_fills_bytes(image: &Path, size: u64) -> Result<()> {
    let copy = extract_bytes(image, size)?;
    let said = run(&["dumpe2fs", "-h", &copy.to_string_lossy()])?;
    let field = |name: &str| -> Option<u64> {
        let line = said.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse().ok()
    };
    let bytes = field("Block count:")
        .zip(field("Block size:"))
        .map(|(count, size)| count * size);
    // Less than a block group may be left over.
    let least = size / 10 * 9;
    assert!(
        bytes.is_some_and(|bytes| bytes > least && bytes <= size),
        "{bytes:?} of {size} bytes"
    );
    Ok(())
}

/// Zeros in the place of the journal's superblock: with its journal the file system cannot be mounted any more.
pub fn destroy_journal(image: &Path) -> Result<()> {
    let copy = extract(image)?.to_string_lossy().into_owned();
    let number = |what: &str, answer: &str| -> Result<u64> {
        let line = answer.lines().find(|line| line.contains(what));
        let word = line.and_then(|line| line.split_whitespace().last());
        word.and_then(|word| word.parse().ok())
            .ok_or_else(|| LabError::Unexpected(format!("debugfs said: {answer}")))
    };
    let size = number("Block size:", &run(&["debugfs", "-R", "stats -h", &copy])?)?;
    let block = number("", &run(&["debugfs", "-R", "bmap <8> 0", &copy])?)?;
    let (size, seek) = (
        format!("bs={size}"),
        format!("seek={}", CONFIG.start + block * size),
    );
    run(&[
        "dd",
        "status=none",
        "conv=notrunc",
        "oflag=seek_bytes",
        "count=1",
        "if=/dev/zero",
        &size,
        &seek,
        &format!("of={}", image.display()),
    ])
    .map(drop)
}

/// The partition has another size from now on; the disk grows with it.
pub fn resize_partition(image: &Path, size: u64) -> Result<()> {
    let disk = image.to_string_lossy();
    let end = CONFIG.start + size + MIB;
    if end > DISK_SIZE {
        run(&["truncate", &format!("--size={end}"), &disk])?;
        run(&["sfdisk", "--quiet", "--relocate", "gpt-bak-std", &disk])?;
    }
    let number = CONFIG.number.to_string();
    let sectors = format!(",{}\n", size / SECTOR);
    sfdisk(&["--partno", &number, &disk], &sectors)
}

/// The partition is no longer in the table; the table as it was, for [`put_table`].
pub fn remove_partition(image: &Path) -> Result<String> {
    let (disk, number) = (image.to_string_lossy(), CONFIG.number.to_string());
    let table = run(&["sfdisk", "--dump", &disk])?;
    run(&["sfdisk", "--quiet", "--delete", &disk, &number])?;
    Ok(table)
}

/// What the partitions hold stays as it is.
pub fn put_table(image: &Path, table: &str) -> Result<()> {
    sfdisk(&["--wipe", "never", &image.to_string_lossy()], table)
}

fn sfdisk(words: &[&str], input: &str) -> Result<()> {
    let done = output(&[&["sfdisk", "--quiet"], words].concat(), input)?;
    match done.status.success() {
        true => Ok(()),
        false => Err(LabError::Unexpected(format!(
            "sfdisk: {}{}",
            done.stdout, done.stderr
        ))),
    }
}

/// Zeros in the place of the copy outside of the volume, and of all that is beside it.
pub fn destroy_mirror(image: &Path) -> Result<()> {
    run(&[
        "dd",
        "status=none",
        "conv=notrunc",
        "bs=1M",
        "count=1",
        "oflag=seek_bytes",
        "if=/dev/zero",
        &format!("seek={}", BOOTCTL.start),
        &format!("of={}", image.display()),
    ])
    .map(drop)
}

/// The file's content; `None` when it does not exist.
pub fn read(image: &Path, name: &str) -> Result<Option<Vec<u8>>> {
    match config_volume::read(image, name) {
        Ok(content) => Ok(Some(content)),
        Err(ConfigVolumeError::NoFile { .. }) => Ok(None),
        Err(failure) => Err(failed(failure)),
    }
}

/// Replaces or creates a file; nobody checks the content.
pub fn write(image: &Path, name: &str, content: &[u8]) -> Result<()> {
    config_volume::write(image, name, content).map_err(failed)
}
