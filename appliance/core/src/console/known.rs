//! What the password's file said when it could be read last. A disk that does not answer is no damage to the file: what was known still counts, so that neither a
//! console opens by that nor its owner is locked out. Must not: read files.

use std::io;

use super::password::{FILE, Stored};

/// In the runtime directory: what the file said when anybody could read it last, for who starts while it cannot be read.
pub const MEMORY: &str = "console-password-known";

const NO_FILE: &[u8] = b"none\n";
const A_FILE: &[u8] = b"file\n";

#[derive(Debug, Default)]
pub struct Known {
    last: Option<Stored>,
    failing: bool,
}

impl Known {
    pub const fn nothing() -> Known {
        Known {
            last: None,
            failing: false,
        }
    }

    /// What counts after this reading; and what is to be told, once, when the reading failed. `recall` gives the memory of others, as [`remembered`]
    /// has written it. What was never read by anybody locks.
    pub fn take(
        &mut self,
        read: io::Result<Option<Vec<u8>>>,
        recall: impl FnOnce() -> Option<Vec<u8>>,
    ) -> (Stored, Option<String>) {
        let error = match read {
            Ok(file) => {
                self.failing = false;
                let stored = Stored::of(Ok(file));
                return (self.last.insert(stored).clone(), None);
            }
            Err(error) => error,
        };
        let is_new = !std::mem::replace(&mut self.failing, true);
        if self.last.is_none() {
            self.last = recall().and_then(|memory| recalled(&memory));
        }
        let (stored, what) = match &self.last {
            Some(last) => (last.clone(), "what it said before still counts"),
            None => (
                Stored::of(Err(io::Error::from(error.kind()))),
                "what it says is not known, and consoles that start are locked",
            ),
        };
        let told = format!("{FILE} cannot be read ({error}); {what}");
        (stored, is_new.then_some(told))
    }
}

/// What is kept of the file's content; `None`: there is no file.
pub fn remembered(file: Option<&[u8]>) -> Vec<u8> {
    file.map_or_else(|| NO_FILE.to_owned(), |bytes| [A_FILE, bytes].concat())
}

/// `None`: nothing that can be relied on.
pub fn recalled(memory: &[u8]) -> Option<Stored> {
    match memory.strip_prefix(A_FILE) {
        Some(bytes) => Some(Stored::of(Ok(Some(bytes.to_owned())))),
        None => (memory == NO_FILE).then_some(Stored::None),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::console::password::{Record, SALT_BYTES};

    #[test]
    fn what_was_known_counts_while_the_disk_does_not_answer() {
        let broken = || Err(io::Error::from_raw_os_error(5));
        let mut known = Known::default();
        let (stored, told) = known.take(broken(), || None);
        assert!(matches!(stored, Stored::Unreadable(_)), "fails closed");
        assert!(told.unwrap().contains("is not known"));
        let record = Record::new(b"secret", [1; SALT_BYTES], Duration::from_mins(1));
        let set = Stored::Set(record.clone());
        assert_eq!(
            known.take(Ok(Some(record.text().into_bytes())), || None),
            (set.clone(), None)
        );
        let (stored, told) = known.take(broken(), || panic!("it knows by itself"));
        assert_eq!(stored, set);
        assert!(told.unwrap().starts_with("console.password cannot be read ("));
        assert_eq!(known.take(broken(), || None), (set, None), "it is told once");
        assert_eq!(known.take(Ok(None), || None), (Stored::None, None));
        let (stored, told) = known.take(broken(), || None);
        assert!(stored == Stored::None && told.is_some());
        assert!(matches!(
            known.take(Ok(Some(b"x".to_vec())), || None).0,
            Stored::Damaged(_)
        ));
    }

    /// A console that starts while the disk fails.
    #[test]
    fn who_starts_anew_knows_what_others_have_read() {
        let broken = || Err(io::Error::from_raw_os_error(5));
        let record = Record::new(b"secret", [1; SALT_BYTES], Duration::from_mins(1));
        let text = record.text();
        for (file, expected) in [
            (None, Stored::None),
            (Some(text.as_bytes()), Stored::Set(record.clone())),
            (Some(&b""[..]), Stored::Damaged("it is empty".to_owned())),
            // Whatever lies there is no word of ours.
            (
                Some(NO_FILE),
                Stored::Damaged("it does not begin as it should".to_owned()),
            ),
        ] {
            let memory = remembered(file);
            let mut known = Known::default();
            let (stored, told) = known.take(broken(), || Some(memory));
            assert_eq!(stored, expected);
            assert!(told.unwrap().ends_with("what it said before still counts"));
        }
        for memory in [&b""[..], b"none", b"fil", b"none\n\n"] {
            assert_eq!(recalled(memory), None, "{memory:?}");
        }
    }
}
