//! Makes the ext4 file systems of /config: the partition's, and the small template from which init makes it anew.
//! Both have the same identity and features. Must not: put files in; the factory's /config is empty.

use std::path::Path;

use crate::file::{self, FileError};
use crate::layout::{CONFIG_FS_UUID, CONFIG_HASH_SEED, CONFIG_LABEL};
use crate::tool::{Tool, ToolError};

/// Spelled out, so that the builder's mke2fs.conf does not matter. `resize_inode` keeps room in the group descriptors:
/// it is what lets the kernel grow the mounted template to the size of its partition.
const FEATURES: &str = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,\
                        large_file,huge_file,dir_nlink,extra_isize,metadata_csum";

#[derive(Debug, thiserror::Error)]
pub enum Ext4Error {
    #[error(transparent)]
    Tool(#[from] ToolError),
    #[error(transparent)]
    File(#[from] FileError),
}

/// Makes an empty file system of `size` bytes as the file `target`.
pub fn make(target: &Path, size: u64) -> Result<(), Ext4Error> {
    file::create_sparse(target, size)?;
    let extended = format!(
        "hash_seed={CONFIG_HASH_SEED},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0,nodiscard"
    );
    Tool::new("mke2fs")
        .args([
            "-q",
            "-F",
            "-t",
            "ext4",
            "-b",
            "1024",
            "-I",
            "256",
            "-i",
            "16384",
            "-m",
            "0",
            "-L",
            CONFIG_LABEL,
        ])
        .args(["-U", &CONFIG_FS_UUID.to_string(), "-O", FEATURES, "-E", &extended])
        .path(target)
        .env("MKE2FS_CONFIG", "/dev/null")
        .dated()
        .run()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{CONFIG, CONFIG_TEMPLATE_SIZE};

    #[test]
    fn both_sizes_are_sound_labelled_and_the_same_twice() {
        let directory = tempfile::tempdir().unwrap();
        for size in [CONFIG.size, CONFIG_TEMPLATE_SIZE] {
            let (one, two) = (directory.path().join("one"), directory.path().join("two"));
            make(&one, size).unwrap();
            make(&two, size).unwrap();
            assert!(std::fs::read(&one).unwrap() == std::fs::read(&two).unwrap());
            Tool::new("e2fsck").args(["-f", "-n"]).path(&one).run().unwrap();
            let dump = Tool::new("dumpe2fs").arg("-h").path(&one).run().unwrap();
            let dump = String::from_utf8_lossy(&dump.stdout).into_owned();
            assert!(dump.contains("Filesystem volume name:   config\n"), "{dump}");
            assert!(dump.contains(&CONFIG_FS_UUID.to_string()), "{dump}");
        }
    }

    #[test]
    fn the_template_has_room_to_grow_to_gigabytes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("template");
        make(&path, CONFIG_TEMPLATE_SIZE).unwrap();
        let dump = Tool::new("dumpe2fs").arg("-h").path(&path).run().unwrap();
        let dump = String::from_utf8_lossy(&dump.stdout).into_owned();
        let reserved = dump
            .lines()
            .find_map(|line| line.strip_prefix("Reserved GDT blocks:"))
            .unwrap();
        // 16 descriptors to a block of 1 KiB, 8 MiB to a group: with the one in use, 64 blocks are 8 GiB.
        assert!(reserved.trim().parse::<u32>().unwrap() >= 63, "{reserved}");
    }
}
