//! The ladder's ground in the machine: the partition named `config`, an ext4 file system, mounted at a place of its own
//! until the ladder has ended. Must not: decide which rung comes next.

use std::ffi::CStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use lb_core::mirror;
use rustix::fs::StatVfsMountFlags;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::disk::Partition;
use super::files;
use super::ladder::{Access, Condition, Files, Ground, Unmountable};
use crate::Grow;
use crate::refused::{self, Refused};

/// An empty ext4 file system of a few MiB, grown to the partition after it was written.
const TEMPLATE: &str = "/usr/share/lb/config-template.ext4";
/// Written and removed again to see whether the volume takes writes. Not synced: damage shows when space is allocated, and
/// the boot does not wait for the disk's cache.
const PROBE: &str = ".init-probe";
/// The superblock lies in the first 4 KiB. It is written last: a template written in part is no file system.
const SUPERBLOCK_END: u64 = 4096;
const SAFE: MountFlags = MountFlags::NODEV
    .union(MountFlags::NOSUID)
    .union(MountFlags::NOEXEC)
    .union(MountFlags::NOATIME);

pub struct Ext4Ground {
    pub partition: Result<Partition, String>,
    pub bootctl: Option<PathBuf>,
    pub mountpoint: PathBuf,
    pub grow: Grow,
}

impl Ground for Ext4Ground {
    fn mount(&mut self, access: Access) -> Result<(), Unmountable> {
        let partition = self
            .partition
            .as_ref()
            .map_err(|why| Unmountable::Absent(why.clone()))?;
        let device = &partition.device;
        let (flags, data) = options(access);
        mount(device, &self.mountpoint, c"ext4", SAFE | flags, data).map_err(|errno| match errno {
            // EACCES: the block layer's word for a read-only device; EROFS: ext4's, when the journal needs it.
            Errno::ACCESS | Errno::ROFS => Unmountable::WriteProtected,
            Errno::NOENT | Errno::NXIO | Errno::NODEV => {
                Unmountable::Absent(Refused::to(format!("open {}", device.display()))(errno).to_string())
            }
            _ => Unmountable::Damaged(Refused::to(format!("mount {}", device.display()))(errno).to_string()),
        })
    }

    fn examine(&mut self) -> Condition {
        if let Err(why) = files::read_strictly(&self.mountpoint) {
            return self.damaged_or_protected(why.to_string());
        }
        if let Some(count) = self.recorded_errors().filter(|count| *count > 0) {
            return Condition::Damaged(format!("{count} errors are recorded in it"));
        }
        // Before it is asked for room: a partition that has become larger is the remedy of a full one.
        self.take_whole_partition();
        match probe(&self.mountpoint) {
            Ok(()) if self.is_read_only() => self.damaged_or_protected("it became read-only".to_owned()),
            Ok(()) => Condition::Sound,
            Err(error) if error.kind() == io::ErrorKind::StorageFull => Condition::Full,
            Err(error) => self.damaged_or_protected(format!("write {PROBE}: {}", refused::name(&error))),
        }
    }

    fn read_files(&mut self) -> Files {
        files::read_what_can_be_read(&self.mountpoint)
    }

    fn unmount(&mut self) {
        if unmount(&self.mountpoint, UnmountFlags::empty()).is_err() {
            // Whatever holds it, the name must be free for the next rung.
            let _ = unmount(&self.mountpoint, UnmountFlags::DETACH);
        }
    }

    fn make_anew(&mut self) -> Result<(), String> {
        let device = self.partition.clone()?.device;
        write_template(&device).map_err(|e| e.to_string())?;
        self.mount(Access::Rw).map_err(|e| match e {
            Unmountable::Absent(why) | Unmountable::Damaged(why) => why,
            Unmountable::WriteProtected => "the device is write-protected".to_owned(),
        })?;
        self.take_whole_partition();
        Ok(())
    }

    fn mount_memory(&mut self) -> Result<(), String> {
        mount(c"tmpfs", &self.mountpoint, c"tmpfs", SAFE, c"mode=0755,size=32m")
            .map_err(Refused::to("mount tmpfs on /config"))
            .map_err(|e| e.to_string())
    }

    fn write_files(&mut self, files: &Files) -> Result<(), String> {
        files::write(&self.mountpoint, files).map_err(|e| e.to_string())
    }

    fn mirror(&mut self) -> Option<Vec<u8>> {
        let mut device = File::open(self.bootctl.as_ref()?).ok()?;
        match mirror::read_newest(&mut device) {
            Ok(record) => record.map(|record| record.payload),
            Err(error) => {
                log::warn!("the mirror of the configuration: {error}");
                None
            }
        }
    }

