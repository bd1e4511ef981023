//! The history of configurations as it lies on the config volume: one file for each, of which the first line says what it is, and
//! the rest is the text as it was applied. Must not: read or write files.

use sha2::{Digest, Sha256};

use crate::control::HistoryEntry;

/// Beside lb.toml.
pub const DIRECTORY: &str = "history";
/// No first line is longer: a comment, and how the text was made, have 200 characters at most, of 6 bytes in JSON.
pub const LINE_BYTES: u64 = 4 << 10;
/// What stands before the entry's data, in a comment of TOML: the file as a whole can be pasted.
const MARK: &str = "# history ";

pub fn file_name(number: u64) -> String {
    format!("{number:06}.toml")
}

/// The number of the entry that a file of the directory is.
pub fn number_of(file_name: &str) -> Option<u64> {
    let digits = file_name.strip_suffix(".toml")?;
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

pub fn first_line(entry: &HistoryEntry) -> String {
    // A report always has a JSON form, of one line.
    format!("{MARK}{}\n", serde_json::to_string(entry).unwrap_or_default())
}

pub fn read_first_line(line: &[u8]) -> Result<HistoryEntry, String> {
    let data = line
        .strip_prefix(MARK.as_bytes())
        .filter(|_| line.ends_with(b"\n"));
    let data = data.ok_or("its first line is none of the history's")?;
    serde_json::from_slice(data).map_err(|error| format!("its first line is damaged: {error}"))
}

/// As an entry has it.
pub fn sha256(text: &[u8]) -> String {
    hexadecimal(&Sha256::digest(text))
}

pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What somebody means by "the previous configuration": the newest entry with another text than the present one. `entries` are the newest first,
/// `present` is what lb.toml has; if that was never in force, a start uses the newest entry, and its text is the present one.
pub fn previous<'e>(entries: &'e [HistoryEntry], present: Option<&str>) -> Option<&'e HistoryEntry> {
    let newest = entries.first()?;
    let present = present
        .filter(|present| entries.iter().any(|entry| entry.sha256 == *present))
        .unwrap_or(&newest.sha256);
    entries.iter().find(|entry| entry.sha256 != present)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u64, text: &str) -> HistoryEntry {
        HistoryEntry {
            number,
            unix_s: 1_795_471_104,
            by: "console ttyS0".to_owned(),
            why: "a \"reason\"\nof two lines".to_owned(),
            sha256: sha256(text.as_bytes()),
            bytes: text.len() as u64,
            in_force: false,
        }
    }

    #[test]
    fn a_first_line_is_read_as_it_was_written() {
        let entry = entry(7, "text");
        let line = first_line(&entry);
        assert_eq!(line.lines().count(), 1);
        assert_eq!(read_first_line(line.as_bytes()), Ok(entry));
        assert!(read_first_line(line.trim_end().as_bytes()).is_err());
        assert!(
            read_first_line(b"# history {}\n")
                .unwrap_err()
                .contains("damaged")
        );
        for number in [1, 999_999, 1_000_000] {
            assert_eq!(number_of(&file_name(number)), Some(number));
        }
        assert_eq!(number_of("+1.toml"), None);
    }

    #[test]
    fn the_previous_one_is_the_newest_with_another_text() {
        let entries = [entry(4, "b"), entry(3, "b"), entry(2, "a"), entry(1, "b")];
        let number = |present: Option<&str>| {
            let present = present.map(|text| sha256(text.as_bytes()));
            previous(&entries, present.as_deref()).map(|entry| entry.number)
        };
        assert_eq!(number(Some("b")), Some(2));
        // lb.toml was put back to an older one before.
        assert_eq!(number(Some("a")), Some(4));
        // It has faults, or is not there: the newest entry is what would be used.
        assert_eq!(number(Some("never applied")), Some(2));
        assert_eq!(number(None), Some(2));
        assert_eq!(previous(&entries[..2], None), None);
        assert_eq!(previous(&[], None), None);
    }
}
