//! Debian's keepalived, haproxy, ipvsadm and iptables with what they need, downloaded and unpacked below build/, never installed; and the shared objects
//! that one of its programs loads. Downloading needs the machine's own network, so it happens outside of the cage.
//! Must not: run anything that it unpacked.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use goblin::elf::Elf;
use lb_lab::{LabError, command};

use crate::{BenchError, Result, io};

/// What the reference is made of; its libraries follow from the packages' dependencies.
pub const PACKAGES: [&str; 6] = [
    "keepalived",
    "nftables",
    "busybox-static",
    "haproxy",
    "ipvsadm",
    "iptables",
];
/// Where Debian's packages put shared objects.
const LIBRARY_DIRECTORIES: [&str; 2] = ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"];
/// The versions of [`PACKAGES`] that were unpacked, one `NAME VERSION` a line.
const VERSIONS: &str = "VERSIONS";

/// The unpacked packages.
#[derive(Debug, Clone)]
pub struct Packages {
    pub root: PathBuf,
}

impl Packages {
    /// Downloads and unpacks once; later calls find what is there.
    pub fn unpack(directory: &Path) -> Result<Packages> {
        let root = directory.join("packages");
        let found = Packages { root: root.clone() };
        if PACKAGES.iter().all(|package| found.version(package).is_ok()) {
            return Ok(found);
        }
        let (downloads, fresh) = (directory.join("downloads"), directory.join("packages.new"));
        for path in [&downloads, &fresh] {
            let _ = fs::remove_dir_all(path);
            fs::create_dir_all(path).map_err(io("create", path))?;
        }
        download(&with_libraries()?, &downloads)?;
        let mut versions = String::new();
        for entry in fs::read_dir(&downloads).map_err(io("list", &downloads))? {
            let file = entry.map_err(io("list", &downloads))?.path();
            let file = file.to_string_lossy();
            command::run(&["dpkg-deb", "-x", &file, &fresh.to_string_lossy()])?;
            let named = command::run(&["dpkg-deb", "-W", "--showformat=${Package} ${Version}\n", &file])?;
            if PACKAGES.contains(&named.split(' ').next().unwrap_or_default()) {
                versions.push_str(&named);
            }
        }
        let list = fresh.join(VERSIONS);
        fs::write(&list, versions).map_err(io("write", &list))?;
        let _ = fs::remove_dir_all(&root);
        fs::rename(&fresh, &root).map_err(io("rename", &fresh))?;
        fs::remove_dir_all(&downloads).map_err(io("remove", &downloads))?;
        Ok(Packages { root })
    }

    /// Debian's version of one of [`PACKAGES`].
    pub fn version(&self, package: &str) -> Result<String> {
        let path = self.root.join(VERSIONS);
        let list = fs::read_to_string(&path).map_err(io("read", &path))?;
        let found = list
            .lines()
            .filter_map(|line| line.split_once(' '))
            .find(|(name, _)| *name == package);
        found
            .map(|(_, version)| version.to_owned())
            .ok_or_else(|| LabError::Unexpected(format!("{} does not name {package}", path.display())).into())
    }

    /// The files that `program` (a path below the root) loads, transitively; the loader itself is not among them.
    pub fn shared_objects(&self, program: &str) -> Result<BTreeSet<PathBuf>> {
        let mut found = BTreeSet::new();
        let mut unread = vec![self.root.join(program)];
        while let Some(file) = unread.pop() {
            for name in needed(&file)? {
                let object = self.library(&name).ok_or_else(|| BenchError::NoLibrary {
                    name,
                    needed_by: file.clone(),
                })?;
                if found.insert(object.clone()) {
                    unread.push(object);
                }
            }
        }
        Ok(found)
    }

    fn library(&self, name: &str) -> Option<PathBuf> {
        let mut candidates = LIBRARY_DIRECTORIES
            .iter()
            .map(|directory| self.root.join(directory).join(name));
        candidates.find(|path| path.exists())
    }
}

/// The names in DT_NEEDED.
fn needed(file: &Path) -> Result<Vec<String>> {
    let bytes = fs::read(file).map_err(io("read", file))?;
    let elf = Elf::parse(&bytes).map_err(|source| BenchError::NotElf {
        path: file.to_owned(),
        source,
    })?;
    Ok(elf.libraries.iter().map(|name| (*name).to_owned()).collect())
}

/// [`PACKAGES`] and every package with libraries that they depend on.
fn with_libraries() -> Result<Vec<String>> {
    let mut query = vec!["apt-cache", "depends", "--recurse"];
    query.extend(["--no-recommends", "--no-suggests", "--no-enhances"]);
    query.extend(["--no-conflicts", "--no-breaks", "--no-replaces"]);
    query.extend(PACKAGES);
    Ok(library_packages(&command::run(&query)?))
}

/// From `apt-cache depends`: packages stand at the beginning of a line, their relations are indented, virtual ones in `<>`.
fn library_packages(depends: &str) -> Vec<String> {
    let kept = |name: &&str| {
        let library = name.starts_with("lib") || *name == "zlib1g";
        PACKAGES.contains(name) || (library && !name.ends_with("-perl"))
    };
    let names: BTreeSet<&str> = depends.lines().filter(kept).collect();
    names.into_iter().map(String::from).collect()
}

fn download(packages: &[String], directory: &Path) -> Result<()> {
    let done = lb_lab::command::command("apt-get")
        .args(["-qq", "download"])
        .args(packages)
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .map_err(LabError::io("start apt-get (the bench needs Debian)"))?;
    if done.status.success() {
        return Ok(());
    }
    Err(LabError::Missing(format!(
        "the reference's packages cannot be downloaded: {}\nAs root: apt-get update",
        String::from_utf8_lossy(&done.stderr).trim()
    ))
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_kept_and_maintenance_is_not() {
        let depends = "keepalived\n  Depends: libc6\n  Depends: <libnl>\nlibc6\n  Depends: dpkg\ndpkg\n\
                       libtext-glob-perl\nzlib1g\n<libnl>\nlibc6\nnftables\n";
        assert_eq!(
            library_packages(depends),
            ["keepalived", "libc6", "nftables", "zlib1g"]
        );
    }
}
