//! The shared objects that an executable needs to start: its loader and, transitively, every DT_NEEDED, found in the
//! directories that Debian's loader searches by itself. Must not: run the executable, or copy anything.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use goblin::elf::Elf;

use crate::file::{self, FileError};

/// Built into Debian's ld.so for amd64, in its order; merged into /usr.
const SEARCH: [&str; 2] = ["/usr/lib/x86_64-linux-gnu", "/usr/lib"];

#[derive(Debug, thiserror::Error)]
pub enum ClosureError {
    #[error("{} is not an ELF file", path.display())]
    NotElf {
        path: PathBuf,
        #[source]
        source: goblin::error::Error,
    },
    #[error("{} needs {name}, which is in none of {}", needed_by.display(), SEARCH.join(", "))]
    NotFound { name: String, needed_by: PathBuf },
    #[error("{} sets RPATH or RUNPATH, which the image does not have", path.display())]
    RunPath { path: PathBuf },
    #[error(transparent)]
    File(#[from] FileError),
}

/// One shared object of the image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SharedObject {
    /// Where the loader looks for it, absolute.
    pub path: PathBuf,
    /// The file on this machine, links resolved.
    pub source: PathBuf,
}

/// Everything that `executable` needs besides itself, in the order of its paths.
pub fn shared_objects(executable: &Path) -> Result<Vec<SharedObject>, ClosureError> {
    let (interpreter, needed) = dependencies(executable)?;
    let mut found = BTreeMap::new();
    if let Some(path) = &interpreter {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        found.insert(
            name,
            SharedObject {
                path: path.clone(),
                source: resolve(path)?,
            },
        );
    }
    let mut queue: VecDeque<(String, PathBuf)> =
        needed.into_iter().map(|n| (n, executable.to_owned())).collect();
    while let Some((name, needed_by)) = queue.pop_front() {
        if found.contains_key(&name) {
            continue;
        }
        let Some(path) = SEARCH
            .iter()
            .map(|dir| Path::new(dir).join(&name))
            .find(|path| path.exists())
        else {
            return Err(ClosureError::NotFound { name, needed_by });
        };
        let (_, needed) = dependencies(&path)?;
        queue.extend(needed.into_iter().map(|n| (n, path.clone())));
        found.insert(
            name,
            SharedObject {
                source: resolve(&path)?,
                path,
            },
        );
    }
    let mut objects: Vec<SharedObject> = found.into_values().collect();
    objects.sort();
    Ok(objects)
}

/// The program interpreter and the DT_NEEDED names of an ELF file.
fn dependencies(path: &Path) -> Result<(Option<PathBuf>, Vec<String>), ClosureError> {
    let bytes = file::read(path)?;
    let elf = Elf::parse(&bytes).map_err(|source| ClosureError::NotElf {
        path: path.to_owned(),
        source,
    })?;
    if !elf.rpaths.is_empty() || !elf.runpaths.is_empty() {
        return Err(ClosureError::RunPath {
            path: path.to_owned(),
        });
    }
    let needed = elf.libraries.iter().map(|name| (*name).to_owned()).collect();
    Ok((elf.interpreter.map(PathBuf::from), needed))
}

fn resolve(path: &Path) -> Result<PathBuf, FileError> {
    path.canonicalize().map_err(|source| FileError {
        verb: "find",
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closure_of_this_test_has_loader_and_libc_once() {
        let objects = shared_objects(&std::env::current_exe().unwrap()).unwrap();
        let paths: Vec<_> = objects
            .iter()
            .map(|object| object.path.to_str().unwrap())
            .collect();
        assert!(paths.contains(&"/lib64/ld-linux-x86-64.so.2"), "{paths:?}");
        assert!(
            paths.contains(&"/usr/lib/x86_64-linux-gnu/libc.so.6"),
            "{paths:?}"
        );
        let loaders = paths.iter().filter(|path| path.contains("ld-linux")).count();
        assert_eq!(loaders, 1, "libc needs the loader by name; it is there already");
        assert!(objects.iter().all(|object| object.source.is_file()));
    }

    #[test]
    fn what_is_no_elf_is_named() {
        let error = shared_objects(Path::new("/etc/passwd")).unwrap_err();
        assert_eq!(error.to_string(), "/etc/passwd is not an ELF file");
    }
}
