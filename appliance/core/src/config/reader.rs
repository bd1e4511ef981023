//! Reads the tables of a parsed document: keys one by one, each value by itself through serde, so that one wrong value
//! hides no other fault. Must not: know what the keys mean.

use std::ops::{Range, RangeInclusive};

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, ValueDeserializer};

use super::fault::{FaultList, Wrong, alternatives, quoted};
use super::keys::Table;
use super::lines::Lines;
use super::shape::closest;
use super::syntax::Damage;

/// What reading the file has brought to light so far.
#[derive(Debug)]
pub(super) struct Reader<'t> {
    pub lines: Lines<'t>,
    pub faults: FaultList,
    /// What could not be read at all; conclusions from something's absence stop there.
    pub damage: Damage,
}

/// One table.
#[derive(Debug)]
pub(super) struct Section<'d, 'i> {
    /// Its header, or all of an inline table.
    pub span: Range<usize>,
    /// Where the part of the file begins that was parsed.
    base: usize,
    table: &'d DeTable<'i>,
    shape: &'static Table,
    /// Values of unknown keys, under the key that was most likely meant: what is in them is judged all the same, and
    /// that key is not missing as well.
    guessed: Vec<Value<'d, 'i>>,
}

/// The value of one key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value<'d, 'i> {
    pub key: &'static str,
    base: usize,
    node: &'d Spanned<DeValue<'i>>,
}

impl<'d, 'i> Section<'d, 'i> {
    pub fn value(&self, key: &'static str) -> Option<Value<'d, 'i>> {
        debug_assert!(self.shape.has(key), "`{key}` is read, but not allowed");
        let guessed = || self.guessed.iter().find(|value| value.key == key).copied();
        let base = self.base;
        self.table
            .get(key)
            .map(|node| Value { key, base, node })
            .or_else(guessed)
    }

    /// Where the key itself stands.
    pub fn key_span(&self, key: &str) -> Option<Range<usize>> {
        self.table
            .get_key_value(key)
            .map(|(key, _)| moved(key.span(), self.base))
    }
}

impl<'d, 'i> Value<'d, 'i> {
    fn elements(&self, array: &'d DeArray<'i>) -> Vec<Value<'d, 'i>> {
        array.iter().map(|node| Value { node, ..*self }).collect()
    }

    pub fn span(&self) -> Range<usize> {
        moved(self.node.span(), self.base)
    }

    pub fn text(&self) -> Option<&str> {
        self.node.get_ref().as_str()
    }

    pub fn is_integer(&self) -> bool {
        self.node.get_ref().is_integer()
    }

    pub fn boolean(&self) -> Option<bool> {
        self.node.get_ref().as_bool()
    }

    pub fn is_table(&self) -> bool {
        self.node.get_ref().is_table()
    }

    pub fn is_list(&self) -> bool {
        self.node.get_ref().is_array()
    }

    pub fn is_number(&self) -> bool {
        self.is_integer() || self.node.get_ref().is_float()
    }

    /// The fault of a value that is of another type than its key wants.
    pub fn mismatch(&self, wanted: &str, help: &str) -> Wrong {
        let found = match self.node.get_ref() {
            DeValue::String(_) => "text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        Wrong::new(format!("`{}` must be {wanted}, not {found}", self.key), help)
    }
}

impl<'t> Reader<'t> {
    pub fn new(text: &'t str) -> Reader<'t> {
        Reader {
            lines: Lines::new(text),
            faults: FaultList::default(),
            damage: Damage::default(),
        }
    }

    pub fn fault(&mut self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.faults.add(span, Wrong::new(message, help));
    }

    /// `line 12`.
    pub fn line(&self, span: &Range<usize>) -> String {
        format!("line {}", self.lines.number(span.start))
    }

    /// What the file says there, as it was typed.
    pub fn source(&self, span: &Range<usize>) -> &'t str {
        self.lines.text().get(span.clone()).unwrap_or_default()
    }

    /// Opens the top level of the part of the file that begins at `base`.
    pub fn top_level<'d, 'i>(&mut self, document: &'d DeTable<'i>, base: usize) -> Section<'d, 'i> {
        self.section(document, 0..0, base, &super::shape::ROOT)
    }

