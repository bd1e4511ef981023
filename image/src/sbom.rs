//! The software bill of materials of a slot, in CycloneDX 1.5: the appliance, the crates in it, its kernel, and the Debian packages
//! that its shared objects come from. Must not: name what is on the disk outside the slot (GRUB), for a slot is replaced without it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::closure::SharedObject;
use crate::tool::{Tool, ToolError};

#[derive(Debug, thiserror::Error)]
pub enum SbomError {
    #[error("{} belongs to no Debian package, so its version is unknown", path.display())]
    NoPackage { path: PathBuf },
    #[error(transparent)]
    Tool(#[from] ToolError),
}

/// A crate that is linked into the executable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Crate {
    pub name: String,
    pub version: String,
}

/// The crates in what `cargo tree --prefix none --format '{p}'` prints: `name v1.2.3`, then `(/path)` for those of the workspace,
/// `(proc-macro)` for those that only run at build time, `(*)` for repetitions.
pub fn crates(listing: &str) -> Vec<Crate> {
    let foreign = listing.lines().filter_map(|line| {
        let (name, rest) = line.trim().split_once(" v")?;
        let (version, notes) = rest.split_once(' ').unwrap_or((rest, ""));
        let skipped = notes.contains("(/") || notes.contains("(proc-macro)");
        (!skipped).then(|| Crate {
            name: name.to_owned(),
            version: version.to_owned(),
        })
    });
    let unique: BTreeSet<Crate> = foreign.collect();
    unique.into_iter().collect()
}

/// An installed Debian package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    name: String,
    version: String,
    architecture: String,
    /// The source package and its version: what security advisories name.
    source: String,
}

/// The document's bytes.
pub fn document(kernel: &str, crates: &[Crate], objects: &[SharedObject]) -> Result<Vec<u8>, SbomError> {
    let mut packages: BTreeMap<Package, Vec<&Path>> = BTreeMap::new();
    for object in objects {
        packages
            .entry(package_of(&object.source)?)
            .or_default()
            .push(&object.path);
    }
    let mut components = vec![
        json!({"type": "application", "name": "appliance", "version": env!("CARGO_PKG_VERSION")}),
        json!({"type": "operating-system", "name": "linux", "version": kernel}),
    ];
    components.extend(crates.iter().map(|Crate { name, version }| {
        json!({"type": "library", "name": name, "version": version, "purl": format!("pkg:cargo/{name}@{version}")})
    }));
    components.extend(packages.iter().map(|(package, files)| component(package, files)));
    let document =
        json!({"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": components});
    Ok(format!("{document:#}\n").into_bytes())
}

fn component(package: &Package, files: &[&Path]) -> Value {
    let Package {
        name,
        version,
        architecture,
        source,
    } = package;
    // Package URLs encode '+' and ':' of Debian's versions.
    let encoded = version
        .replace('%', "%25")
        .replace('+', "%2B")
        .replace(':', "%3A");
    let mut properties = vec![json!({"name": "debian:source", "value": source})];
    properties.extend(files.iter().map(|path| json!({"name": "file", "value": path})));
    json!({
        "type": "library",
        "name": name,
        "version": version,
        "purl": format!("pkg:deb/debian/{name}@{encoded}?arch={architecture}"),
        "properties": properties,
    })
}

fn package_of(path: &Path) -> Result<Package, SbomError> {
    // dpkg knows files by the paths in the packages, which may be those from before the merge of /lib into /usr.
    let old = path.strip_prefix("/usr").map(|rest| Path::new("/").join(rest));
    let mut name = None;
    for candidate in old.iter().map(PathBuf::as_path).chain([path]) {
        let output = Tool::new("dpkg-query")
            .arg("-S")
            .path(candidate)
            .accept(&[0, 1])
            .run()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        name = said
            .lines()
            .find_map(|line| line.split_once(": "))
            .map(|(package, _)| package.to_owned());
        if name.is_some() {
            break;
        }
    }
    let name = name.ok_or_else(|| SbomError::NoPackage {
        path: path.to_owned(),
    })?;
    let format = "${Package}\t${Version}\t${Architecture}\t${source:Package} ${source:Version}";
    let output = Tool::new("dpkg-query").args(["-W", "-f", format, &name]).run()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    match said.split('\t').collect::<Vec<_>>()[..] {
        [name, version, architecture, source] => Ok(Package {
            name: name.to_owned(),
            version: version.to_owned(),
            architecture: architecture.to_owned(),
            source: source.to_owned(),
        }),
        _ => Err(SbomError::NoPackage {
            path: path.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::closure::shared_objects;

    #[test]
    fn every_shared_object_is_listed_with_its_package() {
        let objects = shared_objects(&std::env::current_exe().unwrap()).unwrap();
        let bytes = document("6.12.0-lb", &[], &objects).unwrap();
        let document: Value = serde_json::from_slice(&bytes).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        for object in &objects {
            assert!(
                text.contains(object.path.to_str().unwrap()),
                "{}",
                object.path.display()
            );
        }
        let components = document["components"].as_array().unwrap();
        let libc = components
            .iter()
            .find(|component| component["name"] == "libc6")
            .unwrap();
        assert!(
            libc["purl"]
                .as_str()
                .unwrap()
                .starts_with("pkg:deb/debian/libc6@2.")
        );
        assert!(
            libc["properties"][0]["value"]
                .as_str()
                .unwrap()
                .starts_with("glibc 2.")
        );
        assert!(
            components
                .iter()
                .any(|component| component["version"] == "6.12.0-lb")
        );
    }

    #[test]
    fn foreign_crates_are_listed_once_without_what_only_builds() {
        let listing = "appliance v0.1.0 (/src/appliance)\nlog v0.4.35\nserde v1.0.229\nserde_derive v1.0.229 (proc-macro)\n\
                       log v0.4.35\nserde v1.0.229 (*)\n\n";
        let listed: Vec<_> = crates(listing)
            .into_iter()
            .map(|Crate { name, version }| format!("{name} {version}"))
            .collect();
        assert_eq!(listed, ["log 0.4.35", "serde 1.0.229"]);
        let text = String::from_utf8(document("6", &crates(listing), &[]).unwrap()).unwrap();
        assert!(text.contains("\"pkg:cargo/log@0.4.35\""), "{text}");
    }

    #[test]
    fn a_file_of_no_package_is_an_error() {
        let error = package_of(&std::env::current_exe().unwrap()).unwrap_err();
        assert!(matches!(error, SbomError::NoPackage { .. }), "{error}");
    }
}
