//! What the password's file said when it could be read last. A disk that does not answer is no damage to the file: what was known still counts, so that neither a
//! console opens by that nor its owner is locked out. Must not: read files.

use std::io;

use super::password::{FILE, Stored};

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

    /// What counts after this reading; and what is to be told, once, when the reading failed. What could never be read is taken for damaged.
    pub fn take(&mut self, read: io::Result<Option<Vec<u8>>>) -> (Stored, Option<String>) {
        match (read, &self.last) {
            (Err(error), Some(last)) => {
                let is_new = !std::mem::replace(&mut self.failing, true);
                let told = format!("{FILE} cannot be read ({error}); what it said before still counts");
                (last.clone(), is_new.then_some(told))
            }
            (Err(error), None) => (Stored::of(Err(error)), None),
            (read, _) => {
                self.failing = false;
                let stored = Stored::of(read);
                self.last = Some(stored.clone());
                (stored, None)
            }
        }
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
        let (stored, told) = known.take(broken());
        assert!(
            matches!(stored, Stored::Damaged(_)) && told.is_none(),
            "fails closed"
        );
        let record = Record::new(b"secret", [1; SALT_BYTES], Duration::from_mins(1));
        let set = Stored::Set(record.clone());
        assert_eq!(
            known.take(Ok(Some(record.text().into_bytes()))),
            (set.clone(), None)
        );
        let (stored, told) = known.take(broken());
        assert_eq!(stored, set);
        assert!(told.unwrap().starts_with("console.password cannot be read ("));
        assert_eq!(known.take(broken()), (set, None), "it is told once");
        assert_eq!(known.take(Ok(None)), (Stored::None, None));
        let (stored, told) = known.take(broken());
        assert!(stored == Stored::None && told.is_some());
        assert!(matches!(
            known.take(Ok(Some(b"x".to_vec()))).0,
            Stored::Damaged(_)
        ));
    }
}
