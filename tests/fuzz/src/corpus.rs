//! The inputs that damaged ones are made of: files of tests/configs, and those of corpus/TARGET.
//! Must not: judge them.

use std::path::{Path, PathBuf};
use std::{fs, io};

pub type Entries = Vec<Vec<u8>>;

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The files of a directory below tests/configs whose names end so.
pub fn configs(directory: &str, extension: &str) -> io::Result<Entries> {
    files(&tests().join("configs").join(directory), Some(extension))
}

/// The files of corpus/TARGET, if there are any.
pub fn own(target: &str) -> io::Result<Entries> {
    let directory = tests().join("fuzz/corpus").join(target);
    if directory.is_dir() {
        files(&directory, None)
    } else {
        Ok(Entries::new())
    }
}

/// Sorted by name: a run is its seed.
fn files(directory: &Path, extension: Option<&str>) -> io::Result<Entries> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory)? {
        paths.push(entry?.path());
    }
    paths.retain(|path| path.is_file());
    paths.retain(|path| extension.is_none_or(|wanted| path.extension().is_some_and(|ext| ext == wanted)));
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
