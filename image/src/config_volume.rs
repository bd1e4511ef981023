//! The files of /config in an image: read, written and listed without booting, without root, without mounting. Works on a copy
//! of the partition (the journal is replayed first), and writes back only the blocks that changed, once e2fsck is content.
//! Must not: judge what the files say; the caller does.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use lb_core::export::JOURNAL;
use tempfile::TempDir;

use crate::disk::{self, DiskError};
use crate::file::{self, At, FileError};
use crate::layout::CONFIG;
use crate::lock::{self, InUse};
use crate::tool::{Tool, ToolError};

/// The operator's file.
pub const LB_TOML: &str = "lb.toml";

#[derive(Debug, thiserror::Error)]
pub enum ConfigVolumeError {
    #[error("there is no {name} in the config partition of {}", image.display())]
    NoFile { image: PathBuf, name: String },
    #[error(
        "{name:?} cannot be a file's name here: letters, digits, '.', '_', '-', and '/' between directories"
    )]
    BadName { name: String },
    #[error("{name} of {size} bytes did not fit in the config partition of {}; the image is unchanged", image.display())]
    Full {
        image: PathBuf,
        name: String,
        size: usize,
    },
    #[error("the config partition of {} is damaged beyond repair; the image is unchanged", image.display())]
    Damaged {
        image: PathBuf,
        #[source]
        source: ToolError,
    },
    #[error(transparent)]
    InUse(#[from] InUse),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Tool(#[from] ToolError),
}

/// One file of /config.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Relative to /config.
    pub name: String,
    pub size: u64,
}

/// The content of the file `name` of /config in `image`.
pub fn read(image: &Path, name: &str) -> Result<Vec<u8>, ConfigVolumeError> {
    check_name(name)?;
    let disk = disk::open(image, false)?;
    let _guard = lock::shared(&disk, image)?;
    let copy = Copy::of(&disk, image)?;
    copy.read(name)?.ok_or_else(|| ConfigVolumeError::NoFile {
        image: image.to_owned(),
        name: name.to_owned(),
    })
}

/// Every regular file of /config in `image`, in the order of names.
pub fn list(image: &Path) -> Result<Vec<Entry>, ConfigVolumeError> {
    let disk = disk::open(image, false)?;
    let _guard = lock::shared(&disk, image)?;
    let copy = Copy::of(&disk, image)?;
    let mut entries = Vec::new();
    copy.list("", &mut entries)?;
    entries.sort();
    Ok(entries)
}

/// Makes `bytes` the content of the file `name` of /config in `image`; its directory must exist.
pub fn write(image: &Path, name: &str, bytes: &[u8]) -> Result<(), ConfigVolumeError> {
    check_name(name)?;
    let disk = disk::open(image, true)?;
    let _guard = lock::exclusive(&disk, image)?;
    let copy = Copy::of(&disk, image)?;
    if !copy.write(name, bytes)? {
        return Err(ConfigVolumeError::Full {
            image: image.to_owned(),
            name: name.to_owned(),
            size: bytes.len(),
        });
    }
    copy.check()?;
    let changed = File::open(&copy.path).at("open", &copy.path)?;
    file::copy_changes(&changed, 0, &disk, CONFIG.start, copy.size).at("write", image)?;
    disk.sync_all().at("write", image)?;
    Ok(())
}

/// debugfs takes its commands as text; nothing that it could read as more than a name may pass.
fn check_name(name: &str) -> Result<(), ConfigVolumeError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let good = |part: &str| !matches!(part, "" | "." | "..") && part.chars().all(plain);
    if name.split('/').all(good) {
        Ok(())
    } else {
        Err(ConfigVolumeError::BadName {
            name: name.to_owned(),
        })
    }
}

/// The partition as a file of its own, its journal replayed.
struct Copy<'a> {
    image: &'a Path,
    directory: TempDir,
    path: PathBuf,
    /// Of the partition (bytes).
    size: u64,
}

