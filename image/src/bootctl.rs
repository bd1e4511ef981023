//! What the bootctl partition holds: the two environment files of boot selection, the records that mirror the configuration,
//! and the flight recorder. Also reads and changes the environment files of a finished image, for tests and rescue.
//! Must not: decide which slot boots; GRUB does.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::disk::{self, DiskError};
use crate::fat12;
use crate::file::{At, FileError};
use crate::layout::{BOOTCTL, BOOTCTL_VOLUME_ID, SECTOR};
use crate::lock::{self, InUse};

/// The whole environment file: one sector, so that a torn write cannot leave half of it.
pub const ENV_SIZE: usize = 512;
const ENV_HEADER: &str = "# GRUB Environment Block\n";

const CFG_SIZE: usize = 384 << 10;
const FREC_SIZE: usize = 128 << 10;
pub const CFG0_MAGIC: &[u8; 8] = b"LBCFG0\0\0";
pub const CFG1_MAGIC: &[u8; 8] = b"LBCFG1\0\0";
pub const FREC_MAGIC: &[u8; 8] = b"LBFREC\0\0";

/// The two environment files. Each has one writer and fills a 4 KiB block of its own, so that no disk with
/// big physical sectors rewrites one together with the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnvFile {
    /// `want`, `trial`: written by Linux alone.
    Os,
    /// `left`: written by GRUB during a trial, by Linux otherwise.
    Grub,
}

impl EnvFile {
    const fn sector(self) -> u64 {
        match self {
            EnvFile::Os => fat12::FIRST_DATA_SECTOR,
            EnvFile::Grub => fat12::FIRST_DATA_SECTOR + 8,
        }
    }

    /// Its place in the disk image, in bytes.
    pub const fn offset(self) -> u64 {
        BOOTCTL.start + self.sector() * SECTOR
    }
}

#[derive(Debug, thiserror::Error)]
pub enum EnvError {
    #[error("{} has no environment block where {file:?}.ENV should be", path.display())]
    NoBlock { path: PathBuf, file: EnvFile },
    #[error("the variables do not fit in the {ENV_SIZE} bytes of an environment block")]
    Full,
    #[error(transparent)]
    InUse(#[from] InUse),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    File(#[from] FileError),
}

/// The factory's bootctl partition: slot a wanted, no trial, empty records.
pub fn partition() -> Vec<u8> {
    let block = |vars: &[(&str, &str)]| render_env(vars).expect("the factory's variables fit").to_vec();
    let cfg0 = fat12::FIRST_DATA_SECTOR + 16;
    let cfg1 = cfg0 + CFG_SIZE as u64 / SECTOR;
    let frec = cfg1 + CFG_SIZE as u64 / SECTOR;
    let files = [
        fat12::File {
            name: b"OS      ENV",
            sector: EnvFile::Os.sector(),
            content: block(&[("want", "a"), ("trial", "0")]),
        },
        fat12::File {
            name: b"GRUB    ENV",
            sector: EnvFile::Grub.sector(),
            content: block(&[("left", "0")]),
        },
        fat12::File {
            name: b"CFG0    BIN",
            sector: cfg0,
            content: record(CFG0_MAGIC, CFG_SIZE),
        },
        fat12::File {
            name: b"CFG1    BIN",
            sector: cfg1,
            content: record(CFG1_MAGIC, CFG_SIZE),
        },
        fat12::File {
            name: b"FREC    BIN",
            sector: frec,
            content: record(FREC_MAGIC, FREC_SIZE),
        },
    ];
    fat12::format(BOOTCTL.size / SECTOR, BOOTCTL_VOLUME_ID, b"LB BOOTCTL ", &files)
}

fn record(magic: &[u8; 8], size: usize) -> Vec<u8> {
    let mut content = vec![0; size];
    content[..magic.len()].copy_from_slice(magic);
    content
}

/// An environment block as GRUB's `load_env` reads it: header, `name=value` lines, filled up with `#`.
pub fn render_env(variables: &[(&str, &str)]) -> Result<[u8; ENV_SIZE], EnvError> {
    let mut text = ENV_HEADER.to_owned();
    for (name, value) in variables {
        text.push_str(&format!("{name}={value}\n"));
    }
    let mut block = [b'#'; ENV_SIZE];
    block
        .get_mut(..text.len())
        .ok_or(EnvError::Full)?
        .copy_from_slice(text.as_bytes());
    Ok(block)
}

fn parse_env(block: &[u8]) -> Option<BTreeMap<String, String>> {
    let text = std::str::from_utf8(block).ok()?.strip_prefix(ENV_HEADER)?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once('='));
    Some(
        pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    )
}

