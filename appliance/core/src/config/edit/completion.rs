//! The key that is being written where a text ends, as an editor completes it. The text may be anything: only its last
//! section is looked at. Must not: judge the text, or know an editor.

use toml_parser::Source;
use toml_parser::lexer::TokenKind;

use super::super::keys::{Content, Form, Key, ROOT, Table};
use super::existing::Existing;
use super::path::key_of;

/// What a key may be, of which so many bytes are written already.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Completion {
    pub typed: usize,
    pub words: Vec<String>,
}

/// What can stand where this text ends; names and addresses come from what exists.
pub fn completion(before: &str, existing: &Existing<'_>) -> Completion {
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before[line_start..].trim_start();
    if let Some(path) = line.strip_prefix("[[").or_else(|| line.strip_prefix('[')) {
        return header(path, line.starts_with("[["));
    }
    let (table, body) = last_section(before);
    let Some(table) = table else {
        return Completion::default();
    };
    match at_end(table, body) {
        Some(At::Key(table, word)) => of_keys(table, word),
        Some(At::Value(form, word)) => of_words(form, word, existing),
        None => Completion::default(),
    }
}

/// Tables and lists of tables, up to the next dot.
fn header(path: &str, of_list: bool) -> Completion {
    let (outer, word) = path.rsplit_once('.').unwrap_or(("", path));
    let Some(table) = table_at(outer) else {
        return Completion::default();
    };
    let fits = |key: &&'static Key| key.form.table().is_some() && key.name.starts_with(word);
    let close = if of_list { "]]" } else { "]" };
    let name = |key: &'static Key| match (&key.form, of_list) {
        (Form::Tables(..), false) => format!("{}.", key.name),
        (Form::Tables(..), true) | (_, false) => format!("{}{close}", key.name),
        (_, true) => format!("{}.", key.name),
    };
    Completion {
        typed: word.len(),
        words: table.keys().filter(fits).map(name).collect(),
    }
}

/// The table that a header names.
fn table_at(path: &str) -> Option<&'static Table> {
    let words = path.split('.').map(|word| word.trim().trim_matches(['"', '\'']));
    let words = words.filter(|word| !word.is_empty());
    words
        .into_iter()
        .try_fold(&ROOT, |table, word| key_of(table, word)?.form.table())
}

/// The table of the last header, and what follows it.
fn last_section(text: &str) -> (Option<&'static Table>, &str) {
    let mut end = text.len();
    while end > 0 {
        let before = &text[..end];
        let before = before.strip_suffix('\n').unwrap_or(before);
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = text[start..end].trim();
        // An array over several lines has lines that begin so too, but no names in them.
        let inner = line.trim_start_matches('[').split(']').next().unwrap_or_default();
        let named = inner.starts_with(|c: char| c.is_ascii_alphabetic());
        let closed = line
            .split('#')
            .next()
            .unwrap_or_default()
            .trim_end()
            .ends_with(']');
        if line.starts_with('[') && named && closed {
            return (table_at(inner), &text[end..]);
        }
        end = start;
    }
    (Some(&ROOT), text)
}

/// What is expected at the end of a section's text, and what is there of it.
enum At<'t> {
    Key(&'static Table, &'t str),
    Value(&'static Form, &'t str),
}

/// A table within the section, or a value of one.
#[derive(Clone, Copy)]
struct Level {
    /// `None`: it is not known.
    table: Option<&'static Table>,
    form: Option<&'static Form>,
    /// Behind the equals sign.
    in_value: bool,
    /// Between brackets: commas divide values, not keys.
    is_list: bool,
}

impl Level {
    fn of(table: Option<&'static Table>) -> Level {
        Level {
            table,
            form: None,
            in_value: false,
            is_list: false,
        }
    }
}

