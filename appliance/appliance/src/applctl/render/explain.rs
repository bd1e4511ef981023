//! What keys and tables of lb.toml mean. Must not: know any key.

use lb_core::control::{ExplainReport, KeyReport, TableReport};

use super::text::{Screen, Tone, wrap};

const INDENT: usize = 4;
/// Before what is said of a key, in columns.
const COLUMN: usize = 16;

pub fn explain(report: &ExplainReport, screen: &Screen) -> String {
    if !report.tables.is_empty() {
        return tables(&report.tables, screen);
    }
    match report.keys.as_slice() {
        [one] => key(one, screen),
        // One that is a path of its own is what was meant; the others only end like it.
        [first, others @ ..]
            if others
                .iter()
                .all(|other| other.path.ends_with(&format!(".{}", first.path))) =>
        {
            let others: Vec<String> = others.iter().map(|other| other.path.clone()).collect();
            key(first, screen) + &remark(&format!("There is also {}.", others.join(", ")), screen)
        }
        all => list(all, screen),
    }
}

fn tables(tables: &[TableReport], screen: &Screen) -> String {
    let mut text = String::new();
    for table in tables {
        let path = match table.path.as_str() {
            "" => "(the top level)",
            path => path,
        };
        text += &entry(path, &table.about, screen);
    }
    text + &remark(
        "`explain TABLE` lists the keys of one, `explain KEY` tells all about one.",
        screen,
    )
}

/// Several keys of one name, or a table's.
fn list(keys: &[KeyReport], screen: &Screen) -> String {
    let mut text = String::new();
    for key in keys {
        text += &entry(&key.path, &sentence(&key.about), screen);
    }
    text + &remark("`explain PATH` tells all about one of them.", screen)
}

fn entry(path: &str, about: &str, screen: &Screen) -> String {
    let about = wrap(about, screen.width - INDENT, INDENT);
    format!("{}\n{:INDENT$}{about}\n", screen.paint(Tone::Strong, path), "")
}

fn remark(text: &str, screen: &Screen) -> String {
    format!("\n{}\n", wrap(text, screen.width, 0))
}

fn key(key: &KeyReport, screen: &Screen) -> String {
    let mut text = entry(&key.path, &sentence(&key.about), screen);
    for own in &key.by_type {
        if let Some(about) = &own.about {
            text += &line("", &format!("with type `\"{}\"`: {about}", own.kind), screen);
        }
    }
    text.push('\n');
    text += &line("type", &key.type_name, screen);
    text += &line("allowed", &key.allowed, screen);
    let width = key.meanings.iter().map(|meaning| meaning.word.len()).max();
    for meaning in &key.meanings {
        let width = width.unwrap_or_default() + 2;
        text += &line("", &format!("{:<width$}{}", meaning.word, meaning.about), screen);
    }
    text += &line("default", &default(key), screen);
    text += &line("check types", &key.types.join(", "), screen);
    text += &line("keys", &key.keys.join(", "), screen);
    text += &line("also at", &key.also_at.join(", "), screen);
    let accepted = if key.accepted { ", which is accepted" } else { "" };
    if let Some(word) = &key.keepalived {
        text += &line("keepalived", &format!("{word}{accepted}"), screen);
    }
    text += &line("since", &key.since, screen);
    text.push('\n');
    for example in key.example.lines() {
        text += &format!("{:INDENT$}{example}\n", "");
    }
    text
}

fn default(key: &KeyReport) -> String {
    let own = key.by_type.iter().filter_map(|own| {
        let default = own.default.as_deref().filter(|default| !default.is_empty())?;
        Some(format!("with type `\"{}\"`: {default}", own.kind))
    });
    let usual = Some(key.default.clone()).filter(|default| !default.is_empty());
    usual.into_iter().chain(own).collect::<Vec<_>>().join("; ")
}

/// Nothing, if there is nothing to say.
fn line(what: &str, said: &str, screen: &Screen) -> String {
    if said.is_empty() {
        return String::new();
    }
    let said = wrap(said, screen.width - COLUMN, COLUMN);
    format!("{:INDENT$}{what:width$}{said}\n", "", width = COLUMN - INDENT)
}

/// With a capital and a full stop, unless it begins with code.
fn sentence(about: &str) -> String {
    let mut letters = about.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_core::config;

    fn shown(words: Option<&str>, width: usize) -> String {
        explain(&config::explain(words).unwrap(), &Screen::plain(width))
    }

    #[test]
    fn one_key_whole() {
        assert_eq!(
            shown(Some("check.retry_interval"), 80),
            "virtual_server.check.retry_interval\n    Between those attempts.\n\n    \
             type        duration (ms, s, m, h)\n    \
             allowed     `\"10ms\"` to `\"1h\"`\n    \
             default     `\"500ms\"`; with type `\"kube-apiserver\"`: `\"1s\"`\n    \
             also at     virtual_server.real_server.check.retry_interval,\n                \
             virtual_server.sorry_server.check.retry_interval\n    \
             keepalived  delay_before_retry, which is accepted\n    \
             since       0.1.0\n\n    \
             [[virtual_server]]\n    check = { retry_interval = \"1s\" }\n"
        );
    }

    #[test]
    fn several_keys_and_the_tables_in_short() {
        let names = shown(Some("name"), 80);
        assert!(
            names.contains("virtual_server.name\n    A name of your choice, unique.\n"),
            "{names}"
        );
        assert!(
            names.contains("interface.name\n")
                && names.ends_with("`explain PATH` tells all about one of them.\n")
        );
        let interface = shown(Some("interface"), 80);
        assert!(
            interface.starts_with("interface\n    A network interface.\n"),
            "{interface}"
        );
        assert!(
            interface.ends_with("There is also virtual_server.check.interface.\n"),
            "{interface}"
        );
        let tables = shown(None, 80);
        assert!(
            tables.starts_with("(the top level)\n") && tables.contains("\nvirtual_server.check\n"),
            "{tables}"
        );
    }

    #[test]
    fn every_key_fits_a_narrow_terminal() {
        for place in config::keys::places() {
            let text = shown(Some(&place.path), 80);
            let example = |line: &&str| !place.key.example.contains(line.trim());
            for line in text.lines().filter(example) {
                assert!(line.chars().count() <= 80 && line == line.trim_end(), "{line}");
            }
        }
    }
}
