//! The factory reset, carried out before anything reads the configuration. A mark on the volume is the decision, and goes last: after a power cut
//! the next boot goes on, and nothing starts with what is half gone. Must not: decide that there is one (the console does, or the boot menu).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

use lb_core::export::{ASIDE, JOURNAL};
use lb_core::files;
use lb_core::mirror;
use lb_core::reset::{Extent, MARK, is_identity};

use crate::refused::Refused;
use crate::whole;

/// Files beside the history that a start reads.
const USED_BY_A_START: [&str; 6] = [
    files::CONFIG,
    files::APPLIED,
    files::PENDING,
    files::DRAINS,
    JOURNAL,
    ASIDE,
];
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
            decide(volume, &mark, extent)?;
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

/// From here on the reset goes on whatever happens. A full volume is no reason to keep what nobody wants.
fn decide(volume: &Path, mark: &Path, extent: Extent) -> Result<(), Refused> {
    let written = match write_mark(mark, extent) {
        Err(error) if error.kind() == io::ErrorKind::StorageFull => {
            make_room(volume)?;
            write_mark(mark, extent)
        }
        other => other,
    };
    written.map_err(Refused::to(format!("write {}", mark.display())))
}

/// Deletes what no start uses and the reset takes anyway, so that the old machine is whole until the mark is there.
fn make_room(volume: &Path) -> Result<(), Refused> {
    let list = || -> io::Result<Vec<_>> { fs::read_dir(volume)?.collect() };
    for entry in list().map_err(Refused::to("list the config volume"))? {
        let (name, path) = (entry.file_name().to_string_lossy().into_owned(), entry.path());
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        let is_used = USED_BY_A_START.contains(&name.as_str());
        if is_file && !is_used && head(&path).is_ok_and(|head| !is_identity(&name, &head)) {
            fs::remove_file(&path).map_err(Refused::to(format!("remove {name}")))?;
        }
    }
    // What is deleted is room only when the journal has it.
    File::open(volume)
        .and_then(|volume| volume.sync_all())
        .map_err(Refused::to("sync the config volume"))
}

/// One without its word would take the identity too.
fn write_mark(mark: &Path, extent: Extent) -> io::Result<()> {
    whole::write(mark, &mark.with_extension("new"), extent.mark().as_bytes())
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
    // The operator's file goes behind all others: until then the old machine is whole but for its fallbacks.
    entries.sort_by_key(|entry| (entry.file_name() == files::CONFIG, entry.file_name()));
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == MARK || name == files::LOST_FOUND {
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
        fs::create_dir(volume.join(files::LOST_FOUND)).unwrap();
        for name in [
            "lb.toml",
            "lb.applied.toml",
            "drains.toml",
            "events.log",
            "history/000001.toml",
            JOURNAL,
            ASIDE,
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
            (Some(Extent::All), None, &[files::LOST_FOUND][..]),
            (Some(Extent::KeepIdentity), None, &["ca.pem", files::LOST_FOUND]),
            (None, Some(Extent::All), &[files::LOST_FOUND]),
            (None, Some(Extent::KeepIdentity), &["ca.pem", files::LOST_FOUND]),
            (
                Some(Extent::KeepIdentity),
                Some(Extent::All),
                &[files::LOST_FOUND],
            ),
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
    fn room_is_made_of_what_no_start_uses() {
        let dir = machine();
        let volume = dir.path().join("config");
        fs::write(volume.join("filler"), "x").unwrap();
        make_room(&volume).unwrap();
        let left = [
            JOURNAL,
            ASIDE,
            "ca.pem",
            "drains.toml",
            "history",
            "lb.applied.toml",
            "lb.toml",
            files::LOST_FOUND,
        ];
        assert_eq!(names(dir.path()), left);
    }

    #[test]
    fn a_mark_that_cannot_be_written_is_none() {
        let dir = machine();
        let volume = dir.path().join("config");
        let mark = volume.join(MARK);
        // A directory in its place makes the write fail, also for root.
        fs::create_dir(mark.with_extension("new")).unwrap();
        assert!(write_mark(&mark, Extent::KeepIdentity).is_err());
        assert!(!mark.exists());
        fs::remove_dir(mark.with_extension("new")).unwrap();
        write_mark(&mark, Extent::KeepIdentity).unwrap();
        let left = fs::read_to_string(&mark).unwrap();
        assert_eq!(Extent::of_mark(&left), Extent::KeepIdentity);
        assert!(!mark.with_extension("new").exists());
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
        assert_eq!(names(dir.path()), [files::LOST_FOUND]);
    }
}
