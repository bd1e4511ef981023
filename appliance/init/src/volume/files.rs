//! The files of a config volume as a whole: read with every error told, read as far as they can be, and written back.
//! Bounded: a damaged directory must not fill the memory. Must not: follow links or leave the volume.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::ladder::Files;
use crate::refused::Refused;

/// A file beyond this is no configuration; the agent reads less.
const FILE_BYTES: u64 = 16 << 20;
/// What is kept in memory while the volume is made anew, on machines of 128 MB.
const TOTAL_BYTES: u64 = 24 << 20;
const MAX_FILES: usize = 500;
/// `history/1.toml` is at depth 2.
const DEPTH: usize = 2;
/// ext4 puts what e2fsck finds there.
const LOST_FOUND: &str = "lost+found";

/// Reads every file, as far as one is looked at, and says what fails first.
pub fn read_strictly(root: &Path) -> Result<(), Refused> {
    for path in walk(root, true)? {
        let file = File::open(&path).map(|file| file.take(FILE_BYTES));
        let read = file.and_then(|mut file| io::copy(&mut file, &mut io::sink()));
        read.map_err(Refused::to(format!("read {}", shown(root, &path))))?;
    }
    Ok(())
}

/// What can be read, within the bounds; the files at the top first.
pub fn read_what_can_be_read(root: &Path) -> Files {
    let mut files = Files::new();
    let mut left = TOTAL_BYTES;
    for path in walk(root, false).unwrap_or_default().into_iter().take(MAX_FILES) {
        let Ok(content) = read(&path) else { continue };
        let length = content.len() as u64;
        if length > FILE_BYTES || length > left {
            continue;
        }
        left -= length;
        files.insert(shown(root, &path), content);
    }
    files
}

/// Writes the files and makes sure that they are on the disk.
pub fn write(root: &Path, files: &Files) -> Result<(), Refused> {
    for (name, content) in files {
        write_one(&root.join(name), content).map_err(Refused::to(format!("write {name}")))?;
    }
    let root = File::open(root).map_err(Refused::to("open the config volume"))?;
    rustix::fs::syncfs(&root).map_err(Refused::to("sync the config volume"))
}

fn write_one(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    // Among them are keys, and the consoles' password.
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// The regular files, those nearer to the root first, each level in order of names.
fn walk(root: &Path, strict: bool) -> Result<Vec<PathBuf>, Refused> {
    let mut files = Vec::new();
    let mut level = vec![root.to_owned()];
    for _ in 0..DEPTH {
        let mut below = Vec::new();
        for dir in level {
            let listed = list(&dir).map_err(Refused::to(format!("list /{}", shown(root, &dir))));
            match listed {
                Ok((mut regular, mut dirs)) => {
                    files.append(&mut regular);
                    below.append(&mut dirs);
                }
                Err(fault) if strict => return Err(fault),
                Err(_) => {}
            }
        }
        level = below;
    }
    Ok(files)
}

fn list(dir: &Path) -> io::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let (mut files, mut dirs) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(dir)?.take(MAX_FILES) {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_file() {
            files.push(entry.path());
        } else if kind.is_dir() && entry.file_name() != LOST_FOUND {
            dirs.push(entry.path());
        }
    }
    files.sort();
    dirs.sort();
    Ok((files, dirs))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(FILE_BYTES + 1).read_to_end(&mut content)?;
    Ok(content)
}

fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root)
        .unwrap_or(path)
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("history/deep")).unwrap();
        fs::create_dir(dir.path().join(LOST_FOUND)).unwrap();
        fs::write(dir.path().join("lb.toml"), "one").unwrap();
        fs::write(dir.path().join("history/2.toml"), "two").unwrap();
        fs::write(dir.path().join("history/deep/3.toml"), "three").unwrap();
        fs::write(dir.path().join(LOST_FOUND).join("#12"), "junk").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link")).unwrap();
        dir
    }

    #[test]
    fn what_was_read_is_written_back_the_same() {
        let files = read_what_can_be_read(volume().path());
        let names: Vec<_> = files.keys().map(String::as_str).collect();
        assert_eq!(names, ["history/2.toml", "lb.toml"]);
        let other = tempfile::tempdir().unwrap();
        write(other.path(), &files).unwrap();
        assert_eq!(read_what_can_be_read(other.path()), files);
    }

    #[test]
    fn a_file_beyond_the_bound_is_left_out_and_the_others_are_not() {
        let dir = volume();
        fs::write(dir.path().join("huge"), vec![0; FILE_BYTES as usize + 1]).unwrap();
        assert!(read_strictly(dir.path()).is_ok());
        let files = read_what_can_be_read(dir.path());
        assert!(files.contains_key("lb.toml") && !files.contains_key("huge"));
    }

    #[test]
    fn a_missing_volume_is_an_error_or_empty() {
        let fault = read_strictly(Path::new("/nowhere")).unwrap_err();
        assert_eq!(fault.to_string(), "list /: ENOENT");
        assert!(read_what_can_be_read(Path::new("/nowhere")).is_empty());
    }
}
