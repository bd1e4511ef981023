//! A machine whose programs ask the disk in vain: of every call that brings something to the disk the kernel says that it is
//! done, and does nothing. The programs are the product's, unchanged; they inherit the filter. What the kernel does by itself
//! (commits of the journal every five seconds, what an unmount writes) it goes on doing.
//! Must not: be undone. The product opens no file with O_SYNC or O_DSYNC; such a call could not be answered without its effect.

use std::collections::BTreeMap;
use std::io;

use nix::libc;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter};

/// The word on the kernel's command line, which hands it to its first process.
pub const WORD: &str = "without-sync";

const CALLS: [libc::c_long; 6] = [
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_sync,
    libc::SYS_syncfs,
    libc::SYS_sync_file_range,
    libc::SYS_msync,
];

/// For this process, and for what it becomes and starts.
pub fn ignore_syncs() -> io::Result<()> {
    let rules: BTreeMap<_, _> = CALLS.into_iter().map(|call| (call, Vec::new())).collect();
    let done = SeccompAction::Errno(0);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, done, TargetArch::x86_64);
    let program: BpfProgram = filter.and_then(TryInto::try_into).map_err(io::Error::other)?;
    apply_filter(&program).map_err(io::Error::other)
}
