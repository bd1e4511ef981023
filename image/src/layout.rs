//! Where everything lies on the disk, and every identity that is fixed: sizes, partition labels, UUIDs, volume ids, the
//! kernel's command line. Pure; the one place for these constants. Must not: read or write anything.

use std::fmt;
use std::str::FromStr;

use uuid::{Uuid, uuid};

pub const SECTOR: u64 = 512;
pub const MIB: u64 = 1 << 20;

/// The whole disk. A bigger virtual disk is fine; nothing lies behind the backup GPT of this size.
pub const DISK_SIZE: u64 = 240 * MIB;
pub const DISK_UUID: Uuid = uuid!("9a7bf9f2-25c4-4a27-a3f5-6a0f9dd0b1c6");

/// One timestamp for all that carries one (2026-01-01T00:00:00Z), so that an image depends on its content alone.
pub const BUILD_TIME: u32 = 1_767_225_600;

/// FAT volume ids: GRUB finds the disk by them.
pub const BOOTCTL_VOLUME_ID: u32 = 0x4c42_0c71;
pub const ESP_VOLUME_ID: u32 = 0x4c42_0e5b;

/// Identity of the ext4 on the config partition, and of the template that init writes there when it must start anew.
pub const CONFIG_FS_UUID: Uuid = uuid!("d2a1a4f3-3f0b-4c5e-9c3e-6b1d0a52c9e8");
pub const CONFIG_HASH_SEED: Uuid = uuid!("5b0c8e86-1f65-4d0d-8a43-94cf8bd3f9a1");
pub const CONFIG_LABEL: &str = "config";
pub const CONFIG_TEMPLATE_SIZE: u64 = 8 * MIB;

const TYPE_BIOS_BOOT: Uuid = uuid!("21686148-6449-6e6f-744e-656564454649");
const TYPE_ESP: Uuid = uuid!("c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
/// "Linux filesystem data": no meaning that makes another system mount or wipe the partition by itself.
const TYPE_LINUX: Uuid = uuid!("0fc63daf-8483-4772-8e79-3d69d8477de4");

/// One entry of the GPT. `start` and `size` are bytes, multiples of 1 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    pub number: u32,
    /// The PARTLABEL.
    pub label: &'static str,
    pub start: u64,
    pub size: u64,
    pub kind: Uuid,
    /// The PARTUUID.
    pub uuid: Uuid,
}

impl Partition {
    pub const fn first_lba(&self) -> u64 {
        self.start / SECTOR
    }

    pub const fn last_lba(&self) -> u64 {
        (self.start + self.size) / SECTOR - 1
    }
}

/// GRUB's core.img for BIOS.
pub const BIOS: Partition = Partition {
    number: 1,
    label: "bios",
    start: MIB,
    size: MIB,
    kind: TYPE_BIOS_BOOT,
    uuid: uuid!("1c2f1a0a-7c5e-4d0e-8a5b-0b5a1f0f6d01"),
};
/// EFI system partition: FAT32 needs at least 65,525 clusters, hence its size.
pub const ESP: Partition = Partition {
    number: 2,
    label: "esp",
    start: 2 * MIB,
    size: 36 * MIB,
    kind: TYPE_ESP,
    uuid: uuid!("6f5d0e53-70b6-4b3c-9d55-3f1c6a7e2d02"),
};
/// Boot selection, mirrors of the configuration, flight recorder.
pub const BOOTCTL: Partition = Partition {
    number: 3,
    label: "bootctl",
    start: 38 * MIB,
    size: MIB,
    kind: TYPE_LINUX,
    uuid: uuid!("0b9e6c1d-4a3f-4f67-b0d2-8d7e5c4b3a03"),
};
pub const SLOT_A: Partition = Partition {
    number: 4,
    label: "slot-a",
    start: 39 * MIB,
    size: 64 * MIB,
    kind: TYPE_LINUX,
    uuid: uuid!("a3c81e7b-52d9-4c06-91fe-2e6d7b8c9a04"),
};
pub const SLOT_B: Partition = Partition {
    number: 5,
    label: "slot-b",
    start: 103 * MIB,
    size: 64 * MIB,
    kind: TYPE_LINUX,
    uuid: uuid!("b4d92f8c-63ea-4d17-a20f-3f7e8c9dab05"),
};
pub const CONFIG: Partition = Partition {
    number: 6,
    label: CONFIG_LABEL,
    start: 167 * MIB,
    size: 64 * MIB,
    kind: TYPE_LINUX,
    uuid: uuid!("c5ea309d-74fb-4e28-b310-408f9daebc06"),
};

