//! The memory disk inside GRUB: a tar (POSIX ustar) of one file, the boot configuration, whose bytes depend on that file alone.
//! Must not: know what the file says.

const BLOCK: usize = 512;

/// A tar archive that holds `content` as `path`.
pub fn archive(path: &str, content: &[u8]) -> Vec<u8> {
    let mut bytes = header(path, content.len()).to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes.resize(bytes.len() + 2 * BLOCK, 0); // end of archive
    bytes
}

fn header(path: &str, size: usize) -> [u8; BLOCK] {
    assert!(path.len() < 100, "the name field");
    let mut header = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, path.as_bytes());
    put(100, b"0000444\0"); // mode
    put(108, b"0000000\0"); // uid
    put(116, b"0000000\0"); // gid
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0"); // mtime
    put(148, b"        "); // the checksum counts itself as spaces
    put(156, b"0"); // a regular file
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::Tool;

    #[test]
    fn tar_reads_the_archive() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk.tar");
        std::fs::write(&path, archive("boot/grub/grub.cfg", b"echo hello\n")).unwrap();
        let output = Tool::new("tar")
            .arg("-xOf")
            .path(&path)
            .arg("boot/grub/grub.cfg")
            .run()
            .unwrap();
        assert_eq!(output.stdout, b"echo hello\n");
        let listing = Tool::new("tar").arg("-tf").path(&path).run().unwrap();
        assert_eq!(listing.stdout, b"boot/grub/grub.cfg\n");
    }
}
