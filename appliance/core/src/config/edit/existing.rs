//! What exists that a value can name: interfaces and addresses of the text, files beside it.
//! Must not: read files; their names are asked for only where a key takes one.

use std::collections::BTreeSet;
use std::fmt;

use toml::de::{DeTable, DeValue};

use super::super::keys::Content;

pub struct Existing<'a> {
    /// lb.toml as it is.
    pub text: &'a str,
    /// Names of files beside it.
    pub files: &'a dyn Fn() -> Vec<String>,
}

impl fmt::Debug for Existing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Existing").finish_non_exhaustive()
    }
}

impl Existing<'_> {
    /// Nothing, where a text of this kind names nothing that is known here, or lb.toml is no TOML.
    pub(super) fn named(&self, content: Content) -> Vec<String> {
        match content {
            Content::Interface => self.interfaces(),
            Content::OwnAddress => self.addresses(),
            Content::OwnEndpoint => self.addresses().into_iter().map(before_port).collect(),
            Content::Pem => (self.files)(),
            _ => Vec::new(),
        }
    }

    /// As the file calls them: by name, or else by MAC address.
    fn interfaces(&self) -> Vec<String> {
        self.of_each(|interface| {
            let mac = || interface.get("match")?.get_ref().as_table()?.get("mac");
            let name = interface.get("name").or_else(mac);
            name.and_then(|name| name.get_ref().as_str())
                .map(str::to_owned)
                .into_iter()
                .collect()
        })
    }

    fn addresses(&self) -> Vec<String> {
        let all = self.of_each(|interface| {
            let addresses = interface
                .get("addresses")
                .and_then(|all| all.get_ref().as_array());
            let texts = addresses.into_iter().flat_map(|all| all.iter());
            let texts = texts.filter_map(|one| one.get_ref().as_str());
            texts
                .filter_map(|text| text.split('/').next())
                .map(str::to_owned)
                .collect()
        });
        let sorted: BTreeSet<String> = all.into_iter().collect();
        sorted.into_iter().collect()
    }

    fn of_each(&self, found: impl Fn(&DeTable<'_>) -> Vec<String>) -> Vec<String> {
        let Ok(file) = DeTable::parse(self.text) else {
            return Vec::new();
        };
        let all = file.get_ref().get("interface").map(|all| all.get_ref());
        let all = all
            .and_then(DeValue::as_array)
            .into_iter()
            .flat_map(|all| all.iter());
        all.filter_map(|one| one.get_ref().as_table())
            .flat_map(found)
            .collect()
    }
}

/// An IPv6 address has brackets before a port.
fn before_port(address: String) -> String {
    match address.contains(':') {
        true => format!("[{address}]"),
        false => address,
    }
}
