//! What values look like and what holds without one, in a form that can be shown, tested and turned into a schema.
//! Must not: read values.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::Table;
use crate::config::time;

/// How a value is written.
#[derive(Debug)]
pub enum Form {
    Text {
        content: Content,
        /// What it is, in words.
        what: &'static str,
        /// A regular expression (ECMA 262) that every good value matches; empty where there is none worth it.
        pattern: &'static str,
        count: Option<Count>,
    },
    /// `"2s"`.
    Time(&'static RangeInclusive<Duration>),
    /// The same, without parts of a second.
    Seconds(&'static RangeInclusive<Duration>),
    Number {
        range: &'static RangeInclusive<u32>,
        unit: &'static str,
    },
    /// `"50%"`.
    Percent,
    Flag,
    Words(&'static [&'static str]),
    /// Words that may be written in capitals or not.
    AnyCase(&'static [&'static str]),
    /// A table of names and texts, at most so many.
    Fields(usize),
    List(&'static Form),
    /// One, or a list of some.
    OneOrMore(&'static Form),
    /// One, or a list of some, of which there are at most so many.
    UpTo(&'static Form, usize),
    Either(&'static [Form]),
    Table(&'static Table),
    Tables(&'static Table, Option<usize>),
}

/// What a text stands for: by it a type is named, and what exists is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    Plain,
    Address,
    /// One of an interface of the file.
    OwnAddress,
    /// An address with a port, a range of them, or none.
    Endpoint,
    /// The same, of an interface of the file.
    OwnEndpoint,
    /// An address with the length of its network's prefix.
    Prefix,
    Network,
    Mac,
    /// An interface of the file.
    Interface,
    /// Itself, or the file that it is in.
    Pem,
}

impl Content {
    fn noun(self, many: bool) -> &'static str {
        let (one, some) = match self {
            Content::Plain => ("text", "texts"),
            Content::Address | Content::OwnAddress => ("address", "addresses"),
            Content::Endpoint | Content::OwnEndpoint => ("address with port", "addresses with port"),
            Content::Prefix => ("address with prefix", "addresses with prefix"),
            Content::Network => ("network", "networks"),
            Content::Mac => ("MAC address", "MAC addresses"),
            Content::Interface => ("interface", "interfaces"),
            Content::Pem => ("PEM or file", "PEM texts or files"),
        };
        if many { some } else { one }
    }
}

/// How long a text may be.
#[derive(Debug, Clone, Copy)]
pub struct Count {
    pub most: usize,
    pub unit: &'static str,
}

/// What holds where a key is not given.
#[derive(Debug)]
pub enum Unset {
    /// It has to be given.
    Needed,
    Nothing,
    Time(Duration),
    Number(u32),
    Flag(bool),
    Text(&'static str),
    /// Something that is not a value of its own, in words.
    Said(&'static str),
}

impl Form {
    /// What is allowed, in words, with values as code.
    pub fn allowed(&self) -> String {
        match self {
            Form::Text { what, count, .. } => match count {
                Some(Count { most, unit }) => format!("{what}, 1 to {most} {unit}"),
                None => (*what).to_owned(),
            },
            Form::Time(range) => span(range),
            Form::Seconds(range) => format!("whole seconds, {}", span(range)),
            Form::Number { range, unit } => format!("{} to {} {unit}", range.start(), range.end())
                .trim_end()
                .to_owned(),
            Form::Percent => "`\"1%\"` to `\"100%\"`".to_owned(),
            Form::Flag => "`true` or `false`".to_owned(),
            Form::Words(words) => listed(words),
            Form::AnyCase(words) => format!("{}, in capitals or not", listed(words)),
            Form::Fields(most) => format!("a table of names and texts, at most {most}"),
            Form::List(form) => format!("a list, each {}", form.allowed()),
            Form::OneOrMore(form) => format!("{}; one, or a list", form.allowed()),
            Form::UpTo(form, most) => format!("{}; one, or a list of 1 to {most}", form.allowed()),
            Form::Either(forms) => {
                let forms: Vec<String> = forms.iter().map(Form::allowed).collect();
                forms.join("; or ")
            }
            Form::Table(table) => format!("a table: {}", named(table)),
            Form::Tables(table, most) => match most {
                Some(most) => format!("1 to {most} tables, each with {}", named(table)),
                None => format!("tables, each with {}", named(table)),
            },
        }
    }

    /// The type of a value, with its units: `duration (ms, s, m, h)`.
    pub fn type_name(&self) -> String {
        self.noun(false)
    }

    fn noun(&self, many: bool) -> String {
        let s = if many { "s" } else { "" };
        match self {
            Form::Text { content, .. } => content.noun(many).to_owned(),
            Form::Time(_) => format!("duration{s} (ms, s, m, h)"),
            Form::Seconds(_) => format!("duration{s} (s, m, h)"),
            Form::Number { unit: "", .. } => format!("integer{s}"),
            Form::Number { unit, .. } => format!("integer{s} ({unit})"),
            Form::Percent => format!("percentage{s}"),
            Form::Flag => format!("boolean{s}"),
            Form::Words(_) | Form::AnyCase(_) => format!("word{s}"),
            Form::Fields(_) | Form::Table(_) => format!("table{s}"),
            Form::List(form) => format!("list{s} of {}", form.noun(true)),
            Form::OneOrMore(form) | Form::UpTo(form, _) => {
                format!("{}, or a list of {}", form.noun(many), form.noun(true))
            }
            Form::Either(forms) => {
                let forms: Vec<String> = forms.iter().map(|form| form.noun(many)).collect();
                forms.join(" or ")
            }
            Form::Tables(..) => format!("list{s} of tables"),
        }
    }

    /// The table that its value is, or its values are.
    pub fn table(&self) -> Option<&'static Table> {
        match self {
            Form::Table(table) | Form::Tables(table, _) => Some(table),
            Form::Either(forms) => forms.iter().find_map(Form::table),
            Form::UpTo(form, _) => form.table(),
            _ => None,
        }
    }

    /// The words that it may be, if it is one of a few.
    pub fn words(&self) -> &'static [&'static str] {
        match self {
            Form::Words(words) | Form::AnyCase(words) => words,
            Form::OneOrMore(form) | Form::UpTo(form, _) => form.words(),
            Form::Either(forms) => {
                let mut words = forms.iter().map(Form::words);
                words.find(|words| !words.is_empty()).unwrap_or_default()
            }
            _ => &[],
        }
    }
}

fn span(range: &RangeInclusive<Duration>) -> String {
    format!(
        "`\"{}\"` to `\"{}\"`",
        time::show(*range.start()),
        time::show(*range.end())
    )
}

fn listed(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
    words.join(", ")
}

/// Its keys; of a large table, its name.
fn named(table: &Table) -> String {
    const MOST: usize = 8;
    let names: Vec<String> = table.names().iter().map(|name| format!("`{name}`")).collect();
    if names.len() > MOST {
        return format!("the keys of {}", table.title);
    }
    names.join(", ")
}

impl Unset {
    /// As lb.toml would say it, where it can.
    pub fn written(&self) -> Option<String> {
        match self {
            Unset::Needed | Unset::Nothing | Unset::Said(_) => None,
            Unset::Time(time) => Some(format!("\"{}\"", time::show(*time))),
            Unset::Number(number) => Some(number.to_string()),
            Unset::Flag(flag) => Some(flag.to_string()),
            Unset::Text(text) => Some(format!("\"{text}\"")),
        }
    }

    /// In words, with values as code; empty where there is nothing to say.
    pub fn shown(&self) -> String {
        match self {
            Unset::Needed => "needed".to_owned(),
            Unset::Nothing => String::new(),
            Unset::Said(said) => (*said).to_owned(),
            Unset::Number(number) => number.to_string(),
            other => other
                .written()
                .map_or_else(String::new, |value| format!("`{value}`")),
        }
    }
}
