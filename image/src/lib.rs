//! The disk image of the appliance: its layout, how it is made, and how /config in it is read and written without booting.
//! Needs no root and mounts nothing. Same input, same bytes. Must not: decide anything that the running appliance decides.

pub mod assemble;
pub mod bootctl;
pub mod closure;
pub mod config_volume;
pub mod disk;
pub mod esp;
pub mod ext4;
pub mod fat12;
pub mod file;
pub mod grub;
pub mod kernel;
pub mod layout;
pub mod lock;
pub mod memdisk;
pub mod report;
pub mod rootfs;
pub mod sbom;
pub mod tool;
