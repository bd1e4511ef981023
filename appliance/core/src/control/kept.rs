//! The texts that are kept beside lb.toml, and the words by which they are asked for. Must not: read them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A configuration that is kept beside lb.toml. In JSON a number or the word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Kept {
    /// An entry of the history.
    Number(u64),
    Named(KeptName),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeptName {
    /// In force until it is confirmed.
    Pending,
    /// Was in force, and was not confirmed.
    Returned,
    /// The annotated sample that comes with the image.
    Sample,
}

impl KeptName {
    pub const ALL: [KeptName; 3] = [KeptName::Pending, KeptName::Returned, KeptName::Sample];

    pub fn word(self) -> &'static str {
        match self {
            KeptName::Pending => "pending",
            KeptName::Returned => "returned",
            KeptName::Sample => "sample",
        }
    }
}

impl FromStr for Kept {
    type Err = ();

    fn from_str(word: &str) -> Result<Kept, ()> {
        let named = KeptName::ALL.into_iter().find(|name| name.word() == word);
        let number = || word.parse().map(Kept::Number).map_err(|_| ());
        named.map_or_else(number, |name| Ok(Kept::Named(name)))
    }
}

/// As it is written in a command.
impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kept::Number(number) => write!(f, "{number}"),
            Kept::Named(name) => f.write_str(name.word()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_asked_for_by_number_or_word() {
        for word in ["12", "pending", "returned", "sample"] {
            let kept: Kept = word.parse().unwrap();
            assert_eq!(kept.to_string(), word);
            let json = serde_json::to_string(&kept).unwrap();
            assert_eq!(json.trim_matches('"'), word);
            assert_eq!(serde_json::from_str::<Kept>(&json).unwrap(), kept);
        }
        for word in ["", "-1", "last", "Pending", "99999999999999999999"] {
            assert!(word.parse::<Kept>().is_err(), "{word}");
        }
    }
}
