//! Every table and key of lb.toml: its form, its default, what it means. The reader takes from here which keys there are, and this
//! takes the reader's limits; messages, `explain`, the schema for editors and the guide's tables are made of it.
//! Must not: read a file, or hold a number that the reader has as well.

mod asked;
mod check;
mod find;
mod form;
mod gateway;
mod interface;
mod server;
mod service;
#[cfg(test)]
mod tests;
mod top;

pub use self::asked::URL;
pub use self::check::CHECK;
pub use self::find::{Place, find, places};
pub use self::form::{Content, Count, Form, Unset};
pub use self::gateway::{MASQUERADE, PORT_FORWARD};
pub use self::interface::{BOND, BRIDGE, INTERFACE, MATCH, ROUTE, VLAN};
pub use self::server::{REAL_SERVER, SORRY_SERVER};
pub use self::service::{PERSISTENCE, TUNNEL, VIRTUAL_SERVER};
pub use self::top::{CHECKS, CONFIRM, ROOT, TIMEOUTS};

use super::check::Kind;

/// A kind of table.
#[derive(Debug)]
pub struct Table {
    /// Where it stands first: `virtual_server.check`; empty for the top level.
    pub path: &'static str,
    /// How messages name it.
    pub title: &'static str,
    pub about: &'static str,
    /// The line under which the examples of its keys stand.
    pub header: &'static str,
    /// The keys in the order in which they are listed; more than one group only where they fill more than one file.
    pub groups: &'static [&'static [Key]],
}

#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    pub form: Form,
    /// What holds where the key is not given.
    pub unset: Unset,
    /// What it means, in the words of the guide.
    pub about: &'static str,
    /// Each of its words with what it does, where `about` cannot say that of all; in the order of the words.
    pub meanings: &'static [(&'static str, &'static str)],
    /// Lines below the table's `header` that parse, with this key among them.
    pub example: &'static str,
    /// keepalived's word, which is accepted for it.
    pub alias: Option<&'static str>,
    /// keepalived's word, which is told what it is here.
    pub keepalived: Option<&'static str>,
    /// The version that had it first.
    pub since: &'static str,
    /// The types of check that it means something to; none: to all.
    types: &'static [Kind],
    /// Where it means something else to one type of check.
    of_types: &'static [OfType],
    /// The place in the guide that says more.
    pub see: Option<&'static str>,
}

/// What is different for one type of check.
#[derive(Debug)]
pub struct OfType {
    kind: Kind,
    pub about: Option<&'static str>,
    pub unset: Option<Unset>,
}

/// To be filled in.
const KEY: Key = Key {
    name: "",
    form: Form::Flag,
    unset: Unset::Nothing,
    about: "",
    meanings: &[],
    example: "",
    alias: None,
    keepalived: None,
    since: "0.1.0",
    types: &[],
    of_types: &[],
    see: None,
};

impl Table {
    pub fn keys(&self) -> impl Iterator<Item = &'static Key> + use<> {
        self.groups.iter().copied().flatten()
    }

    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys().find(|key| key.name == name)
    }

    /// Whether the reader takes it, be it as keepalived's word.
    pub(super) fn has(&self, name: &str) -> bool {
        self.keys().any(|key| key.name == name || key.alias == Some(name))
    }

    pub fn names(&self) -> Vec<&'static str> {
        self.keys().map(|key| key.name).collect()
    }
}

impl Key {
    /// The types of check that it belongs to, if not to all.
    pub fn types(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.types.iter().map(|kind| kind.as_str())
    }

    pub(super) fn kinds(&self) -> &'static [Kind] {
        self.types
    }

    /// The types of check to which it means something else, or for which it has another default.
    pub fn own_types(&self) -> impl Iterator<Item = &'static OfType> + use<> {
        self.of_types.iter()
    }

    fn of_type(&self, word: &str) -> Option<&'static OfType> {
        self.own_types().find(|of| of.word() == word)
    }

    /// What it means to a check of this type.
    pub fn about_of(&self, word: &str) -> &'static str {
        self.of_type(word).and_then(|of| of.about).unwrap_or(self.about)
    }

    /// What holds where a check of this type does not give it.
    pub fn unset_of(&'static self, word: &str) -> &'static Unset {
        let own = self.of_type(word).and_then(|of| of.unset.as_ref());
        own.unwrap_or(&self.unset)
    }
}

impl OfType {
    /// As `type` has it.
    pub fn word(&self) -> &'static str {
        self.kind.as_str()
    }
}