pub const PARTITIONS: [Partition; 6] = [BIOS, ESP, BOOTCTL, SLOT_A, SLOT_B, CONFIG];

/// The end of a slot is kept for the hash tree and the signed manifest of an update; the squashfs must leave it free.
pub const SLOT_RESERVE: u64 = MIB;

/// One of the two places for a system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slot {
    A,
    B,
}

impl Slot {
    pub const fn partition(self) -> Partition {
        match self {
            Slot::A => SLOT_A,
            Slot::B => SLOT_B,
        }
    }

    /// As OS.ENV and the command line write it.
    pub const fn letter(self) -> &'static str {
        match self {
            Slot::A => "a",
            Slot::B => "b",
        }
    }

    pub const fn other(self) -> Slot {
        match self {
            Slot::A => Slot::B,
            Slot::B => Slot::A,
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.letter())
    }
}

/// What was given is neither slot.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a slot; the slots are a and b")]
pub struct NotASlot(pub String);

impl FromStr for Slot {
    type Err = NotASlot;

    fn from_str(text: &str) -> Result<Slot, NotASlot> {
        match text {
            "a" => Ok(Slot::A),
            "b" => Ok(Slot::B),
            other => Err(NotASlot(other.to_owned())),
        }
    }
}

/// The kernel's command line for a slot: GRUB's, and that of every direct kernel boot.
/// `rootwait` has a limit: NVMe and USB disks appear late, but a missing one must end in the panic that reboots.
/// `rcu_expedited`: a transaction of nf_tables and a link that comes up wait for RCU, 20 to 30 ms each; see decision 7.
pub fn kernel_command_line(slot: Slot) -> String {
    format!(
        "root=PARTUUID={} rootfstype=squashfs ro rootwait=10 init=/sbin/init console=tty0 console=ttyS0,115200 \
         panic=5 oops=panic printk.devkmsg=on log_buf_len=1M quiet loglevel=3 bonding.max_bonds=0 dummy.numdummies=0 \
         rcupdate.rcu_expedited=1 virtio_net.napi_tx=0 lb.slot={slot}",
        slot.partition().uuid
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_aligned_in_order_and_do_not_touch_the_tables() {
        let mut end = MIB;
        for (index, partition) in PARTITIONS.iter().enumerate() {
            assert_eq!(partition.number as usize, index + 1);
            assert_eq!(partition.start % MIB, 0, "{}", partition.label);
            assert_eq!(partition.size % MIB, 0, "{}", partition.label);
            assert!(partition.start >= end, "{} overlaps", partition.label);
            end = partition.start + partition.size;
        }
        assert!(end + MIB <= DISK_SIZE);
    }

    #[test]
    fn every_identity_is_used_once() {
        let mut seen: Vec<Uuid> = PARTITIONS.iter().map(|p| p.uuid).collect();
        seen.extend([DISK_UUID, CONFIG_FS_UUID, CONFIG_HASH_SEED]);
        let total = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), total);
    }

    #[test]
    fn the_command_line_names_its_slot_twice_and_fits_the_kernel() {
        for slot in [Slot::A, Slot::B] {
            let line = kernel_command_line(slot);
            assert!(line.contains(&format!("root=PARTUUID={} ", slot.partition().uuid)));
            assert!(line.ends_with(&format!(" lb.slot={slot}")));
            assert!(!line.contains("  "));
            assert!(line.len() < 2048, "COMMAND_LINE_SIZE of x86");
        }
    }

    #[test]
    fn a_slot_is_parsed_or_refused() {
        assert_eq!("b".parse(), Ok(Slot::B));
        assert_eq!("A".parse::<Slot>(), Err(NotASlot("A".into())));
    }
}
