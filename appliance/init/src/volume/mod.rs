//! The config volume at boot: finds it, lets the ladder climb within a time limit, and mounts the result on /config.
//! Must not: keep the boot waiting for a disk that does not answer.

mod disk;
mod ext4;
mod files;
mod ladder;

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use lb_core::control::{VolumeReport, VolumeState};
use rustix::mount::mount_move;

use self::ext4::Ext4Ground;
use self::ladder::{Footing, Ground};
use crate::Grow;
use crate::mounts::make_dir;
use crate::refused::Refused;

pub const CONFIG: &str = "/config";
/// A link to the partition with the mirror records, for the agent.
pub const BOOTCTL: &str = "/run/lb/bootctl";
/// Where the ladder works: a mount that comes too late must not cover what is in use by then.
const WORKSHOP: &str = "/run/lb/volume";
const LATE_WORKSHOP: &str = "/run/lb/volume-in-memory";
/// A disk answers within this, or is taken for dead.
const LIMIT: Duration = Duration::from_secs(30);

/// `root` is the device of the root file system, as (major, minor).
pub fn prepare(root: Option<(u32, u32)>, grow: Grow) -> Footing {
    let sysfs = Path::new("/sys");
    let bootctl = disk::find(sysfs, root, "bootctl")
        .ok()
        .map(|partition| partition.device);
    if let Some(device) = &bootctl {
        link(device);
    }
    let partition = disk::find(sysfs, root, "config");
    let ground = |partition, at: &str| Ext4Ground {
        partition,
        bootctl: bootctl.clone(),
        mountpoint: PathBuf::from(at),
        grow,
    };
    match climb_within(LIMIT, ground(partition, WORKSHOP), WORKSHOP) {
        Some(footing) => settle(footing, WORKSHOP),
        None => {
            let why = format!("the disk did not answer within {} s", LIMIT.as_secs());
            let mut ground = ground(Err(why), LATE_WORKSHOP);
            // The mirror lies on the same disk.
            ground.bootctl = None;
            match make_dir(LATE_WORKSHOP, 0o700) {
                Ok(()) => settle(ladder::climb(&mut ground), LATE_WORKSHOP),
                Err(refused) => unmounted(&refused),
            }
        }
    }
}

/// The ladder in a thread of its own, which is left behind if it does not come back.
fn climb_within(limit: Duration, mut ground: impl Ground + Send + 'static, at: &str) -> Option<Footing> {
    if let Err(refused) = make_dir(at, 0o700) {
        return Some(unmounted(&refused));
    }
    let (sender, receiver) = mpsc::channel();
    let climb = move || {
        // Whoever waited may have given up.
        let _ = sender.send(ladder::climb(&mut ground));
    };
    match thread::Builder::new().name("volume".to_owned()).spawn(climb) {
        Ok(_) => receiver.recv_timeout(limit).ok(),
        Err(error) => Some(unmounted(&Refused::to("start a thread for the config volume")(
            error,
        ))),
    }
}

/// Moves the mount to where everyone looks for it.
fn settle(footing: Footing, from: &str) -> Footing {
    if footing.report.state == VolumeState::NotMounted {
        return footing;
    }
    let moved = make_dir(CONFIG, 0o755)
        .and_then(|()| mount_move(from, CONFIG).map_err(Refused::to(format!("move {from} to {CONFIG}"))));
    match moved {
        Ok(()) => footing,
        Err(refused) => unmounted(&refused),
    }
}

fn unmounted(why: &Refused) -> Footing {
    let detail = why.to_string();
    let problem = format!("there is no config volume: {detail}; nothing can be saved; reboot");
    Footing {
        report: VolumeReport {
            state: VolumeState::NotMounted,
            detail,
        },
        problems: vec![problem],
    }
}

fn link(device: &Path) {
    let _ = std::fs::remove_file(BOOTCTL);
    if let Err(error) = std::os::unix::fs::symlink(device, BOOTCTL) {
        log::warn!("link {BOOTCTL} to {}: {error}", device.display());
    }
}

/// The word for the stage's line on the console.
pub fn word(state: VolumeState) -> &'static str {
    match state {
        VolumeState::Persistent => "ok",
        VolumeState::Restored => "made anew",
        VolumeState::ReadOnly => "read-only",
        VolumeState::Memory => "in memory only",
        VolumeState::NotMounted => "not mounted",
    }
}

#[cfg(test)]
mod tests {
    use super::ladder::{Access, Condition, Files, Unmountable};
    use super::*;

    /// A disk that never answers.
    struct Dead;

    impl Ground for Dead {
        fn mount(&mut self, _: Access) -> Result<(), Unmountable> {
            thread::sleep(Duration::from_secs(3600));
            Ok(())
        }
        fn examine(&mut self) -> Condition {
            Condition::Sound
        }
        fn read_files(&mut self) -> Files {
            Files::new()
        }
        fn unmount(&mut self) {}
        fn make_anew(&mut self) -> Result<(), String> {
            Ok(())
        }
        fn mount_memory(&mut self) -> Result<(), String> {
            Ok(())
        }
        fn write_files(&mut self, _: &Files) -> Result<(), String> {
            Ok(())
        }
        fn mirror(&mut self) -> Option<Vec<u8>> {
            None
        }
        fn takes_mirror(&mut self) -> bool {
            false
        }
    }

    #[test]
    fn a_disk_that_does_not_answer_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().to_str().unwrap();
        assert_eq!(climb_within(Duration::from_millis(50), Dead, at), None);
    }
}