fn at_end<'t>(table: &'static Table, body: &'t str) -> Option<At<'t>> {
    let mut levels = vec![Level::of(Some(table))];
    let mut word = "";
    for token in Source::new(body).lex() {
        let span = token.span();
        let text = &body[span.start()..span.end()];
        let level = levels.last_mut()?;
        let (form, is_list) = (level.form, level.is_list);
        word = match token.kind() {
            TokenKind::Newline if is_list => "",
            TokenKind::Newline | TokenKind::Comma => {
                if !is_list {
                    *level = Level::of(level.table);
                }
                ""
            }
            TokenKind::Comment if span.end() == body.len() => return None,
            TokenKind::Equals => {
                let found = level.table.and_then(|table| key_of(table, word));
                (level.form, level.in_value) = (found.map(|key| &key.form), true);
                ""
            }
            TokenKind::Dot if !level.in_value => {
                level.table = level.table.and_then(|table| key_of(table, word)?.form.table());
                ""
            }
            TokenKind::LeftCurlyBracket => {
                levels.push(Level::of(form.and_then(Form::table)));
                ""
            }
            TokenKind::LeftSquareBracket => {
                let (in_value, is_list) = (true, true);
                levels.push(Level {
                    table: None,
                    form,
                    in_value,
                    is_list,
                });
                ""
            }
            TokenKind::RightCurlyBracket | TokenKind::RightSquareBracket if levels.len() > 1 => {
                levels.pop();
                ""
            }
            TokenKind::Eof => word,
            // Behind a whole word nothing is begun.
            TokenKind::Whitespace if span.end() == body.len() && !word.is_empty() => return None,
            TokenKind::Whitespace | TokenKind::Comment => word,
            _ => text,
        };
    }
    let level = levels.last()?;
    match (level.in_value, level.table, level.form) {
        (false, Some(table), _) => Some(At::Key(table, word)),
        (true, _, Some(form)) => Some(At::Value(form, word)),
        _ => None,
    }
}

fn of_keys(table: &'static Table, word: &str) -> Completion {
    let keys = table.keys().filter(|key| key.name.starts_with(word));
    Completion {
        typed: word.len(),
        words: keys.map(|key| format!("{} = ", key.name)).collect(),
    }
}

/// The words of a value, in quotes where they need them.
fn of_words(form: &'static Form, word: &str, existing: &Existing<'_>) -> Completion {
    let quote = if word.starts_with('\'') { '\'' } else { '"' };
    let begun = word.trim_start_matches(quote);
    let mut words = Vec::new();
    quoted(form, quote, existing, &mut words);
    words.retain(|own| own[quote.len_utf8()..].starts_with(begun));
    let open = begun == word;
    if open && !begun.is_empty() {
        // Without a quote it is none of them.
        words.clear();
    }
    if matches!(form, Form::Flag) {
        let flags = ["true", "false"].into_iter().filter(|own| own.starts_with(word));
        words = flags.map(str::to_owned).collect();
    }
    Completion {
        typed: word.len(),
        words,
    }
}

