//! The ladder on a fake ground that damages what it is told to, and writes down what was done to it.

use super::*;

/// A disk with a config volume, and what is wrong with it.
struct Fake {
    read_write: Result<Condition, Unmountable>,
    /// Whether a mount `ro` and one `ro,noload` succeed.
    read_only: bool,
    noload: bool,
    files: Files,
    anew: Result<(), String>,
    writes: Result<(), String>,
    memory: Result<(), String>,
    mirror: Option<Vec<u8>>,
    takes_mirror: bool,
    mounted: bool,
    log: Vec<String>,
}

impl Default for Fake {
    fn default() -> Fake {
        Fake {
            read_write: Ok(Condition::Sound),
            read_only: true,
            noload: true,
            files: files(&[
                (CONFIG_FILE, "edited"),
                (APPLIED_FILE, "applied"),
                ("history/1.toml", "old"),
            ]),
            anew: Ok(()),
            writes: Ok(()),
            memory: Ok(()),
            mirror: None,
            takes_mirror: true,
            mounted: false,
            log: Vec::new(),
        }
    }
}

impl Ground for Fake {
    fn mount(&mut self, access: Access) -> Result<(), Unmountable> {
        assert!(!self.mounted, "mounted twice");
        let result = match access {
            Access::Rw => self.read_write.clone().map(|_| ()),
            Access::Ro if self.read_only => Ok(()),
            Access::RoNoLoad if self.noload => Ok(()),
            _ => Err(Unmountable::Damaged("EUCLEAN".into())),
        };
        self.log.push(format!("{access:?}"));
        self.mounted = result.is_ok();
        result
    }

    fn examine(&mut self) -> Condition {
        self.read_write.clone().unwrap()
    }

    fn read_files(&mut self) -> Files {
        if self.mounted {
            self.files.clone()
        } else {
            Files::new()
        }
    }

    fn unmount(&mut self) {
        self.mounted = false;
    }

    fn make_anew(&mut self) -> Result<(), String> {
        assert!(!self.mounted, "overwritten while mounted");
        self.log.push("anew".into());
        self.anew.clone()?;
        self.files.clear();
        self.mounted = true;
        Ok(())
    }

    fn mount_memory(&mut self) -> Result<(), String> {
        assert!(!self.mounted);
        self.log.push("memory".into());
        self.memory.clone()?;
        self.files.clear();
        // What fails on the device does not fail in memory.
        self.writes = Ok(());
        self.mounted = true;
        Ok(())
    }

    fn write_files(&mut self, files: &Files) -> Result<(), String> {
        assert!(self.mounted);
        self.writes.clone()?;
        self.files.extend(files.clone());
        Ok(())
    }

    fn mirror(&mut self) -> Option<Vec<u8>> {
        self.mirror.clone()
    }

    fn takes_mirror(&mut self) -> bool {
        self.takes_mirror
    }
}

fn files(contents: &[(&str, &str)]) -> Files {
    contents
        .iter()
        .map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()))
        .collect()
}

fn damaged() -> Fake {
    Fake {
        read_write: Err(Unmountable::Damaged("mount: EUCLEAN".into())),
        ..Fake::default()
    }
}

#[test]
fn a_sound_volume_is_used_and_nothing_is_said() {
    let mut ground = Fake::default();
    let footing = climb(&mut ground);
    assert_eq!(
        footing,
        Footing {
            report: VolumeReport {
                state: VolumeState::Persistent,
                detail: String::new()
            },
            problems: vec![]
        }
    );
    assert_eq!(ground.log, ["Rw"]);
    assert!(ground.mounted);
}

#[test]
fn a_full_volume_is_used_and_said() {
    let footing = climb(&mut Fake {
        read_write: Ok(Condition::Full),
        ..Fake::default()
    });
    assert_eq!(footing.report.state, VolumeState::Persistent);
    assert!(
        footing.problems[0].contains("nothing new can be saved"),
        "{footing:?}"
    );
}

#[test]
fn a_damaged_volume_is_made_anew_with_every_file_that_could_be_read() {
    let mut ground = damaged();
    let before = ground.files.clone();
    let footing = climb(&mut ground);
    assert_eq!(ground.log, ["Rw", "Ro", "anew"]);
    assert_eq!(ground.files, before);
    assert_eq!(footing.report.state, VolumeState::Restored);
    assert_eq!(
        footing.problems,
        ["the config volume was damaged and was made anew; lb.toml was rescued; check it with `config show`"]
    );
}

#[test]
fn damage_found_after_the_mount_is_rescued_from_that_mount() {
    let mut ground = Fake {
        read_write: Ok(Condition::Damaged("read lb.toml: EIO".into())),
        ..Fake::default()
    };
    let footing = climb(&mut ground);
    assert_eq!(ground.log, ["Rw", "anew"]);
    assert_eq!(footing.report.state, VolumeState::Restored);
    assert!(footing.report.detail.contains("read lb.toml: EIO"), "{footing:?}");
}

#[test]
fn a_journal_that_cannot_be_replayed_is_left_alone_for_the_rescue() {
    let mut ground = Fake {
        read_only: false,
        ..damaged()
    };
    climb(&mut ground);
    assert_eq!(ground.log, ["Rw", "Ro", "RoNoLoad", "anew"]);
    assert_eq!(ground.files[CONFIG_FILE], b"edited");
}

