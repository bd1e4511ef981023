//! The text of an edit that has not ended, as a file: a lost line, a reboot or a power cut must not cost it. It lies on the config
//! volume beside lb.toml, one for each terminal; where that cannot be written, in memory beside the agent's socket.
//! Must not: be a configuration that anybody uses.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use lb_agent::Store;
use lb_core::config::fingerprint;
use lb_core::files::DRAFT;

use crate::applctl::execute::Context;

const END: &str = ".toml";
/// The first line, before the fingerprint of the lb.toml that the edit began with. It is a comment, so that `config check`
/// reads the file as it is.
const MARK: &str = "# A draft of `config edit` that began with lb.toml ";

#[derive(Debug)]
pub struct Drafts {
    /// The better one first.
    places: Vec<PathBuf>,
    name: String,
}

/// A text that was left behind.
#[derive(Debug, PartialEq, Eq)]
pub struct Draft {
    pub path: PathBuf,
    pub text: Vec<u8>,
    /// Of the lb.toml that it began with.
    pub over: u64,
    pub left: Left,
}

/// How the edit ended whose draft it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// By the answer that keeps a draft.
    OnPurpose,
    /// By a lost line, a reboot or a power cut.
    Unfinished,
    /// It was none: `config put` refused the text because of its faults.
    Refused,
}

impl Left {
    /// What stands behind the fingerprint.
    fn word(self) -> &'static str {
        match self {
            Left::OnPurpose => ", and was kept on purpose",
            Left::Unfinished => "",
            Left::Refused => ", and was refused by `config put`",
        }
    }
}

impl Drafts {
    pub fn new(context: &Context<'_>) -> Drafts {
        let volume = context.places.config_directory().map(Path::to_owned);
        let memory = context.places.socket.parent().map(Path::to_owned);
        Drafts::of(volume.into_iter().chain(memory).collect(), context.who)
    }

    fn of(places: Vec<PathBuf>, who: &str) -> Drafts {
        // `console ttyS0`
        let terminal = who.rsplit(' ').next().unwrap_or(who);
        let word = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let name = format!("{DRAFT}{}{END}", terminal.chars().map(word).collect::<String>());
        Drafts { places, name }
    }

    /// Where it is now, and survives a power cut if that is the config volume; else why it is nowhere.
    pub fn keep(&self, text: &[u8], began_with: &[u8], left: Left) -> Result<PathBuf, String> {
        let mark = format!("{MARK}{:016x}{}\n", fingerprint(began_with), left.word());
        let mut content = mark.into_bytes();
        content.extend_from_slice(text);
        let mut why = "there is no place for it".to_owned();
        for place in &self.places {
            let store = Store::new(place.clone());
            match store.write(&self.name, &content) {
                Ok(()) => return Ok(store.path(&self.name)),
                Err(error) => why = error.to_string(),
            }
        }
        Err(why)
    }

    /// This terminal's own, or else the newest of another one.
    pub fn find(&self) -> Option<Draft> {
        let own = self.places.iter().map(|place| place.join(&self.name));
        own.filter_map(read).next().or_else(|| {
            let mut others: Vec<(SystemTime, PathBuf)> = self.places.iter().flat_map(|p| drafts(p)).collect();
            others.sort();
            others.into_iter().rev().find_map(|(_, path)| read(path))
        })
    }

    /// Nothing of this terminal is left to go on with.
    pub fn forget(&self) {
        for place in &self.places {
            // What cannot be removed is offered again, which does no harm.
            let _ = Store::new(place.clone()).remove(&self.name);
        }
    }
}

impl Draft {
    /// It goes on as this terminal's own, or is not wanted any more.
    pub fn remove(&self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn drafts(place: &Path) -> Vec<(SystemTime, PathBuf)> {
    let entries = fs::read_dir(place).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name.starts_with(DRAFT) && name.ends_with(END)
    });
    ours.filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect()
}

fn read(path: PathBuf) -> Option<Draft> {
    let content = fs::read(&path).ok()?;
    let rest = content.strip_prefix(MARK.as_bytes())?;
    let end = rest.iter().position(|b| *b == b'\n')?;
    let words = std::str::from_utf8(&rest[..end]).ok()?;
    let left = [Left::OnPurpose, Left::Refused, Left::Unfinished]
        .into_iter()
        .find(|left| words.ends_with(left.word()))?;
    let over = u64::from_str_radix(words.strip_suffix(left.word())?, 16).ok()?;
    Some(Draft {
        path,
        text: rest[end + 1..].to_vec(),
        over,
        left,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_is_kept_found_and_forgotten() {
        let volume = tempfile::tempdir().unwrap();
        let memory = tempfile::tempdir().unwrap();
        let places = vec![volume.path().to_owned(), memory.path().to_owned()];
        let drafts = Drafts::of(places.clone(), "console ttyS0");
        assert_eq!(drafts.find(), None);
        let text = b"a\r\n\xff\nlast";
        let path = drafts.keep(text, b"before", Left::Unfinished).unwrap();
        assert_eq!(path, volume.path().join("lb.draft.ttyS0.toml"));
        let found = drafts.find().unwrap();
        assert_eq!((found.text, found.over), (text.to_vec(), fingerprint(b"before")));
        assert_eq!(found.left, Left::Unfinished);
        // It is offered at another terminal as well, which has none of its own.
        let other = Drafts::of(places.clone(), "console pts/3");
        assert_eq!(other.find().unwrap().path, path);
        other.keep(b"other", b"", Left::OnPurpose).unwrap();
        let kept = other.find().unwrap();
        assert_eq!((&kept.text[..], kept.left), (&b"other"[..], Left::OnPurpose));
        other.keep(b"faulty", b"before", Left::Refused).unwrap();
        let kept = other.find().unwrap();
        assert_eq!((kept.left, kept.over), (Left::Refused, fingerprint(b"before")));
        other.forget();
        drafts.forget();
        assert_eq!(drafts.find(), None);
        // No file of ours.
        fs::write(volume.path().join("lb.draft.x.toml"), "hostname = 1\n").unwrap();
        assert_eq!(drafts.find(), None);
    }

    #[test]
    fn memory_is_better_than_nothing() {
        let memory = tempfile::tempdir().unwrap();
        let places = vec![memory.path().join("gone"), memory.path().to_owned()];
        let drafts = Drafts::of(places, "program");
        let path = drafts.keep(b"x", b"", Left::Unfinished).unwrap();
        assert_eq!(path, memory.path().join("lb.draft.program.toml"));
        let nowhere = Drafts::of(vec![memory.path().join("gone")], "program");
        assert!(
            nowhere
                .keep(b"x", b"", Left::Unfinished)
                .unwrap_err()
                .contains("cannot write")
        );
    }
}
