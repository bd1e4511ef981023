//! The software bill of materials of a slot, in CycloneDX 1.5: the appliance, its kernel, and the Debian packages that its shared
//! objects come from. Must not: name what is on the disk outside the slot (GRUB), for a slot is replaced without it.

use std::collections::BTreeMap;
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
pub fn document(kernel: &str, objects: &[SharedObject]) -> Result<Vec<u8>, SbomError> {
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
        let bytes = document("6.12.0-lb", &objects).unwrap();
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
    fn a_file_of_no_package_is_an_error() {
        let error = package_of(&std::env::current_exe().unwrap()).unwrap_err();
        assert!(matches!(error, SbomError::NoPackage { .. }), "{error}");
    }
}