/// The variables of an environment file of an image. Takes no lock: it may be watched while the machine runs.
pub fn read_env(image: &Path, file: EnvFile) -> Result<BTreeMap<String, String>, EnvError> {
    let mut disk = disk::open(image, false)?;
    disk::expect_partition(&mut disk, image, &BOOTCTL)?;
    let mut block = [0; ENV_SIZE];
    disk.read_exact_at(&mut block, file.offset()).at("read", image)?;
    parse_env(&block).ok_or_else(|| EnvError::NoBlock {
        path: image.to_owned(),
        file,
    })
}

/// Sets the variables of an environment file of an image that no machine uses.
pub fn write_env(image: &Path, file: EnvFile, variables: &[(&str, &str)]) -> Result<(), EnvError> {
    let mut disk: File = disk::open(image, true)?;
    let _guard = lock::exclusive(&disk, image)?;
    disk::expect_partition(&mut disk, image, &BOOTCTL)?;
    disk.write_all_at(&render_env(variables)?, file.offset())
        .at("write", image)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::Tool;

    #[test]
    fn a_block_is_one_sector_that_reads_back() {
        let block = render_env(&[("want", "b"), ("trial", "1")]).unwrap();
        assert!(block.starts_with(b"# GRUB Environment Block\nwant=b\ntrial=1\n###"));
        let vars = parse_env(&block).unwrap();
        assert_eq!(vars.len(), 2);
        assert_eq!((vars["want"].as_str(), vars["trial"].as_str()), ("b", "1"));
        assert!(parse_env(&[0xff; 512]).is_none());
        assert!(matches!(
            render_env(&[("x", &"y".repeat(500))]),
            Err(EnvError::Full)
        ));
    }

    #[test]
    fn the_partition_is_sound_and_its_files_are_where_linux_looks() {
        let bytes = partition();
        assert_eq!(bytes.len() as u64, BOOTCTL.size);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bootctl");
        std::fs::write(&path, &bytes).unwrap();
        Tool::new("fsck.vfat").arg("-n").path(&path).run().unwrap();
        let info = Tool::new("minfo").arg("-i").path(&path).arg("::").run().unwrap();
        let info = String::from_utf8_lossy(&info.stdout).into_owned();
        assert!(info.contains("serial number: 4C420C71"), "{info}");
        assert!(info.contains("disk type=\"FAT12   \""), "{info}");
        for (name, size, magic) in [
            ("OS.ENV", ENV_SIZE, ENV_HEADER.as_bytes()),
            ("GRUB.ENV", ENV_SIZE, ENV_HEADER.as_bytes()),
            ("CFG0.BIN", CFG_SIZE, CFG0_MAGIC),
            ("CFG1.BIN", CFG_SIZE, CFG1_MAGIC),
            ("FREC.BIN", FREC_SIZE, FREC_MAGIC),
        ] {
            let copy = directory.path().join(name);
            Tool::new("mcopy")
                .arg("-i")
                .path(&path)
                .arg(format!("::{name}"))
                .path(&copy)
                .run()
                .unwrap();
            let content = std::fs::read(&copy).unwrap();
            assert_eq!(content.len(), size, "{name}");
            assert!(content.starts_with(magic), "{name}");
        }
        for magic in [CFG0_MAGIC, CFG1_MAGIC, FREC_MAGIC] {
            let found = bytes
                .chunks(512)
                .filter(|sector| sector.starts_with(magic))
                .count();
            assert_eq!(found, 1, "{magic:?} at a sector boundary, once");
        }
        let os = EnvFile::Os.offset() - BOOTCTL.start;
        assert!(bytes[os as usize..].starts_with(ENV_HEADER.as_bytes()));
        assert_eq!(EnvFile::Os.offset() % 4096, 0);
        assert_eq!(EnvFile::Grub.offset() % 4096, 0);
    }
}
