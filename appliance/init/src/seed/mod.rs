//! Finds the seed of this machine: QEMU's fw_cfg, the machine's own strings (SMBIOS), or a disk labelled LBSEED, of which the first one counts; and
//! lays it down for the agent. Must not: judge the configuration, or keep the boot waiting for a device that does not answer.

mod disk;
mod label;
mod smbios;

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use lb_core::console::password;
use lb_core::control::INIT_REPORT;
use lb_core::seed::{DIRECTORY, FILES, NOTE, SeedNote, is_plain_name};
use rustix::fs::OFlags;

const CONFIG_FILE: &str = "lb.toml";
const FW_CFG: &str = "firmware/qemu_fw_cfg/by_name/opt";
const SMBIOS: &str = "firmware/dmi/tables/DMI";
/// A disk answers within this, or is left alone.
const LIMIT: Duration = Duration::from_secs(5);
/// Some MB, to a slow stick.
const WRITE_LIMIT: Duration = Duration::from_secs(60);
/// lb.toml may have 8 MiB: one that is longer shows itself to the agent.
const CONFIG_BYTES: u64 = (8 << 20) + 1;
/// A certificate or a key.
const FILE_BYTES: u64 = 1 << 20;
/// Of these; /run is in memory.
const MOST_FILES: usize = 64;
const TABLE_BYTES: u64 = 1 << 20;

/// Names, and contents.
type Files = BTreeMap<String, Vec<u8>>;

/// What was read, and what was left out, one sentence each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    files: Files,
    problems: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    source: String,
    found: Found,
}

impl Seed {
    fn of(source: impl Into<String>, found: Found) -> Seed {
        Seed {
            source: source.into(),
            found,
        }
    }
}

/// Looks for a seed and lays it down. The word for the stage's line, and what the operator must know.
pub fn prepare() -> (&'static str, Vec<String>) {
    let sysfs = Path::new("/sys");
    let found = match from_machine(sysfs) {
        Ok(None) => within(LIMIT, || disk::find(Path::new("/sys"), Path::new("/dev"))),
        other => other,
    };
    let seed = match found {
        Ok(Some(seed)) => seed,
        Ok(None) => return ("none", Vec::new()),
        Err(fault) => return ("not taken", vec![format!("no seed is taken: {fault}")]),
    };
    let source = &seed.source;
    if !seed.found.files.contains_key(CONFIG_FILE) {
        if seed.found.files.keys().all(|name| is_ours(name)) {
            // A disk for what goes the other way.
            return ("none", Vec::new());
        }
        let problem =
            format!("no seed is taken: there is no {CONFIG_FILE} in {source}; put it there and reboot");
        return ("not taken", vec![problem]);
    }
    let runtime = Path::new(INIT_REPORT).parent().unwrap_or(Path::new("/run"));
    let mut problems = seed.found.problems.clone();
    if let Err(error) = lay_down(&seed, &runtime.join(DIRECTORY)) {
        problems.push(format!(
            "no seed is taken: {source} cannot be kept in memory: {error}; give the machine more"
        ));
        return ("not taken", problems);
    }
    ("found", problems)
}

/// What `config export --disk` and `support-bundle --disk` have left there.
fn is_ours(name: &str) -> bool {
    name.eq_ignore_ascii_case(lb_core::export::FILE) || name.to_ascii_lowercase().starts_with("lb-support-")
}

/// A file in the root of the disk labelled LBSEED, for who asks for it at the console. As for a seed, a disk that does not answer is given up.
pub fn file_of_disk(name: &str, most: u64) -> Result<Vec<u8>, String> {
    let name = name.to_owned();
    within(LIMIT, move || {
        disk::file(Path::new("/sys"), Path::new("/dev"), &name, most)
    })
}

/// Which disk that is, if it is one that can be written to.
pub fn disk_to_write() -> Result<String, String> {
    within(LIMIT, || disk::to_write(Path::new("/sys"), Path::new("/dev")))
}

/// Puts a file into the root of that disk, and says which it is. `name`: one of ours, without a directory.
pub fn put_on_disk(name: &str, bytes: Vec<u8>) -> Result<String, String> {
    let name = name.to_owned();
    within(WRITE_LIMIT, move || {
        disk::put(Path::new("/sys"), Path::new("/dev"), &name, &bytes)
    })
}

/// What the hypervisor gives without a disk.
fn from_machine(sysfs: &Path) -> Result<Option<Seed>, String> {
    let opt = sysfs.join(FW_CFG);
    if let Ok(text) = read(&opt.join(CONFIG_FILE).join("raw"), CONFIG_BYTES) {
        let mut found = read_entries(&opt.join("lb"), |entry| entry.join("raw"));
        found.files.insert(CONFIG_FILE.to_owned(), text);
        return Ok(Some(Seed::of("QEMU's fw_cfg (opt/lb.toml)", found)));
    }
    let source = "the machine's SMBIOS strings";
    let table = read(&sysfs.join(SMBIOS), TABLE_BYTES).unwrap_or_default();
    match smbios::configuration(&table) {
        None => Ok(None),
        Some(Err(fault)) => Err(format!("of {source}, {fault}")),
        Some(Ok(text)) => {
            let files = Files::from([(CONFIG_FILE.to_owned(), text)]);
            let problems = Vec::new();
            Ok(Some(Seed::of(source, Found { files, problems })))
        }
    }
}