impl<'a> Copy<'a> {
    fn of(disk: &File, image: &'a Path) -> Result<Copy<'a>, ConfigVolumeError> {
        let mut disk = disk.try_clone().at("open", image)?;
        let size = disk::expect_partition(&mut disk, image, &CONFIG)?;
        let directory = tempfile::tempdir().at("create a directory in", &std::env::temp_dir())?;
        let path = directory.path().join("config.ext4");
        let target = file::create_sparse(&path, size)?;
        file::copy_changes(&disk, CONFIG.start, &target, 0, size).at("read", image)?;
        let copy = Copy {
            image,
            directory,
            path,
            size,
        };
        // 1: faults were corrected.
        let checked = Tool::new("e2fsck")
            .args(["-f", "-y"])
            .path(&copy.path)
            .accept(&[0, 1])
            .run();
        checked.map_err(|source| copy.damaged(source))?;
        Ok(copy)
    }

    fn check(&self) -> Result<(), ConfigVolumeError> {
        let checked = Tool::new("e2fsck").args(["-f", "-n"]).path(&self.path).run();
        checked.map_err(|source| self.damaged(source))?;
        Ok(())
    }

    fn damaged(&self, source: ToolError) -> ConfigVolumeError {
        match source {
            ToolError::Failed { .. } => ConfigVolumeError::Damaged {
                image: self.image.to_owned(),
                source,
            },
            missing => ConfigVolumeError::Tool(missing),
        }
    }

    /// Runs commands of debugfs. It exits with 0 whatever happens, so its callers look at the result.
    fn debugfs(&self, write: bool, commands: &str) -> Result<String, ConfigVolumeError> {
        let script = self.directory.path().join("commands");
        file::write(&script, commands.as_bytes())?;
        let tool = Tool::new("debugfs")
            .args(write.then_some("-w"))
            .arg("-f")
            .path(&script);
        Ok(String::from_utf8_lossy(&tool.path(&self.path).run()?.stdout).into_owned())
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, ConfigVolumeError> {
        let target = self.directory.path().join("content");
        if target.exists() {
            fs::remove_file(&target).at("remove", &target)?;
        }
        self.debugfs(false, &format!("dump \"/{name}\" \"{}\"\n", target.display()))?;
        // debugfs creates the target only when it finds the file.
        if target.exists() {
            Ok(Some(file::read(&target)?))
        } else {
            Ok(None)
        }
    }

    /// Whether the file then held what it should.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<bool, ConfigVolumeError> {
        let source = self.directory.path().join("new");
        file::write(&source, bytes)?;
        // `write` takes its target in the current directory only, and refuses an existing one.
        let (parent, last) = name.rsplit_once('/').unwrap_or(("", name));
        // An import that is not complete would be carried out over it.
        let given_up = match name {
            LB_TOML => format!("rm \"/{JOURNAL}\"\n"),
            _ => String::new(),
        };
        let commands = format!(
            "{given_up}cd \"/{parent}\"\nrm \"{last}\"\nwrite \"{}\" \"{last}\"\n\
             sif \"{last}\" mode 0100644\nsif \"{last}\" uid 0\nsif \"{last}\" gid 0\n",
            source.display()
        );
        self.debugfs(true, &commands)?;
        Ok(self.read(name)?.is_some_and(|written| written == bytes))
    }

    fn list(&self, directory: &str, entries: &mut Vec<Entry>) -> Result<(), ConfigVolumeError> {
        // One line for each entry: /inode/mode/uid/gid/name/size/
        for line in self.debugfs(false, &format!("ls -p \"/{directory}\"\n"))?.lines() {
            let [_, _, mode, _, _, name, size, _] = line.split('/').collect::<Vec<_>>()[..] else {
                continue;
            };
            let path = if directory.is_empty() {
                name.to_owned()
            } else {
                format!("{directory}/{name}")
            };
            if mode.starts_with("10") {
                entries.push(Entry {
                    name: path,
                    size: size.parse().unwrap_or(0),
                });
            } else if mode.starts_with("04") && !matches!(name, "." | ".." | "lost+found") {
                self.list(&path, entries)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ext4;
    use crate::layout::DISK_SIZE;

    /// A disk whose only content is its tables and an empty config partition.
    fn image() -> (TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let (image, part) = (directory.path().join("disk"), directory.path().join("part"));
        let mut disk = file::create_sparse(&image, DISK_SIZE).unwrap();
        disk::write_tables(&mut disk).unwrap();
        ext4::make(&part, CONFIG.size).unwrap();
        let part = File::open(&part).unwrap();
        file::copy_changes(&part, 0, &disk, CONFIG.start, CONFIG.size).unwrap();
        (directory, image)
    }

    #[test]
    fn what_is_written_is_read_again_and_replaced() {
        let (_directory, image) = image();
        assert!(matches!(
            read(&image, LB_TOML),
            Err(ConfigVolumeError::NoFile { .. })
        ));
        write(&image, JOURNAL, b"an import that was not completed").unwrap();
        write(&image, LB_TOML, b"first\n").unwrap();
        assert_eq!(list(&image).unwrap().len(), 1, "it would come back over it");
        write(&image, LB_TOML, b"the second one\n").unwrap();
        write(&image, "lb.toml.applied", b"").unwrap();
        assert_eq!(read(&image, LB_TOML).unwrap(), b"the second one\n");
        assert_eq!(read(&image, "lb.toml.applied").unwrap(), b"");
        let entry = |name: &str, size| Entry {
            name: name.into(),
            size,
        };
        assert_eq!(
            list(&image).unwrap(),
            [entry("lb.toml", 15), entry("lb.toml.applied", 0)]
        );
    }

    #[test]
    fn a_file_that_does_not_fit_leaves_the_image_as_it_was() {
        let (_directory, image) = image();
        write(&image, LB_TOML, b"good\n").unwrap();
        let before = fs::read(&image).unwrap();
        let big: Vec<u8> = (0..70u32 << 18).flat_map(|n| n.to_le_bytes()).collect();
        let error = write(&image, LB_TOML, &big).unwrap_err();
        assert!(matches!(error, ConfigVolumeError::Full { .. }), "{error}");
        assert!(fs::read(&image).unwrap() == before);
    }

    #[test]
    fn names_that_debugfs_could_misread_are_refused() {
        for name in ["", "..", "a/../b", "a b", "a\"b", "a\nquit", "/etc", "a//b"] {
            assert!(
                matches!(check_name(name), Err(ConfigVolumeError::BadName { .. })),
                "{name:?}"
            );
        }
        check_name("history/12.toml").unwrap();
    }

    #[test]
    fn a_file_that_is_no_image_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = write(file.path(), LB_TOML, b"x").unwrap_err();
        assert!(error.to_string().contains("make image"), "{error}");
        assert!(list(Path::new("/nonexistent/lb.img")).is_err());
    }

    #[test]
    fn a_destroyed_config_partition_is_reported_and_left_alone() {
        let (_directory, image) = image();
        let zeros = file::create_sparse(&image.with_extension("zeros"), CONFIG.size).unwrap();
        let disk = File::options().read(true).write(true).open(&image).unwrap();
        file::copy_changes(&zeros, 0, &disk, CONFIG.start, CONFIG.size).unwrap();
        let error = write(&image, LB_TOML, b"x").unwrap_err();
        assert!(matches!(error, ConfigVolumeError::Damaged { .. }), "{error}");
    }
}
