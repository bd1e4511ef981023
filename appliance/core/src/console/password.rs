//! The file with the consoles' password: its hash (argon2id, as a PHC string) and the time after which a console locks. A file that cannot be used is told from none: then
//! no password opens a console. Must not: read or write files, or keep a password longer than it is looked at.

use std::io;
use std::time::Duration;

use argon2::password_hash::phc::{Output, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

use super::lock::{IDLE, IDLE_DEFAULT};

/// On the config volume, beside lb.toml; never part of it.
pub const FILE: &str = "console.password";
/// Only its owner reads it.
pub const MODE: u32 = 0o600;
/// Of a password (bytes of UTF-8).
pub const LONGEST: usize = 256;
/// Of its salt (bytes), as RFC 9106 recommends.
pub const SALT_BYTES: usize = 16;

/// What one verification takes: 7 MiB, because three terminals of a machine with 128 MB may be asked at once, and IPVS sheds load when memory is
/// scarce; and so many passes that it costs a guesser as much as more memory with fewer (OWASP's list of equal settings has 7 MiB with 5 passes).
const MEMORY_KIB: u32 = 7 << 10;
const PASSES: u32 = 5;
const LANES: u32 = 1;
const HASH_BYTES: usize = 32;
/// What a file may ask for: a damaged one must not take the memory of the machine (KiB), or its processor.
const MOST_MEMORY_KIB: u32 = 64 << 10;
const MOST_PASSES: u32 = 16;

const FIRST_LINE: &str = "lb console password 1";
/// The file is some 170 bytes long.
const MOST_BYTES: usize = 1024;
/// Hexadecimal digits of the SHA-256 of all lines before.
const SUM_DIGITS: usize = 16;

/// Why a new password is not taken.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    #[error("an empty password is none; `console password remove` takes the password away")]
    Empty,
    #[error("it has {0} bytes, and a password may have {LONGEST}")]
    TooLong(usize),
    #[error("it is no UTF-8; set the terminal to UTF-8, or use other characters")]
    NoText,
    #[error("it holds a key that is no character, such as Tab or an arrow")]
    Control,
}

/// Whether this can be a password. Nothing is asked of it but that it can be typed again.
pub fn judge(password: &[u8]) -> Result<(), Unfit> {
    let text = match password {
        [] => return Err(Unfit::Empty),
        long if long.len() > LONGEST => return Err(Unfit::TooLong(long.len())),
        bytes => std::str::from_utf8(bytes).map_err(|_| Unfit::NoText)?,
    };
    match text.chars().any(char::is_control) {
        true => Err(Unfit::Control),
        false => Ok(()),
    }
}

/// A password that is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// In the PHC string format.
    hash: String,
    idle: Duration,
}

/// What the config volume says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    None,
    Set(Record),
    /// There is a file, and it cannot be used: consoles are locked, and nothing opens them.
    Damaged(String),
    /// The disk does not say what it is, and nobody knows it from before: consoles are locked until it does.
    Unreadable(String),
}

impl Stored {
    /// Of what reading the file gave; `None`: there is no such file.
    pub fn of(read: io::Result<Option<Vec<u8>>>) -> Stored {
        match read {
            Ok(None) => Stored::None,
            Ok(Some(bytes)) => match Record::parse(&bytes) {
                Ok(record) => Stored::Set(record),
                Err(why) => Stored::Damaged(why.to_owned()),
            },
            Err(error) => Stored::Unreadable(error.kind().to_string()),
        }
    }

    /// After how long a console locks; `None`: it does not.
    pub fn idle(&self) -> Option<Duration> {
        match self {
            Stored::None => None,
            Stored::Set(record) => Some(record.idle),
            Stored::Damaged(_) | Stored::Unreadable(_) => Some(IDLE_DEFAULT),
        }
    }
}

