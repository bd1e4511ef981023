//! A line typed at the console, split into words as a shell would: blanks separate, quotes and backslash keep them.
//! Must not: know the commands.

use thiserror::Error;

#[derive(Debug, Error, PartialEq, Eq)]
pub enum LineError {
    #[error("the quote {0} is not closed")]
    OpenQuote(char),
    #[error("the line ends with a backslash")]
    OpenEscape,
}

/// A line that begins with `#` is a remark and has no words.
pub fn split(line: &str) -> Result<Vec<String>, LineError> {
    if line.trim_start().starts_with('#') {
        return Ok(Vec::new());
    }
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match c {
            '"' | '\'' => quoted(c, &mut characters, word.get_or_insert_default())?,
            '\\' => word
                .get_or_insert_default()
                .push(characters.next().ok_or(LineError::OpenEscape)?),
            c if c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn quoted(quote: char, characters: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), LineError> {
    while let Some(c) = characters.next() {
        match c {
            c if c == quote => return Ok(()),
            '\\' if quote == '"' => word.push(characters.next().ok_or(LineError::OpenEscape)?),
            c => word.push(c),
        }
    }
    Err(LineError::OpenQuote(quote))
}

/// The word as it must be typed to be read back by [`split`].
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:@%+,=[]".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    let escaped: String = word
        .chars()
        .flat_map(|c| "\"\\".contains(c).then_some('\\').into_iter().chain([c]))
        .collect();
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        for (line, expected) in [
            ("", vec![]),
            ("  status  ", vec!["status"]),
            ("services \"my service\"", vec!["services", "my service"]),
            ("a'b c'd", vec!["ab cd"]),
            ("a\\ b", vec!["a b"]),
            ("''", vec![""]),
            ("\"a\\\"b\"", vec!["a\"b"]),
            ("'a\\b'", vec!["a\\b"]),
            ("status\tx", vec!["status", "x"]),
            (" # it's a remark", vec![]),
            ("a #b", vec!["a", "#b"]),
        ] {
            assert_eq!(split(line).unwrap(), expected, "{line}");
        }
        assert_eq!(split("a 'b"), Err(LineError::OpenQuote('\'')));
        assert_eq!(split("a \\"), Err(LineError::OpenEscape));
    }

    #[test]
    fn a_quoted_word_reads_back() {
        for word in [
            "plain",
            "two words",
            "quo\"te",
            "back\\slash",
            "",
            "it's",
            "172.16.0.1:80",
            "ü",
        ] {
            assert_eq!(split(&quote(word)).unwrap(), [word]);
        }
    }
}
