//! What the build must know of a kernel image. Offsets after Linux, Documentation/arch/x86/boot.rst.
//! Must not: build the kernel; image/kernel/build does.

use std::path::{Path, PathBuf};

use crate::file::{self, FileError};

const HEADER_MAGIC: usize = 0x202;
const VERSION_POINTER: usize = 0x20e;

#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    #[error("{} is not a bzImage: {what}", path.display())]
    NotBzImage { path: PathBuf, what: &'static str },
    #[error(transparent)]
    File(#[from] FileError),
}

/// The version that a bzImage states, for instance `6.12.48-lb`.
pub fn version(path: &Path) -> Result<String, KernelError> {
    let image = file::read(path)?;
    stated_version(&image).map_err(|what| KernelError::NotBzImage {
        path: path.to_owned(),
        what,
    })
}

fn stated_version(image: &[u8]) -> Result<String, &'static str> {
    if image.get(HEADER_MAGIC..HEADER_MAGIC + 4) != Some(b"HdrS") {
        return Err("no HdrS at 0x202");
    }
    let pointer = image
        .get(VERSION_POINTER..VERSION_POINTER + 2)
        .ok_or("it ends early")?;
    let start = 0x200 + usize::from(u16::from_le_bytes([pointer[0], pointer[1]]));
    let text = image.get(start..).ok_or("its version lies outside")?;
    let word: Vec<u8> = text
        .iter()
        .copied()
        .take(64)
        .take_while(u8::is_ascii_graphic)
        .collect();
    String::from_utf8(word)
        .ok()
        .filter(|version| !version.is_empty())
        .ok_or("it states no version")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_first_word_of_the_stated_text() {
        let mut image = vec![0; 0x400];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x100u16.to_le_bytes());
        image[0x300..0x31c].copy_from_slice(b"6.12.1-lb (lb@build) #1 SMP\0");
        assert_eq!(stated_version(&image).unwrap(), "6.12.1-lb");
        assert!(stated_version(&image[..0x200]).is_err());
        image[0x20e..0x210].copy_from_slice(&0xf000u16.to_le_bytes());
        assert!(stated_version(&image).is_err());
    }
}
