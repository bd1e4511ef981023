//! The ladder that the config volume climbs down, rung by rung: read and write; made anew with what could be rescued;
//! read-only; in memory. Every rung below the first is said in one sentence. Pure: what it stands on is a trait.
//! Must not: judge whether a configuration is valid (the agent does, and has its own fallbacks).

use std::collections::BTreeMap;

use lb_core::control::{VOLUME_FULL, VolumeReport, VolumeState};

/// The file that the operator edits, and the last configuration that was applied successfully.
pub const CONFIG_FILE: &str = "lb.toml";
pub const APPLIED_FILE: &str = "lb.applied.toml";

/// Paths below the volume's root, and their contents.
pub type Files = BTreeMap<String, Vec<u8>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Rw,
    /// The journal is replayed if the device allows it.
    Ro,
    /// The journal is left alone.
    RoNoLoad,
}

/// Why a volume could not be mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unmountable {
    /// There is no partition of that name.
    Absent(String),
    WriteProtected,
    /// The file system is damaged, or the device is.
    Damaged(String),
}

/// What a mounted volume looks like from inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    Sound,
    /// Sound, but nothing more can be written.
    Full,
    WriteProtected,
    Damaged(String),
}

/// What the ladder stands on: one device, one mount point.
pub trait Ground {
    fn mount(&mut self, access: Access) -> Result<(), Unmountable>;
    /// Reads every file and writes one.
    fn examine(&mut self) -> Condition;
    /// Everything that can be read, within bounds; errors leave files out.
    fn read_files(&mut self) -> Files;
    fn unmount(&mut self);
    /// Overwrites the partition with an empty file system that fills it, and mounts it.
    fn make_anew(&mut self) -> Result<(), String>;
    fn mount_memory(&mut self) -> Result<(), String>;
    fn write_files(&mut self, files: &Files) -> Result<(), String>;
    /// The newest configuration outside the volume.
    fn mirror(&mut self) -> Option<Vec<u8>>;
    /// Whether there is room for the next one.
    fn takes_mirror(&mut self) -> bool;
}

/// Where the ladder ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Footing {
    pub report: VolumeReport,
    /// One sentence each, with the remedy.
    pub problems: Vec<String>,
}

pub fn climb(ground: &mut dyn Ground) -> Footing {
    let damage = match ground.mount(Access::Rw) {
        Ok(()) => match ground.examine() {
            Condition::Sound => return footing(VolumeState::Persistent, String::new(), None),
            Condition::Full => return full(),
            Condition::WriteProtected => {
                ground.unmount();
                return read_only(ground);
            }
            Condition::Damaged(why) => why,
        },
        Err(Unmountable::Absent(why)) => return in_memory(ground, &why, Files::new()),
        Err(Unmountable::WriteProtected) => return read_only(ground),
        Err(Unmountable::Damaged(why)) => why,
    };
    log::warn!("the config volume is damaged: {damage}");
    let rescued = rescue(ground);
    make_anew(ground, &damage, rescued)
}

fn footing(state: VolumeState, detail: String, problem: Option<String>) -> Footing {
    Footing {
        report: VolumeReport { state, detail },
        problems: problem.into_iter().collect(),
    }
}

fn full() -> Footing {
    let detail = VOLUME_FULL.to_owned();
    let problem =
        format!("{detail}: nothing new can be saved; remove files from it (`config files` lists them)");
    footing(VolumeState::Persistent, detail, Some(problem))
}

fn read_only(ground: &mut dyn Ground) -> Footing {
    for access in [Access::Ro, Access::RoNoLoad] {
        if ground.mount(access).is_ok() {
            let detail = "the disk is write-protected".to_owned();
            let problem = format!(
                "{detail}: the configuration is used, but nothing can be saved; allow writing and reboot"
            );
            return footing(VolumeState::ReadOnly, detail, Some(problem));
        }
    }
    in_memory(
        ground,
        "the disk is write-protected and its config volume cannot be read",
        Files::new(),
    )
}

/// What can be read of a damaged volume. If it is mounted it is read as it is.
fn rescue(ground: &mut dyn Ground) -> Files {
    let mut files = ground.read_files();
    ground.unmount();
    for access in [Access::Ro, Access::RoNoLoad] {
        if files.contains_key(CONFIG_FILE) {
            break;
        }
        if ground.mount(access).is_ok() {
            // What was read before was read with more of the journal.
            for (path, content) in ground.read_files() {
                files.entry(path).or_insert(content);
            }
            ground.unmount();
        }
    }
    files
}

fn make_anew(ground: &mut dyn Ground, damage: &str, rescued: Files) -> Footing {
    let (files, source) = complete(ground, rescued);
    let made = ground.make_anew().and_then(|()| ground.write_files(&files));
    if let Err(why) = made {
        ground.unmount();
        return in_memory(
            ground,
            &format!("it was damaged ({damage}) and could not be made anew ({why})"),
            files,
        );
    }
    let detail = format!("the file system was damaged ({damage}) and was made anew; {source}");
    let remedy = if files.is_empty() {
        "write a configuration with `config put`"
    } else {
        "check it with `config show`"
    };
    let problem = format!("the config volume was damaged and was made anew; {source}; {remedy}");
    footing(VolumeState::Restored, detail, Some(problem))
}

fn in_memory(ground: &mut dyn Ground, why: &str, rescued: Files) -> Footing {
    // What can be read of the volume comes before the mirror, at the next boot as now.
    let by_the_mirror = !has(&rescued, CONFIG_FILE) && !has(&rescued, APPLIED_FILE) && ground.takes_mirror();
    let (files, source) = complete(ground, rescued);
    let made = ground.mount_memory().and_then(|()| ground.write_files(&files));
    let (state, failure) = match made {
        Ok(()) => (VolumeState::Memory, String::new()),
        Err(failure) => (
            VolumeState::NotMounted,
            format!("; no memory for it either ({failure})"),
        ),
    };
    let detail = format!("{why}; {source}{failure}");
    let lost = match by_the_mirror && state == VolumeState::Memory {
        true => {
            "of what is saved now a reboot keeps only the configuration in force, by the copy outside of the volume"
        }
        false => "what is saved now is lost with the next reboot",
    };
    let problem = format!("the config volume is not persistent: {detail}; {lost}");
    footing(state, detail, Some(problem))
}

fn has(files: &Files, name: &str) -> bool {
    files.get(name).is_some_and(|content| !content.is_empty())
}

/// The files to put back: what was rescued; where the configuration is missing, from the mirror. And what to say of it.
fn complete(ground: &mut dyn Ground, mut files: Files) -> (Files, &'static str) {
    let rescued = has(&files, CONFIG_FILE);
    if !has(&files, APPLIED_FILE)
        && let Some(mirror) = ground.mirror()
    {
        files.insert(APPLIED_FILE.to_owned(), mirror);
    }
    if rescued {
        return (files, "lb.toml was rescued");
    }
    match files.get(APPLIED_FILE).cloned() {
        Some(applied) if !applied.is_empty() => {
            files.insert(CONFIG_FILE.to_owned(), applied);
            (files, "lb.toml is the last configuration that was applied")
        }
        _ => (files, "there is no configuration to restore"),
    }
}

#[cfg(test)]
#[path = "ladder_tests.rs"]
mod tests;