    /// Opens a table; its unknown keys are faults.
    fn section<'d, 'i>(
        &mut self,
        table: &'d DeTable<'i>,
        span: Range<usize>,
        base: usize,
        shape: &'static Table,
    ) -> Section<'d, 'i> {
        let mut guessed = Vec::new();
        for (key, node) in table.iter().filter(|(key, _)| !shape.has(key.get_ref())) {
            if self.faults.is_full() {
                self.faults.count_unlisted(1);
                continue;
            }
            let name = key.get_ref();
            guessed.extend(shape.closest(name).map(|key| Value { key, base, node }));
            self.fault(
                moved(key.span(), base),
                format!("unknown key {} in {}", quoted(name), shape.title),
                shape.help(name),
            );
        }
        Section {
            span,
            base,
            table,
            shape,
            guessed,
        }
    }

    /// Opens the table that is this value; `help` shows how it is written.
    pub fn table<'d, 'i>(
        &mut self,
        value: Value<'d, 'i>,
        shape: &'static Table,
        help: &str,
    ) -> Option<Section<'d, 'i>> {
        match value.node.get_ref() {
            DeValue::Table(table) => Some(self.section(table, value.span(), value.base, shape)),
            _ => {
                self.faults.add(value.span(), value.mismatch("a table", help));
                None
            }
        }
    }

    /// The tables of a list, such as all `[[interface]]`; `help` shows how one is written.
    pub fn tables<'d, 'i>(
        &mut self,
        parent: &Section<'d, 'i>,
        key: &'static str,
        shape: &'static Table,
        help: &str,
    ) -> Vec<Section<'d, 'i>> {
        let values = self.unopened_tables(parent, key, help);
        values
            .into_iter()
            .filter_map(|value| self.table(value, shape, help))
            .collect()
    }

    /// The same for those who open one after the other.
    pub fn unopened_tables<'d, 'i>(
        &mut self,
        parent: &Section<'d, 'i>,
        key: &'static str,
        help: &str,
    ) -> Vec<Value<'d, 'i>> {
        let Some(value) = parent.value(key) else {
            return Vec::new();
        };
        if let DeValue::Array(array) = value.node.get_ref() {
            return value.elements(array);
        }
        self.faults
            .add(value.span(), value.mismatch("a list of tables", help));
        match value.node.get_ref() {
            DeValue::Table(_) => vec![value],
            _ => Vec::new(),
        }
    }

    /// The elements of a list; one value without its brackets is a fault, and is read nevertheless.
    pub fn list<'d, 'i>(
        &mut self,
        parent: &Section<'d, 'i>,
        key: &'static str,
        help: &str,
    ) -> Vec<Value<'d, 'i>> {
        let Some(value) = parent.value(key) else {
            return Vec::new();
        };
        if let DeValue::Array(array) = value.node.get_ref() {
            return value.elements(array);
        }
        self.faults.add(value.span(), value.mismatch("a list", help));
        vec![value]
    }

    /// One value, or the elements of a list, which has some; `help` says what is to be in it.
    pub fn one_or_more<'d, 'i>(&mut self, value: Value<'d, 'i>, help: &str) -> Vec<Value<'d, 'i>> {
        let DeValue::Array(array) = value.node.get_ref() else {
            return vec![value];
        };
        if array.is_empty() {
            self.fault(
                value.span(),
                format!("`{}` is empty", value.key),
                format!("allowed: {help}"),
            );
        }
        value.elements(array)
    }

    /// The value of a key that has no default.
    pub fn required<'d, 'i>(
        &mut self,
        section: &Section<'d, 'i>,
        key: &'static str,
        help: &str,
    ) -> Option<Value<'d, 'i>> {
        let value = section.value(key);
        if value.is_none() {
            self.missing(section, format!("{} without `{key}`", section.shape.title), help);
        }
        value
    }

    /// A fault that is concluded from what is not in a table.
    pub fn missing(&mut self, section: &Section<'_, '_>, message: impl Into<String>, help: &str) {
        if !self.damage.touches(&section.span) {
            self.fault(section.span.clone(), message, help);
        }
    }

