//! The cards' own MTUs in a file of the runtime directory: they outlive this process and no boot, after which the cards have them again.
//! Must not: decide what a card is to have.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use lb_core::observed::Observed;
use lb_core::own_mtu::OwnMtus;

const FILE: &str = "own-mtus.json";
/// Of a file of ours: some thousand cards (bytes).
const MOST_BYTES: u64 = 1 << 20;

/// What is remembered, and where.
#[derive(Debug)]
pub struct Remembered {
    pub own: OwnMtus,
    path: PathBuf,
    /// A file that cannot be written is told once.
    told: bool,
}

impl Remembered {
    /// What an agent before this one has left; the sentence says what could not be read.
    pub fn load(runtime: &Path) -> (Remembered, Option<String>) {
        let path = runtime.join(FILE);
        let (own, problem) = match read(&path) {
            Ok(own) => (own, None),
            Err(why) => (
                OwnMtus::default(),
                Some(format!(
                    "{} cannot be read: {why}; until the next boot the MTU that each card has now counts as its own",
                    path.display()
                )),
            ),
        };
        let told = false;
        (Remembered { own, path, told }, problem)
    }

    /// Takes note of cards that are seen for the first time. It is in the file when this returns, and so before anything is set on them.
    /// The sentence says why it is not, once.
    pub fn see(&mut self, observed: &Observed) -> Option<String> {
        if !self.own.see(&observed.links) {
            return None;
        }
        let error = self.write().err()?;
        if std::mem::replace(&mut self.told, true) {
            return None;
        }
        Some(format!(
            "cannot write {}: {error}; if the agent has to start again before the next boot, a card whose `mtu` is taken out of lb.toml keeps it until then",
            self.path.display()
        ))
    }

    /// Replaced whole: a start finds the old file or the new one.
    fn write(&self) -> io::Result<()> {
        let temporary = self.path.with_extension("new");
        fs::write(&temporary, self.own.written())?;
        fs::rename(&temporary, &self.path)
    }
}

fn read(path: &Path) -> Result<OwnMtus, String> {
    let bytes = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(OwnMtus::default()),
        Err(error) => return Err(error.to_string()),
        Ok(data) if data.len() > MOST_BYTES => return Err(format!("it has {} bytes", data.len())),
        Ok(_) => fs::read(path).map_err(|error| error.to_string())?,
    };
    OwnMtus::read(&bytes)
}

#[cfg(test)]
mod tests {
    use lb_core::fake::FakeKernel;
    use lb_core::model::IfName;

    use super::*;

    fn own_of(remembered: &Remembered, kernel: &FakeKernel) -> Option<u32> {
        let eth0: IfName = "eth0".parse().unwrap();
        remembered.own.of(&eth0, &kernel.state.links[&eth0])
    }

    #[test]
    fn the_next_agent_knows_what_this_one_has_seen() {
        let dir = tempfile::tempdir().unwrap();
        let mut kernel = FakeKernel::with_links(&["eth0"]);
        let (mut first, problem) = Remembered::load(dir.path());
        assert_eq!((own_of(&first, &kernel), problem), (None, None));
        assert_eq!(first.see(&kernel.state), None);
        kernel.state.links.values_mut().for_each(|link| link.mtu = 1400);
        let (mut second, problem) = Remembered::load(dir.path());
        assert_eq!((second.see(&kernel.state), problem), (None, None));
        assert_eq!(own_of(&second, &kernel), Some(1500));
        assert!(!dir.path().join("own-mtus.new").exists());
    }

    #[test]
    fn a_damaged_file_is_told_and_the_present_counts() {
        let dir = tempfile::tempdir().unwrap();
        let kernel = FakeKernel::with_links(&["eth0"]);
        let large = vec![b' '; (MOST_BYTES + 1) as usize];
        for damaged in [&b"{\"eth0\":"[..], b"\0\0\0", &large] {
            fs::write(dir.path().join(FILE), damaged).unwrap();
            let (mut remembered, problem) = Remembered::load(dir.path());
            let problem = problem.unwrap();
            assert!(
                problem.contains(FILE) && problem.contains("counts as its own"),
                "{problem}"
            );
            assert_eq!(remembered.see(&kernel.state), None);
            // It is whole again.
            let (again, problem) = Remembered::load(dir.path());
            assert_eq!((own_of(&again, &kernel), problem), (Some(1500), None));
        }
    }

    #[test]
    fn without_a_place_for_it_this_agent_still_knows_and_says_so_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut kernel = FakeKernel::with_links(&["eth0"]);
        let (mut remembered, _) = Remembered::load(&dir.path().join("gone"));
        let said = remembered.see(&kernel.state).unwrap();
        assert!(said.starts_with("cannot write "), "{said}");
        assert_eq!(own_of(&remembered, &kernel), Some(1500));
        let link = kernel.state.links.values_mut().next().unwrap();
        link.index += 1;
        assert_eq!(remembered.see(&kernel.state), None);
    }
}