impl Record {
    /// Takes as long as a verification. `salt` is random.
    pub fn new(password: &[u8], salt: [u8; SALT_BYTES], idle: Duration) -> Record {
        let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(HASH_BYTES)).expect("these are valid");
        let output = compute(&params, password, &salt).expect("what is valid can be computed");
        let hash = PasswordHash {
            algorithm: argon2::ARGON2ID_IDENT,
            version: Some(Version::V0x13.into()),
            params: (&params).try_into().expect("these can be written"),
            salt: Some(Salt::new(&salt).expect("a salt of 16 bytes is valid")),
            hash: Some(output),
        };
        Record {
            hash: hash.to_string(),
            idle: idle.clamp(*IDLE.start(), *IDLE.end()),
        }
    }

    pub fn idle(&self) -> Duration {
        self.idle
    }

    /// The same password with another time.
    pub fn with_idle(&self, idle: Duration) -> Record {
        Record {
            hash: self.hash.clone(),
            idle: idle.clamp(*IDLE.start(), *IDLE.end()),
        }
    }

    /// The file's text.
    pub fn text(&self) -> String {
        let body = format!("{FIRST_LINE}\nidle {}\nhash {}\n", self.idle.as_secs(), self.hash);
        let sum = sum(&body);
        format!("{body}sum {sum}\n")
    }

    /// Strict: what is not just as it was written is damaged.
    pub fn parse(bytes: &[u8]) -> Result<Record, &'static str> {
        if bytes.is_empty() {
            return Err("it is empty");
        }
        if bytes.len() > MOST_BYTES {
            return Err("it is too long");
        }
        let text = std::str::from_utf8(bytes).map_err(|_| "it is no text")?;
        let mut lines = text.split('\n');
        if lines.next() != Some(FIRST_LINE) {
            return Err("it does not begin as it should");
        }
        let mut value = |key: &str| lines.next().and_then(|line| line.strip_prefix(key));
        let (idle, hash) = (value("idle "), value("hash "));
        let (Some(idle), Some(hash), Some(_), Some("")) = (idle, hash, value("sum "), value("")) else {
            return Err("it is not complete");
        };
        let idle = idle
            .parse()
            .map(Duration::from_secs)
            .map_err(|_| "its time is no number")?;
        if !IDLE.contains(&idle) {
            return Err("its time is out of bounds");
        }
        let record = Record {
            hash: hash.to_owned(),
            idle,
        };
        if record.text() != text {
            return Err("its sum is another one");
        }
        usable(hash)?;
        Ok(record)
    }

    /// Whether it is the password. The time that it takes does not tell in what it differs.
    pub fn is(&self, password: &[u8]) -> bool {
        let Ok((parsed, params)) = usable(&self.hash) else {
            return false;
        };
        let (Some(salt), Some(wanted)) = (parsed.salt, parsed.hash) else {
            return false;
        };
        // The comparison of outputs takes the same time for all.
        password.len() <= LONGEST
            && compute(&params, password, salt.as_ref()).is_some_and(|output| output == wanted)
    }
}

/// A hash that this machine can verify.
fn usable(hash: &str) -> Result<(PasswordHash, Params), &'static str> {
    let parsed = PasswordHash::new(hash).map_err(|_| "its hash cannot be read")?;
    let params = Params::try_from(&parsed).map_err(|_| "its hash has settings that cannot be")?;
    let known = parsed.algorithm == argon2::ARGON2ID_IDENT
        && parsed.version == Some(Version::V0x13.into())
        && parsed.salt.is_some()
        && parsed.hash.is_some_and(|output| output.len() == HASH_BYTES);
    match known {
        false => Err("its hash is of another kind"),
        true if params.m_cost() > MOST_MEMORY_KIB || params.t_cost() > MOST_PASSES => {
            Err("its hash would take too much memory or time")
        }
        true => Ok((parsed, params)),
    }
}

/// The memory is emptied before it is given back: it holds what follows from the password.
fn compute(params: &Params, password: &[u8], salt: &[u8]) -> Option<Output> {
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
    let mut memory = Zeroizing::new(vec![Block::default(); params.block_count()]);
    let mut output = Zeroizing::new([0; HASH_BYTES]);
    argon2
        .hash_password_into_with_memory(password, salt, &mut *output, memory.as_mut_slice())
        .ok()?;
    Output::new(&*output).ok()
}