    /// Reads one value; `explain` says what is wrong with one that cannot be read.
    pub fn leaf<T: DeserializeOwned>(
        &mut self,
        value: Value<'_, '_>,
        explain: impl FnOnce(Value<'_, '_>) -> Wrong,
    ) -> Option<Spanned<T>> {
        match T::deserialize(ValueDeserializer::from(value.node.clone())) {
            Ok(read) => Some(Spanned::new(value.span(), read)),
            Err(_) => {
                self.faults.add(value.span(), explain(value));
                None
            }
        }
    }

    pub fn flag(&mut self, value: Value<'_, '_>) -> Option<bool> {
        let read = self.leaf::<bool>(value, |value| {
            value.mismatch("true or false", "allowed: true and false")
        })?;
        Some(read.into_inner())
    }

    /// Reads one of a few words. `later`: words that make sense, but are not in this version.
    pub fn word<T: DeserializeOwned>(
        &mut self,
        value: Value<'_, '_>,
        allowed: &[&'static str],
        later: &[&str],
    ) -> Option<Spanned<T>> {
        // Only what is wrong needs the words: there are thousands that are not.
        let allowed_help = || format!("allowed: {}", quote_all(allowed));
        let Some(text) = value.text() else {
            self.faults
                .add(value.span(), value.mismatch("text", &allowed_help()));
            return None;
        };
        self.leaf(value, |value| {
            let lowercase = text.to_ascii_lowercase();
            if later.contains(&lowercase.as_str()) {
                return Wrong::new(
                    format!("{} {} is not in this version", value.key, quoted(text)),
                    allowed_help(),
                );
            }
            unknown_word(value.key, text, allowed)
        })
    }

    /// Reads one of `words`, which stand for `all` in their order, whatever their case if that is so.
    pub fn one_of<T: Copy>(
        &mut self,
        value: Value<'_, '_>,
        all: &[T],
        words: &[&'static str],
        any_case: bool,
    ) -> Option<Spanned<T>> {
        let Some(text) = value.text() else {
            let help = format!("allowed: {}", quote_all(words));
            self.faults.add(value.span(), value.mismatch("text", &help));
            return None;
        };
        let same = |word: &&str| *word == text || any_case && word.eq_ignore_ascii_case(text);
        let found = words.iter().position(same).and_then(|at| all.get(at));
        if found.is_none() {
            self.faults
                .add(value.span(), unknown_word(value.key, text, words));
        }
        Some(Spanned::new(value.span(), *found?))
    }

    /// Reads one of a few words, or takes the default of a key that is not given; `None` is a fault.
    pub fn word_or<T: DeserializeOwned>(
        &mut self,
        value: Option<Value<'_, '_>>,
        default: T,
        allowed: &[&'static str],
        later: &[&str],
    ) -> Option<T> {
        match value {
            Some(value) => self.word(value, allowed, later).map(Spanned::into_inner),
            None => Some(default),
        }
    }

    /// Reads a whole number within limits.
    pub fn integer(&mut self, value: Value<'_, '_>, allowed: RangeInclusive<u32>) -> Option<Spanned<u32>> {
        let written = self.source(&value.span());
        let explain = |value: Value<'_, '_>| {
            let (least, most) = (allowed.start(), allowed.end());
            let help = format!("allowed: {least} to {most}, without quotes");
            if value.is_integer() {
                let written = quoted(written);
                Wrong::new(format!("{written} is out of range for `{}`", value.key), help)
            } else {
                value.mismatch("a whole number", &help)
            }
        };
        let number: Spanned<u32> = self.leaf(value, explain)?;
        if allowed.contains(number.get_ref()) {
            return Some(number);
        }
        self.faults.add(value.span(), explain(value));
        None
    }
}

/// What is wrong with a word that is none of those allowed.
fn unknown_word(key: &str, text: &str, allowed: &[&'static str]) -> Wrong {
    let listed = format!("allowed: {}", quote_all(allowed));
    let help = match closest(text, allowed) {
        Some(word) if word.len() > 1 => format!("did you mean \"{word}\"? {listed}"),
        _ => listed,
    };
    Wrong::new(format!("unknown value {} for `{key}`", quoted(text)), help)
}

/// A place within a part of the file, as a place of the file.
fn moved(span: Range<usize>, base: usize) -> Range<usize> {
    span.start + base..span.end + base
}

/// `"a", "b" or "c"`.
fn quote_all(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    alternatives(&words)
}
