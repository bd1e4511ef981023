//! Sentences on terminals that nobody has asked for their size.

/// Most are no narrower.
const COLUMNS: usize = 79;
/// What continues a line is set in.
const INDENT: &str = "\n    ";

/// Breaks a line between words so that a screen does not break it inside one. A word that is wider than a line stays whole.
pub fn fold(text: &str) -> String {
    let (mut folded, mut column) = (String::new(), 0);
    for word in text.split(' ') {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > COLUMNS {
            folded += INDENT;
            column = INDENT.len() - 1;
        } else if column > 0 {
            folded.push(' ');
            column += 1;
        }
        folded += word;
        column += length;
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_sentence_is_broken_between_words() {
        let text =
            "*** the config volume is full: nothing new can be saved; `config files` lists what lies on it";
        let folded = fold(text);
        assert!(
            folded.lines().all(|line| line.chars().count() <= COLUMNS),
            "{folded}"
        );
        assert_eq!(folded.lines().count(), 2);
        assert_eq!(folded.replace(INDENT, " "), text);
        for whole in ["", "short", &"x".repeat(100)] {
            assert_eq!(fold(whole), whole);
        }
    }
}
