//! Grows a mounted ext4 file system to its device's size, so that a small template fits every partition.
//! Must not: mount, check or make file systems.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::Path;

use lb_core::ports::{KernelError, KernelFault};
use rustix::ioctl::{Setter, opcode};

use crate::fault;

/// fs/ext4/ext4.h: EXT4_IOC_RESIZE_FS, _IOW('f', 16, __u64): the new number of blocks.
const EXT4_IOC_RESIZE_FS: rustix::ioctl::Opcode = opcode::write::<u64>(b'f', 16);

/// `device` holds the file system that is mounted at `mountpoint`. Nothing happens if it is as large already.
pub fn grow(device: &Path, mountpoint: &Path) -> Result<(), KernelError> {
    resize(device, mountpoint).map_err(|fault| {
        let action = format!(
            "grow {} to the size of {}",
            mountpoint.display(),
            device.display()
        );
        fault::during(action, fault)
    })
}

fn resize(device: &Path, mountpoint: &Path) -> Result<(), KernelFault> {
    let io = |e: io::Error| fault::from_io(&e);
    let bytes = File::open(device)
        .and_then(|mut file| file.seek(SeekFrom::End(0)))
        .map_err(io)?;
    let root = File::open(mountpoint).map_err(io)?;
    let errno = |e: rustix::io::Errno| fault::from_errno(e.raw_os_error(), None);
    let block_size = rustix::fs::fstatfs(&root).map_err(errno)?.f_bsize;
    let blocks = u64::try_from(block_size)
        .ok()
        .and_then(|size| bytes.checked_div(size))
        .ok_or_else(|| fault::plain("a file system without a block size"))?;
    // SAFETY: the request reads one u64 by its pointer, which `Setter` holds; other file systems answer ENOTTY.
    unsafe { rustix::ioctl::ioctl(&root, Setter::<EXT4_IOC_RESIZE_FS, u64>::new(blocks)) }.map_err(errno)
}