/// Behind an address of ours its port is still to come, so its quotes stay open.
fn quoted(form: &'static Form, quote: char, existing: &Existing<'_>, words: &mut Vec<String>) {
    match form {
        Form::Either(forms) => forms.iter().for_each(|form| quoted(form, quote, existing, words)),
        Form::List(form) | Form::OneOrMore(form) | Form::UpTo(form, _) => {
            quoted(form, quote, existing, words)
        }
        Form::Text { content, .. } => {
            let end = match content {
                Content::OwnEndpoint => ":".to_owned(),
                _ => quote.to_string(),
            };
            let named = existing.named(*content).into_iter();
            // What would have to be escaped is no name of the kernel.
            let plain =
                named.filter(|name| !name.contains(['"', '\'', '\\']) && !name.contains(char::is_control));
            words.extend(plain.map(|name| format!("{quote}{name}{end}")));
        }
        form => words.extend(form.words().iter().map(|own| format!("{quote}{own}{quote}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "[[interface]]\nname = \"eth0\"\naddresses = [\"192.0.2.1/24\", \"2001:db8::1/64\"]\n[[interface]]\nmatch.mac = \"52:54:00:00:00:02\"\n";

    fn at(before: &str) -> Completion {
        let existing = Existing {
            text: TEXT,
            files: &|| vec!["ca.pem".to_owned()],
        };
        completion(before, &existing)
    }

    fn words(before: &str) -> Vec<String> {
        at(before).words
    }

    #[test]
    fn keys_of_the_table_that_is_written() {
        assert_eq!(words("hostn"), ["hostname = "]);
        assert_eq!(at("hostn").typed, 5);
        let service = "[[virtual_server]]\nname = \"x\"\n";
        assert_eq!(words(&format!("{service}sche")), ["scheduler = "]);
        assert_eq!(words(&format!("{service}  sche")), ["scheduler = "]);
        assert!(words(&format!("{service}\n")).len() > 10);
        assert_eq!(
            words(&format!("{service}check = {{ type = \"tcp\", inter")),
            ["interface = ", "interval = "]
        );
        assert_eq!(words(&format!("{service}check.time")), ["timeout = "]);
        let server = "[[virtual_server.real_server]] # one\nadd";
        assert_eq!(words(&format!("{service}{server}")), ["address = "]);
        assert_eq!(
            words(&format!("{service}real_server = [\n  {{ add")),
            ["address = "]
        );
        assert_eq!(
            words(&format!(
                "{service}real_server = [\n  {{ address = \"a\" }},\n]\nsche"
            )),
            ["scheduler = "]
        );
        assert_eq!(words("[nobody]\nx"), Vec::<String>::new());
    }

    #[test]
    fn headers_and_values() {
        assert_eq!(words("[[virt"), ["virtual_server]]"]);
        assert_eq!(words("[timeo"), ["timeouts]"]);
        assert_eq!(words("[[virtual_server.real"), ["real_server]]"]);
        let service = "[[virtual_server]]\nscheduler = ";
        assert_eq!(words(&format!("{service}\"wr")), ["\"wrr\""]);
        assert!(words(service).contains(&"\"rr\"".to_owned()));
        assert_eq!(words(&format!("{service}\"rr\" ")), Vec::<String>::new());
        assert_eq!(words(&format!("{service}\"rr\" # sche")), Vec::<String>::new());
        assert_eq!(
            words("[[interface]]\nname = \"eth0\"\n"),
            words("[[interface]]\n")
        );
    }

    #[test]
    fn what_exists_is_offered_in_quotes() {
        assert_eq!(
            words("[[masquerade]]\nout = "),
            ["\"eth0\"", "\"52:54:00:00:00:02\""]
        );
        assert_eq!(words("[[masquerade]]\nout = 'e"), ["'eth0'"]);
        let service = "[[virtual_server]]\n";
        assert_eq!(words(&format!("{service}listen = \"1")), ["\"192.0.2.1:"]);
        assert_eq!(
            words(&format!("{service}listen = [\"192.0.2.1:80\", \"[")),
            ["\"[2001:db8::1]:"]
        );
        assert_eq!(
            words(&format!("{service}check = {{ type = \"https\", ca = \"")),
            ["\"ca.pem\""]
        );
        assert_eq!(
            words(&format!("{service}check.source = \"192.0.2.1")),
            ["\"192.0.2.1\""]
        );
    }

    proptest! {
        /// What is written is how what it is completed to begins, whatever stands before.
        #[test]
        fn a_completion_goes_on(before in "([a-z_]{0,6}|[\\[\\]{}=,.\"'# \n]|virtual_server|check|real_server|ü){0,24}") {
            let completion = at(&before);
            for word in &completion.words {
                prop_assert!(before.ends_with(&word[..completion.typed]), "{:?} {:?}", before, word);
            }
        }
    }
}
