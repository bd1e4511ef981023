//! The files beside this crate, for every test that reads them: sorted by their names, and each bad one with what is expected of it.
//! Must not: judge them, or use a crate of ours: the tests of any of them may use this one.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// So many bad files there are at least: a test that has found none would prove nothing.
const AT_LEAST: usize = 120;

/// A file that is refused.
#[derive(Debug, Clone)]
pub struct Bad {
    /// Without its ending.
    pub name: String,
    pub text: Vec<u8>,
    /// What is said of it, line by line.
    pub expected: String,
}

/// tests/configs.
pub fn directory() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of `kind`, a directory below tests/configs, that end like this.
pub fn files(kind: &str, extension: &str) -> io::Result<Vec<PathBuf>> {
    let directory = directory().join(kind);
    let mut paths = Vec::new();
    for entry in fs::read_dir(&directory).map_err(|error| told(&directory, &error))? {
        paths.push(entry?.path());
    }
    paths.retain(|path| path.is_file() && path.extension().is_some_and(|known| known == extension));
    paths.sort();
    Ok(paths)
}

pub fn name(path: &Path) -> String {
    path.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

pub fn bad() -> io::Result<Vec<Bad>> {
    let files: Vec<Bad> = files("bad", "toml")?
        .iter()
        .map(|path| {
            let expected = path.with_extension("expected");
            Ok(Bad {
                name: name(path),
                text: fs::read(path).map_err(|error| told(path, &error))?,
                expected: fs::read_to_string(&expected).map_err(|error| told(&expected, &error))?,
            })
        })
        .collect::<io::Result<_>>()?;
    match files.len() {
        AT_LEAST.. => Ok(files),
        few => Err(io::Error::other(format!("only {few} bad files"))),
    }
}

fn told(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