/// The regular files of a directory that can be of use.
fn read_directory(root: &Path) -> Found {
    read_entries(root, Path::to_owned)
}

/// `content`: where the content of an entry is.
fn read_entries(root: &Path, content: impl Fn(&Path) -> PathBuf) -> Found {
    let mut found = Found::default();
    let mut paths: Vec<_> = fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    for path in paths {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        // FAT and ISO 9660 keep names in capitals at times.
        let name = if name.eq_ignore_ascii_case(CONFIG_FILE) {
            CONFIG_FILE.to_owned()
        } else {
            name
        };
        let (is_config, at) = (name == CONFIG_FILE, content(&path));
        let regular = fs::symlink_metadata(&at).is_ok_and(|data| data.is_file());
        // A configuration that comes with the machine sets no password.
        let is_password = name.eq_ignore_ascii_case(password::FILE);
        if !regular || !is_plain_name(&name) || is_password || (found.files.len() >= MOST_FILES && !is_config)
        {
            continue;
        }
        let most = if is_config { CONFIG_BYTES } else { FILE_BYTES };
        match read(&at, most + 1) {
            Ok(bytes) if bytes.len() as u64 <= most => drop(found.files.insert(name, bytes)),
            Ok(_) => found.problems.push(format!(
                "{name} of the seed is left out: it is longer than {} MiB",
                most >> 20
            )),
            Err(error) => found.problems.push(format!(
                "{name} of the seed is left out: it cannot be read: {error}"
            )),
        }
    }
    found
}

fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    // Whoever opens a FIFO waits for somebody who writes to it.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is no regular file",
        ));
    }
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// For root only: there may be keys among the files. The note comes last.
fn lay_down(seed: &Seed, directory: &Path) -> io::Result<()> {
    let files = directory.join(FILES);
    DirBuilder::new().mode(0o700).recursive(true).create(&files)?;
    for (name, content) in &seed.found.files {
        fs::write(files.join(name), content)?;
    }
    let note = SeedNote {
        source: seed.source.clone(),
    };
    let mut file = File::create(directory.join(NOTE))?;
    io::Write::write_all(&mut file, &serde_json::to_vec(&note)?)
}

/// In a thread of its own, which is left behind if it does not come back.
fn within<T: Send + 'static>(
    limit: Duration,
    find: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let (sender, receiver) = mpsc::channel();
    let run = move || {
        // Whoever waited may have given up.
        let _ = sender.send(find());
    };
    match thread::Builder::new().name("seed".to_owned()).spawn(run) {
        Ok(_) => receiver
            .recv_timeout(limit)
            .unwrap_or_else(|_| Err(format!("the disks did not answer within {} s", limit.as_secs()))),
        Err(error) => Err(format!("a thread for it cannot be started: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fw_cfg_comes_first_and_brings_its_files() {
        let sysfs = tempfile::tempdir().unwrap();
        let opt = sysfs.path().join(FW_CFG);
        assert_eq!(from_machine(sysfs.path()), Ok(None));
        for (name, content) in [("lb.toml", "text"), ("lb/ca.pem", "ca"), ("lb/large", "")] {
            fs::create_dir_all(opt.join(name)).unwrap();
            fs::write(opt.join(name).join("raw"), content).unwrap();
        }
        fs::write(opt.join("lb/large/raw"), vec![0; FILE_BYTES as usize + 1]).unwrap();
        let seed = from_machine(sysfs.path()).unwrap().unwrap();
        assert_eq!(seed.found.files.keys().collect::<Vec<_>>(), ["ca.pem", "lb.toml"]);
        assert_eq!(
            seed.found.problems,
            ["large of the seed is left out: it is longer than 1 MiB"]
        );
        let place = sysfs.path().join("run/seed");
        lay_down(&seed, &place).unwrap();
        assert_eq!(fs::read(place.join(FILES).join("ca.pem")).unwrap(), b"ca");
        let note: SeedNote = serde_json::from_slice(&fs::read(place.join(NOTE)).unwrap()).unwrap();
        assert_eq!(note.source, "QEMU's fw_cfg (opt/lb.toml)");
    }

    #[test]
    fn links_and_strange_names_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("LB.TOML"), "text").unwrap();
        fs::write(dir.path().join("two words"), "no").unwrap();
        fs::write(dir.path().join("CONSOLE.PASSWORD"), "no").unwrap();
        fs::create_dir(dir.path().join("directory")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("ca.pem")).unwrap();
        let found = read_directory(dir.path());
        assert_eq!(
            found.files,
            Files::from([("lb.toml".to_owned(), b"text".to_vec())])
        );
        assert!(found.problems.is_empty());
        assert!(read(&dir.path().join("ca.pem"), 10).is_err());
    }

    #[test]
    fn what_is_no_regular_file_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("lb.export");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        for path in [fifo.as_path(), Path::new("/dev/zero"), dir.path()] {
            let error = read(path, 100).unwrap_err();
            assert_eq!(error.to_string(), "it is no regular file", "{}", path.display());
        }
    }

    #[test]
    fn a_disk_that_does_not_answer_is_given_up() {
        let hang = || {
            thread::sleep(Duration::from_secs(3600));
            Ok(())
        };
        assert!(
            within(Duration::from_millis(50), hang)
                .unwrap_err()
                .contains("did not answer")
        );
    }
}
