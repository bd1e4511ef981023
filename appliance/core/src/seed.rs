//! A seed: a configuration that comes with the machine (from a disk, or from the hypervisor) instead of from its console. init finds it and lays it
//! down, the agent judges it. Here: where it lies between the two, which of its files count, and when it is taken.
//! Must not: read anything, or judge the configuration.

use serde::{Deserialize, Serialize};

use crate::config::quoted;

/// In the runtime directory, from init to the agent, who removes it.
pub const DIRECTORY: &str = "seed";
/// In that directory, written last: a [`SeedNote`].
pub const NOTE: &str = "note.json";
/// In that directory: the files of the seed, `lb.toml` among them.
pub const FILES: &str = "files";
/// The volume label of a disk that is a seed.
pub const LABEL: &str = "LBSEED";
/// The line in a seed's text that says when it is taken.
const DIRECTIVE: &str = "#:seed";

/// Where a seed comes from, in the operator's words: `QEMU fw_cfg (opt/lb.toml)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedNote {
    pub source: String,
}

/// When a seed is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// By a machine that has no configuration.
    FirstBoot,
    /// At every boot, in the place of the configuration that is there.
    Always,
}

/// What the comments at the head of a seed's text say. The error names the place and the remedy.
pub fn when(text: &str) -> Result<When, String> {
    let mut when = When::FirstBoot;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            break;
        }
        let Some(word) = line.strip_prefix(DIRECTIVE) else {
            continue;
        };
        when = match word.trim() {
            "always" => When::Always,
            other => {
                let line = number + 1;
                let given = quoted(format!("{DIRECTIVE} {other}").trim_end());
                return Err(format!(
                    "line {line}: {given} is not known; `{DIRECTIVE} always` takes the seed at every boot, and without such a line \
                     only a machine without a configuration takes it"
                ));
            }
        };
    }
    Ok(when)
}

/// Whether a file beside lb.toml may have this name, as `ca` and its like give it.
pub fn is_plain_name(name: &str) -> bool {
    let plain = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    plain && !name.is_empty() && !name.starts_with('.') && name.len() <= 64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_comments_at_the_head_say_when() {
        let always = "\u{20}\n#:schema ./lb.schema.json\n  #:seed  always \nhostname = \"lb\"\n";
        assert_eq!(when(always), Ok(When::Always));
        for text in ["", "hostname = \"lb\"\n#:seed always\n", "# seed always\n"] {
            assert_eq!(when(text), Ok(When::FirstBoot), "{text:?}");
        }
    }

    #[test]
    fn a_word_that_is_not_known_is_told_with_its_place() {
        let fault = when("# ours\n#:seed alwys\n").unwrap_err();
        assert!(
            fault.starts_with("line 2: `#:seed alwys` is not known; `#:seed always` takes"),
            "{fault}"
        );
        assert!(when("#:seed\n").is_err());
        let steering = when("#:seed \u{1b}[2Jalways\n").unwrap_err();
        assert!(
            steering.starts_with("line 1: `#:seed \\u{1b}[2Jalways` is not known"),
            "{steering}"
        );
    }

    #[test]
    fn names_are_those_that_a_configuration_can_give() {
        for name in ["ca.pem", "client-2_key", "lb.toml"] {
            assert!(is_plain_name(name), "{name}");
        }
        for name in ["", ".hidden", "..", "a/b", "System Volume Information"] {
            assert!(!is_plain_name(name), "{name}");
        }
    }
}
