//! The inputs that damaged ones are made of: files of tests/configs, and those of corpus/TARGET.
//! Must not: judge them.

use std::path::Path;
use std::{fs, io};

pub type Entries = Vec<Vec<u8>>;

/// The files of a directory below tests/configs whose names end so.
pub fn configs(directory: &str, extension: &str) -> io::Result<Entries> {
    lb_configs::files(directory, extension)?
        .iter()
        .map(fs::read)
        .collect()
}

/// The files of corpus/TARGET, if there are any.
pub fn own(target: &str) -> io::Result<Entries> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    if directory.is_dir() {
        files(&directory)
    } else {
        Ok(Entries::new())
    }
}

/// Sorted by name: a run is its seed.
fn files(directory: &Path) -> io::Result<Entries> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory)? {
        paths.push(entry?.path());
    }
    paths.retain(|path| path.is_file());
    paths.sort();
    paths.iter().map(fs::read).collect()
}

/// Each line as an entry.
pub fn lines(entries: &Entries) -> Entries {
    let lines = entries
        .iter()
        .flat_map(|entry| entry.split(|byte| *byte == b'\n'));
    lines
        .filter(|line| !line.is_empty())
        .map(<[u8]>::to_vec)
        .collect()
}
