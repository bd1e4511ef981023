//! The way back to the factory: one file on the config volume is the decision, and a boot that finds it carries it out.
//! Must not: delete anything.

use crate::console::password;

/// On the config volume while a reset is to be carried out. Written whole; its content is [`Extent::mark`].
pub const MARK: &str = ".factory-reset";
/// What goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    All,
    /// Certificates and keys stay.
    KeepIdentity,
}

impl Extent {
    /// What the mark holds.
    pub fn mark(self) -> &'static str {
        match self {
            Extent::All => "all\n",
            Extent::KeepIdentity => "keep-identity\n",
        }
    }

    /// A mark that cannot be read means everything: whoever wrote it wanted a reset.
    pub fn of_mark(text: &str) -> Extent {
        if text == Extent::KeepIdentity.mark() {
            Extent::KeepIdentity
        } else {
            Extent::All
        }
    }
}

/// On the kernel's command line it means [`Extent::All`].
pub const CMDLINE_WORD: &str = "lb.factory-reset";

/// Whether a file of the config volume is a certificate or a key: PEM, and neither a configuration that has one in it nor a hidden file of ours, such
/// as an import that is carried out. What opens the consoles is none, whatever is in it.
pub fn is_identity(name: &str, content: &[u8]) -> bool {
    let pem = content.windows(11).any(|part| part == b"-----BEGIN ");
    let text_of_ours = [".toml", ".sample", ".log", ".new"]
        .iter()
        .any(|end| name.ends_with(end));
    let opens_consoles = name.eq_ignore_ascii_case(password::FILE);
    pem && !text_of_ours && !opens_consoles && !name.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_and_keys_are_the_identity() {
        let pem = b"a comment\n-----BEGIN CERTIFICATE-----\n";
        assert!(is_identity("ca.pem", pem) && is_identity("client-key", pem));
        for (name, content) in [
            ("lb.toml", &pem[..]),
            (".ca.pem.new", pem),
            (".import", pem),
            ("console.password", pem),
            ("events.log", pem),
            ("note", b"BEGIN "),
        ] {
            assert!(!is_identity(name, content), "{name}");
        }
    }
}
