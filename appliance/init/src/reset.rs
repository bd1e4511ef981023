//! The factory reset, carried out before anything reads the configuration. A mark on the volume is the decision, and goes last: after a power cut
//! the next boot goes on, and nothing starts with what is half gone. Must not: decide that there is one (the console does, or the boot menu).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

use lb_core::mirror;
use lb_core::reset::{Extent, MARK, is_identity};

use crate::refused::Refused;

/// The operator's file goes behind all others: until then the old machine is whole but for its fallbacks.
const CONFIG_FILE: &str = "lb.toml";
/// ext4's own.
const LOST_FOUND: &str = "lost+found";
/// A PEM shows itself by then.
const HEAD_BYTES: u64 = 64 << 10;

/// What was done, in a sentence; `None`: nobody wants a reset. `ordered`: by the kernel's command line, or the boot menu.
pub fn carry_out(
    volume: &Path,
    bootctl: &Path,
    ordered: Option<Extent>,
) -> Option<Result<&'static str, Refused>> {
    let mark = volume.join(MARK);
    let marked = fs::read_to_string(&mark).ok().map(|text| Extent::of_mark(&text));
    let extent = ordered.or(marked)?;
    let keep = extent == Extent::KeepIdentity;
    let done = || {
        if marked != Some(extent) {
            write_mark(&mark, extent).map_err(Refused::to(format!("write {}", mark.display())))?;
        }
        erase_mirror(bootctl)?;
        empty(volume, keep)?;
        fs::remove_file(&mark)
            .and_then(|()| File::open(volume)?.sync_all())
            .map_err(Refused::to(format!("remove {}", mark.display())))
    };
    let said = if keep {
        "this machine was reset to its factory state; its certificates and keys were kept"
    } else {
        "this machine was reset to its factory state"
    };
    Some(done().map(|()| said))
}

fn write_mark(mark: &Path, extent: Extent) -> io::Result<()> {
    fs::write(mark, extent.mark())?;
    File::open(mark)?.sync_all()?;
    File::open(mark.parent().unwrap_or(mark))?.sync_all()
}

/// A machine without that partition has no mirror.
fn erase_mirror(bootctl: &Path) -> Result<(), Refused> {
    if !bootctl.exists() {
        return Ok(());
    }
    let mut device = OpenOptions::new()
        .read(true)
        .write(true)
        .open(bootctl)
        .map_err(Refused::to(format!("open {}", bootctl.display())))?;
    mirror::erase(&mut device, File::sync_data)
        .map_err(|error| Refused::new("erase the copy of the configuration", error.to_string()))
}

/// All files but the mark and, if `keep`, certificates and keys; lb.toml last.
fn empty(volume: &Path, keep: bool) -> Result<(), Refused> {
    let list = || -> io::Result<Vec<_>> { fs::read_dir(volume)?.collect() };
    let mut entries = list().map_err(Refused::to("list the config volume"))?;
    entries.sort_by_key(|entry| (entry.file_name() == CONFIG_FILE, entry.file_name()));
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == MARK || name == LOST_FOUND {
            continue;
        }
        let path = entry.path();
        let removed = match entry.file_type() {
            Ok(kind) if kind.is_dir() => fs::remove_dir_all(&path),
            Ok(kind) if keep && kind.is_file() && head(&path).is_ok_and(|head| is_identity(&name, &head)) => {
                Ok(())
            }
            _ => fs::remove_file(&path),
        };
        removed.map_err(Refused::to(format!("remove {name}")))?;
    }
    File::open(volume)
        .and_then(|volume| volume.sync_all())
        .map_err(Refused::to("sync the config volume"))
}

fn head(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(HEAD_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// A volume with everything that the agent leaves, and a mirror beside it.
    fn machine() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let volume = dir.path().join("config");
        fs::create_dir_all(volume.join("history")).unwrap();
        fs::create_dir(volume.join(LOST_FOUND)).unwrap();
        for name in [
            "lb.toml",
            "lb.applied.toml",
            "drains.toml",
            "events.log",
            "history/000001.toml",
        ] {
            fs::write(volume.join(name), "-----BEGIN CERTIFICATE-----").unwrap();
        }
        fs::write(volume.join("ca.pem"), "-----BEGIN CERTIFICATE-----").unwrap();
        let mut mirror = Cursor::new(vec![0; 2 * mirror::SLOT_BYTES]);
        for slot in 0..2 {
            let at = slot * mirror::SLOT_BYTES;
            mirror.get_mut()[at..at + 8].copy_from_slice(&mirror::SLOT_MAGIC[slot]);
        }
        for text in ["first", "second"] {
            mirror::write_next(&mut mirror, &mut Cursor::new(text), |_| Ok(())).unwrap();
        }
        fs::write(dir.path().join("bootctl"), mirror.get_ref()).unwrap();
        dir
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir.join("config")).unwrap().flatten();
        let mut names: Vec<_> = entries.map(|e| e.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn reset(dir: &Path, ordered: Option<Extent>) -> Option<Result<&'static str, Refused>> {
        carry_out(&dir.join("config"), &dir.join("bootctl"), ordered)
    }

    fn mirrored(dir: &Path) -> bool {
        let mut device = File::open(dir.join("bootctl")).unwrap();
        mirror::read_newest(&mut device).unwrap().is_some()
    }

    #[test]
    fn without_mark_and_word_nothing_is_touched() {
        let dir = machine();
        let before = names(dir.path());
        assert_eq!(reset(dir.path(), None), None);
        assert_eq!(names(dir.path()), before);
        assert!(mirrored(dir.path()));
    }

    #[test]
    fn everything_goes_or_all_but_the_identity() {
        for (mark, ordered, left) in [
            (Some(Extent::All), None, &[LOST_FOUND][..]),
            (Some(Extent::KeepIdentity), None, &["ca.pem", LOST_FOUND]),
            (None, Some(Extent::All), &[LOST_FOUND]),
            (None, Some(Extent::KeepIdentity), &["ca.pem", LOST_FOUND]),
            (Some(Extent::KeepIdentity), Some(Extent::All), &[LOST_FOUND]),
        ] {
            let dir = machine();
            if let Some(mark) = mark {
                fs::write(dir.path().join("config").join(MARK), mark.mark()).unwrap();
            }
            assert!(reset(dir.path(), ordered).unwrap().is_ok());
            assert_eq!(names(dir.path()), left, "{mark:?} {ordered:?}");
            assert!(!mirrored(dir.path()));
            // The slots are still there for the next configuration.
            let mut device = OpenOptions::new()
                .read(true)
                .write(true)
                .open(dir.path().join("bootctl"))
                .unwrap();
            mirror::write_next(&mut device, &mut Cursor::new("new"), |_| Ok(())).unwrap();
            assert!(mirrored(dir.path()));
        }
    }

    #[test]
    fn what_fails_leaves_the_mark_and_the_configuration() {
        let dir = machine();
        fs::write(dir.path().join("config").join(MARK), Extent::All.mark()).unwrap();
        fs::remove_file(dir.path().join("bootctl")).unwrap();
        fs::create_dir(dir.path().join("bootctl")).unwrap();
        let refused = reset(dir.path(), None).unwrap().unwrap_err();
        assert!(refused.to_string().starts_with("open "), "{refused}");
        let left = names(dir.path());
        assert!(left.contains(&MARK.to_owned()) && left.contains(&"lb.toml".to_owned()));
        // The next boot goes on.
        fs::remove_dir(dir.path().join("bootctl")).unwrap();
        assert!(reset(dir.path(), None).unwrap().is_ok());
        assert_eq!(names(dir.path()), [LOST_FOUND]);
    }
}
