//! Kernel settings below /proc/sys, by path (`net/ipv4/ip_forward`), those of devices below /sys
//! (`class/net/eth0/queues/rx-0/rps_cpus`), and the host's name.
//! Must not: know what any of them means.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Component, Path, PathBuf};

use lb_core::ports::KernelFault;

use crate::fault;

const ROOT: &str = "/proc/sys";
/// Ends of names (Documentation/networking/ip-sysctl.rst).
const SECRETS: [&str; 3] = ["fastopen_key", "rss_key", "stable_secret"];
/// For names that begin with the second.
const DEVICES: (&str, &str) = ("/sys", "class/");

/// `None`: the kernel has no such setting. Tabs and line ends between values read as single spaces.
pub(crate) fn read(name: &str) -> Result<Option<String>, KernelFault> {
    match fs::read_to_string(path(name)?) {
        Ok(text) => Ok(Some(text.split_whitespace().collect::<Vec<_>>().join(" "))),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(fault::from_io(&e)),
    }
}

/// All settings of the network, by path, but for those that are secrets (keys of cookies and of addresses).
pub fn network_settings() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    below(Path::new("net"), &mut found);
    found
}

/// What cannot be read (some can only be written) is left out.
fn below(directory: &Path, found: &mut BTreeMap<String, String>) {
    let Ok(entries) = fs::read_dir(Path::new(ROOT).join(directory)) else {
        return;
    };
    for entry in entries.flatten() {
        let inner = directory.join(entry.file_name());
        match (entry.file_type(), inner.to_str()) {
            (Ok(kind), _) if kind.is_dir() => below(&inner, found),
            (Ok(_), Some(name)) if !SECRETS.iter().any(|secret| name.ends_with(secret)) => {
                if let Ok(Some(value)) = read(name) {
                    found.insert(name.to_owned(), value);
                }
            }
            _ => {}
        }
    }
}

/// The kernel takes a value in one write.
pub(crate) fn write(name: &str, value: &str) -> Result<(), KernelFault> {
    let path = path(name)?;
    OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(value.as_bytes()))
        .map_err(|e| fault::from_io(&e))
}

fn path(name: &str) -> Result<PathBuf, KernelFault> {
    let plain = Path::new(name)
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if name.is_empty() || !plain || name.contains('*') {
        return Err(fault::plain("not a path below /proc/sys or /sys"));
    }
    let (devices, begin) = DEVICES;
    let root = if name.starts_with(begin) { devices } else { ROOT };
    Ok(Path::new(root).join(name))
}

pub(crate) fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

pub(crate) fn set_hostname(name: &str) -> Result<(), KernelFault> {
    rustix::system::sethostname(name.as_bytes()).map_err(|e| fault::from_errno(e.raw_os_error(), None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_missing_ones_are_none() {
        let ports = read("net/ipv4/ip_local_port_range").unwrap().unwrap();
        assert_eq!(ports.split(' ').count(), 2, "{ports:?}");
        assert_eq!(read("net/ipv4/no_such_setting"), Ok(None));
        assert_eq!(
            write("net/ipv4/no_such_setting", "1").unwrap_err().errno,
            Some(libc::ENOENT)
        );
    }

    #[test]
    fn settings_of_the_network_are_listed_without_secrets() {
        let settings = network_settings();
        assert!(settings.contains_key("net/ipv4/ip_forward"));
        assert!(settings.len() > 100, "{}", settings.len());
        let secret = |name: &&String| name.ends_with("_key") || name.ends_with("_secret");
        let secrets: Vec<_> = settings.keys().filter(secret).collect();
        assert!(secrets.is_empty(), "{secrets:?}");
    }

    #[test]
    fn names_stay_below_the_root_and_mean_one_setting() {
        for name in [
            "",
            "/etc/passwd",
            "../../etc/passwd",
            "net/../../x",
            "class/../../x",
            "net/ipv4/conf/*/rp_filter",
        ] {
            assert!(read(name).is_err(), "{name}");
            assert!(write(name, "0").is_err(), "{name}");
        }
    }

    #[test]
    fn the_host_has_a_name() {
        assert_eq!(Some(hostname()), read("kernel/hostname").unwrap());
    }
}
