//! A file that is written whole or not at all: whatever happens, the old one or the new one is there. Must not: choose its place.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Behind it the content is on the disk. `beside`: where it is until it is whole, in the same directory.
pub fn write(path: &Path, beside: &Path, content: &[u8]) -> io::Result<()> {
    let whole = || {
        let mut file = File::create(beside)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(beside, path)?;
        File::open(path.parent().unwrap_or(path))?.sync_all()
    };
    whole().inspect_err(|_| {
        // What is left of it would only take the room.
        let _ = fs::remove_file(beside);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_put_whole_or_not_at_all() {
        let root = tempfile::tempdir().unwrap();
        let beside = root.path().join("unfinished");
        let put = |name: &str, text: &str| write(&root.path().join(name), &beside, text.as_bytes());
        for text in ["first", "second"] {
            put("lb.export", text).unwrap();
            assert_eq!(fs::read_to_string(root.path().join("lb.export")).unwrap(), text);
        }
        // A directory has its name.
        fs::create_dir_all(root.path().join("lb.tar/x")).unwrap();
        put("lb.tar", "third").unwrap_err();
        let mut left: Vec<_> = fs::read_dir(root.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["lb.export", "lb.tar"]);
    }
}
