//! The disk's part of QEMU's command line. Must not: know what lies on the disk.

use super::VmOptions;

/// `write_log` takes every write and flush of the guest, in the format of Linux' dm-log-writes.
pub fn arguments(options: &VmOptions) -> Vec<String> {
    let disk = options.disk.display();
    let mut words = Vec::new();
    let mut add = |option: &str, value: String| words.extend([option.to_owned(), value]);
    match &options.write_log {
        None => {
            let read_only = if options.read_only { "on" } else { "off" };
            add(
                "-drive",
                format!("if=none,id=disk,format=raw,file={disk},readonly={read_only}"),
            );
        }
        Some(log) => {
            add("-blockdev", format!("driver=file,node-name=bare,filename={disk}"));
            add(
                "-blockdev",
                format!("driver=file,node-name=log,filename={}", log.display()),
            );
            add(
                "-blockdev",
                "driver=blklogwrites,node-name=disk,file=bare,log=log,log-sector-size=512".to_owned(),
            );
        }
    }
    add("-device", "virtio-blk-pci,drive=disk,bootindex=1".to_owned());
    words
}