fn sum(body: &str) -> String {
    let digits: String = Sha256::digest(body.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    digits[..SUM_DIGITS].to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SALT: [u8; SALT_BYTES] = *b"0123456789abcdef";

    fn record() -> Record {
        Record::new("gr\u{fc}n".as_bytes(), SALT, Duration::from_secs(90))
    }

    #[test]
    fn the_file_is_read_as_it_was_written_and_knows_its_password() {
        let record = record();
        let text = record.text();
        assert!(
            text.starts_with("lb console password 1\nidle 90\nhash $argon2id$v=19$m=7168,t=5,p=1$"),
            "{text}"
        );
        assert!(!text.contains("gr"), "{text}");
        let read = Record::parse(text.as_bytes()).unwrap();
        assert_eq!(read, record);
        assert!(read.is("gr\u{fc}n".as_bytes()));
        for other in ["", "grun", "gr\u{fc}n ", "GR\u{dc}N"] {
            assert!(!read.is(other.as_bytes()), "{other}");
        }
        let longer = read.with_idle(Duration::from_secs(1));
        assert_eq!(longer.idle(), *IDLE.start());
        assert!(longer.is("gr\u{fc}n".as_bytes()));
    }

    /// Of the test vectors of the reference implementation (phc-winner-argon2, src/test.c).
    #[test]
    fn what_another_implementation_has_written_is_understood() {
        let hash = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        let record = Record {
            hash: hash.to_owned(),
            idle: IDLE_DEFAULT,
        };
        assert_eq!(Record::parse(record.text().as_bytes()).as_ref(), Ok(&record));
        assert!(record.is(b"password") && !record.is(b"differentpassword"));
    }

    #[test]
    fn salts_make_hashes_differ() {
        let other = Record::new("gr\u{fc}n".as_bytes(), [7; SALT_BYTES], Duration::from_secs(90));
        assert_ne!(other.text(), record().text());
    }

    #[test]
    fn what_cannot_be_used_is_damaged_and_no_file_is_none() {
        assert_eq!(Stored::of(Ok(None)), Stored::None);
        let text = record().text();
        assert_eq!(
            Stored::of(Ok(Some(text.clone().into_bytes()))),
            Stored::Set(record())
        );
        let refused = Stored::of(Err(io::ErrorKind::PermissionDenied.into()));
        assert_eq!(refused, Stored::Unreadable("permission denied".to_owned()));
        assert_eq!(refused.idle(), Some(IDLE_DEFAULT));
        let sealed = |body: &str| format!("{body}sum {}\n", sum(body));
        let hash = &record().hash;
        for (bytes, why) in [
            (String::new(), "it is empty"),
            ("x".repeat(2_000), "it is too long"),
            ("\0".repeat(170), "it does not begin as it should"),
            (text[..text.len() - 1].to_owned(), "it is not complete"),
            (format!("{text}\n"), "its sum is another one"),
            (text.replace("idle 90", "idle 91"), "its sum is another one"),
            (
                sealed(&format!("{FIRST_LINE}\nidle x\nhash {hash}\n")),
                "its time is no number",
            ),
            (
                sealed(&format!("{FIRST_LINE}\nidle 1\nhash {hash}\n")),
                "its time is out of bounds",
            ),
            (
                sealed(&format!("{FIRST_LINE}\nidle 90\nhash secret\n")),
                "its hash cannot be read",
            ),
            (
                sealed(&format!(
                    "{FIRST_LINE}\nidle 90\nhash {}\n",
                    hash.replace("argon2id", "argon2i")
                )),
                "its hash is of another kind",
            ),
            (
                sealed(&format!(
                    "{FIRST_LINE}\nidle 90\nhash {}\n",
                    hash.replace("m=7168", "m=4000000")
                )),
                "its hash would take too much memory or time",
            ),
        ] {
            assert_eq!(Record::parse(bytes.as_bytes()), Err(why), "{bytes}");
        }
        assert_eq!(Record::parse(b"\xff"), Err("it is no text"));
    }

    #[test]
    fn a_password_is_what_can_be_typed_again() {
        for (password, verdict) in [
            (&b"x"[..], Ok(())),
            ("\u{65e5}\u{672c} \u{1f512}".as_bytes(), Ok(())),
            (&[b'x'; LONGEST], Ok(())),
            (b"", Err(Unfit::Empty)),
            (&[b'x'; LONGEST + 1], Err(Unfit::TooLong(LONGEST + 1))),
            (b"\xff\xfe", Err(Unfit::NoText)),
            (b"a\tb", Err(Unfit::Control)),
            (b"a\x1b[A", Err(Unfit::Control)),
        ] {
            assert_eq!(judge(password), verdict, "{password:?}");
        }
    }

    proptest! {
        /// Whatever lies there: no panic, and only what was written is read.
        #[test]
        fn only_what_was_written_is_read(bytes in proptest::collection::vec(any::<u8>(), 0..1200)) {
            prop_assert!(Record::parse(&bytes).is_err());
        }

        /// One changed, lost or added byte is always seen.
        #[test]
        fn each_damage_is_seen(place in 0usize..170, byte in any::<u8>(), kind in 0..3) {
            let text = known_text();
            let mut bytes = text.clone().into_bytes();
            let place = place % bytes.len();
            match kind {
                0 => bytes[place] = byte,
                1 => drop(bytes.remove(place)),
                _ => bytes.insert(place, byte),
            }
            prop_assert_eq!(Record::parse(&bytes).is_ok(), bytes == text.into_bytes());
        }
    }

    /// Made once: a hash takes its time.
    fn known_text() -> String {
        static TEXT: std::sync::OnceLock<String> = std::sync::OnceLock::new();
        TEXT.get_or_init(|| record().text()).clone()
    }
}