    fn takes_mirror(&mut self) -> bool {
        let Some(bootctl) = &self.bootctl else {
            return false;
        };
        // A protected device is not opened for writing.
        let device = File::options().read(true).write(true).open(bootctl);
        let slots = device.map(|mut device| mirror::find_slots(&mut device));
        slots.is_ok_and(|slots| slots.is_ok_and(|slots| !slots.0.contains(&None)))
    }
}

impl Ext4Ground {
    /// Without growth the file system is smaller than it could be, and works.
    fn take_whole_partition(&self) {
        let Ok(partition) = &self.partition else { return };
        if self.is_read_only() {
            return;
        }
        if let Err(error) = (self.grow)(&partition.device, &self.mountpoint) {
            log::warn!("the config volume does not take its whole partition: {error}");
        }
    }

    /// What the block device itself says decides between a protected disk and a damaged one.
    fn damaged_or_protected(&self, why: String) -> Condition {
        let protected = self.partition.as_ref().is_ok_and(|partition| {
            let flag = Path::new("/sys/class/block").join(&partition.name).join("ro");
            fs::read_to_string(flag).is_ok_and(|text| text.trim() == "1")
        });
        if protected {
            Condition::WriteProtected
        } else {
            Condition::Damaged(why)
        }
    }

    fn recorded_errors(&self) -> Option<u64> {
        let name = &self.partition.as_ref().ok()?.name;
        fs::read_to_string(format!("/sys/fs/ext4/{name}/errors_count"))
            .ok()?
            .trim()
            .parse()
            .ok()
    }

    /// errors=remount-ro may have struck.
    fn is_read_only(&self) -> bool {
        rustix::fs::statvfs(&self.mountpoint)
            .is_ok_and(|stat| stat.f_flag.contains(StatVfsMountFlags::RDONLY))
    }
}

fn options(access: Access) -> (MountFlags, &'static CStr) {
    match access {
        // data=journal: a file that was written and synced is whole after a power cut, whatever the writer did.
        Access::Rw => (MountFlags::empty(), c"data=journal,errors=remount-ro"),
        Access::Ro => (MountFlags::RDONLY, c"errors=continue"),
        Access::RoNoLoad => (MountFlags::RDONLY, c"errors=continue,noload"),
    }
}

fn probe(root: &Path) -> io::Result<()> {
    let path = root.join(PROBE);
    let mut file = File::create(&path)?;
    let written = file.write_all(b"probe");
    let removed = fs::remove_file(&path);
    written.and(removed)
}

fn write_template(device: &Path) -> Result<(), Refused> {
    let shown = device.display();
    let mut from = File::open(TEMPLATE).map_err(Refused::to(format!("open {TEMPLATE}")))?;
    let mut to = OpenOptions::new()
        .write(true)
        .open(device)
        .map_err(Refused::to(format!("open {shown}")))?;
    copy_head_last(&mut from, &mut to, File::sync_all).map_err(Refused::to(format!("write {shown}")))
}

/// Copies everything behind the superblock, flushes, then the head.
fn copy_head_last<F, T>(from: &mut F, to: &mut T, sync: impl Fn(&T) -> io::Result<()>) -> io::Result<()>
where
    F: Read + Seek,
    T: Write + Seek,
{
    to.write_all(&[0; SUPERBLOCK_END as usize])?;
    from.seek(SeekFrom::Start(SUPERBLOCK_END))?;
    io::copy(from, to)?;
    sync(to)?;
    from.seek(SeekFrom::Start(0))?;
    to.seek(SeekFrom::Start(0))?;
    io::copy(&mut from.take(SUPERBLOCK_END), to)?;
    sync(to)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io::Cursor;

    use super::*;

    #[test]
    fn the_superblock_is_written_last() {
        let template: Vec<u8> = (0..20_000u32).map(|n| (n % 251) as u8).collect();
        let mut disk = Cursor::new(vec![0xff; 30_000]);
        let states = RefCell::new(Vec::new());
        let sync = |disk: &Cursor<Vec<u8>>| {
            let bytes = disk.get_ref();
            states
                .borrow_mut()
                .push((bytes[1], bytes[19_999] == template[19_999]));
            Ok(())
        };
        copy_head_last(&mut Cursor::new(&template), &mut disk, sync).unwrap();
        assert_eq!(disk.get_ref()[..20_000], template);
        assert_eq!(disk.get_ref()[20_000], 0xff);
        assert_eq!(*states.borrow(), [(0, true), (1, true)]);
    }
}