#[test]
fn what_cannot_be_rescued_comes_from_the_mirror() {
    let mirror = Some(b"mirrored".to_vec());
    let mut ground = Fake {
        read_only: false,
        noload: false,
        mirror,
        ..damaged()
    };
    let footing = climb(&mut ground);
    assert_eq!(
        ground.files,
        files(&[(CONFIG_FILE, "mirrored"), (APPLIED_FILE, "mirrored")])
    );
    assert!(
        footing.problems[0].contains("the last configuration that was applied"),
        "{footing:?}"
    );
}

#[test]
fn a_rescued_lb_toml_is_kept_and_only_its_fallback_comes_from_the_mirror() {
    let found = files(&[(CONFIG_FILE, "edited"), (APPLIED_FILE, "")]);
    let mut ground = Fake {
        files: found,
        mirror: Some(b"mirrored".to_vec()),
        ..damaged()
    };
    climb(&mut ground);
    assert_eq!(
        ground.files,
        files(&[(CONFIG_FILE, "edited"), (APPLIED_FILE, "mirrored")])
    );
}

#[test]
fn a_lost_lb_toml_is_replaced_by_the_applied_one_that_was_rescued() {
    let mut ground = Fake {
        files: files(&[(APPLIED_FILE, "applied")]),
        mirror: Some(b"m".to_vec()),
        ..damaged()
    };
    climb(&mut ground);
    assert_eq!(
        ground.files,
        files(&[(CONFIG_FILE, "applied"), (APPLIED_FILE, "applied")])
    );
}

#[test]
fn with_nothing_to_restore_the_operator_is_told_what_to_do() {
    let mut ground = Fake {
        read_only: false,
        noload: false,
        ..damaged()
    };
    let footing = climb(&mut ground);
    assert_eq!(footing.report.state, VolumeState::Restored);
    assert!(
        footing.problems[0].ends_with("write a configuration with `config put`"),
        "{footing:?}"
    );
}

#[test]
fn a_device_that_cannot_be_written_leaves_the_rescued_files_in_memory() {
    for ground in [
        Fake {
            anew: Err("write /dev/vda6: EIO".into()),
            ..damaged()
        },
        Fake {
            writes: Err("write lb.toml: EIO".into()),
            ..damaged()
        },
    ] {
        let mut ground = ground;
        let before = ground.files.clone();
        let footing = climb(&mut ground);
        assert_eq!(ground.log.last().unwrap(), "memory");
        assert_eq!(ground.files, before);
        assert_eq!(footing.report.state, VolumeState::Memory);
        let problem = &footing.problems[0];
        assert!(
            problem.contains("EUCLEAN") && problem.contains("EIO") && problem.contains("not persistent"),
            "{problem}"
        );
    }
}

#[test]
fn a_write_protected_disk_is_read_and_never_written() {
    for read_write in [Err(Unmountable::WriteProtected), Ok(Condition::WriteProtected)] {
        let mut ground = Fake {
            read_write,
            read_only: false,
            ..Fake::default()
        };
        let footing = climb(&mut ground);
        assert_eq!(ground.log, ["Rw", "Ro", "RoNoLoad"]);
        assert_eq!(footing.report.state, VolumeState::ReadOnly);
        assert!(ground.mounted && footing.problems[0].contains("write-protected"));
    }
}

#[test]
fn a_disk_without_the_partition_runs_from_memory_and_the_mirror() {
    let read_write = Err(Unmountable::Absent(
        "the boot disk has no partition named config".into(),
    ));
    let mut ground = Fake {
        read_write,
        mirror: Some(b"mirrored".to_vec()),
        ..Fake::default()
    };
    let footing = climb(&mut ground);
    assert_eq!(footing.report.state, VolumeState::Memory);
    assert_eq!(ground.files[CONFIG_FILE], b"mirrored");
    assert!(
        footing.problems[0].contains("no partition named config"),
        "{footing:?}"
    );
}

/// The next boot uses what the agent mirrors, unless it can read something on the volume, as this one did.
#[test]
fn in_memory_it_is_said_what_a_reboot_keeps() {
    let absent = || Fake {
        read_write: Err(Unmountable::Absent("no disk".into())),
        ..Fake::default()
    };
    let unwritable = |kept: &[(&str, &str)]| Fake {
        anew: Err("write /dev/vda6: EIO".into()),
        files: files(kept),
        ..damaged()
    };
    let without_mirror = Fake {
        takes_mirror: false,
        ..absent()
    };
    for (mut ground, kept) in [
        (absent(), true),
        (without_mirror, false),
        (unwritable(&[]), true),
        (unwritable(&[(CONFIG_FILE, "edited")]), false),
        (unwritable(&[(APPLIED_FILE, "applied")]), false),
    ] {
        let problem = climb(&mut ground).problems.remove(0);
        let words = match kept {
            true => "a reboot keeps only the configuration in force, by the copy outside of the volume",
            false => "what is saved now is lost with the next reboot",
        };
        assert!(problem.ends_with(words), "{problem}");
    }
}

#[test]
fn when_even_memory_fails_it_is_said() {
    let mut ground = Fake {
        read_write: Err(Unmountable::Absent("no disk".into())),
        memory: Err("mount tmpfs: ENOMEM".into()),
        ..Fake::default()
    };
    let footing = climb(&mut ground);
    assert_eq!(footing.report.state, VolumeState::NotMounted);
    assert!(footing.problems[0].contains("ENOMEM"), "{footing:?}");
}
