//! A text read service by service, so that never more than one of them is there as a document, and one that was there word
//! for word in the text before is not read again. It gives what reading the text as a whole gives, word for word; a text
//! that is not made of such parts is left to that. Must not: know the keys of a service.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::Faults;
use super::model::{Config, VirtualServer};
use super::outline::{Outline, SERVICES};
use super::reader::Reader;
use super::service::Services;
use super::{config, syntax};

/// What the parts of a text were: fingerprints of 64 bits. Empty for a text that was read as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parts {
    rest: u64,
    /// One for each service, in the order of the file.
    services: Vec<u64>,
}

/// A text that was read, and what it said.
pub type Before<'b> = (&'b Parts, &'b Config);

type Read = Result<(Config, Parts), Faults>;

/// Eight bytes at a time by a multiplication whose halves are folded together, as wyhash does it
/// (https://github.com/wangyi-fudan/wyhash, and its constants). A change costs the reading of the whole file, and a hash that
/// withstands people who look for collisions would be half of that; who writes this file owns the box.
pub fn fingerprint(text: &[u8]) -> u64 {
    const SECRET: [u64; 2] = [0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db];
    let fold = |hash: u64, word: u64| {
        let wide = u128::from(hash ^ word) * u128::from(SECRET[1]);
        (wide as u64) ^ (wide >> 64) as u64
    };
    let (words, rest) = text.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let words = words.iter().chain([&last]).map(|word| u64::from_le_bytes(*word));
    words.fold(fold(SECRET[0], text.len() as u64), fold)
}

/// `None`: the text has to be read as a whole.
pub(super) fn parse(text: &str, before: Option<Before<'_>>) -> Option<Read> {
    let outline = Outline::of(text)?;
    let sound = |part| DeTable::parse(part).ok();
    let read = |known| read(text, &outline, Reader::new(text), sound, known);
    // A fault may be about a service that was not read: then all are.
    let again = before.and_then(|before| Known::of(before, &outline)).map(read);
    if let Some(Some(Ok(read))) = again {
        return Some(Ok(read));
    }
    read(Known::default()).or_else(|| recover(text))
}

/// The same for a text with statements that are not TOML: they are reported and blanked.
fn recover(text: &str) -> Option<Read> {
    let mut reader = Reader::new(text);
    let blanked = syntax::blank_faulty(&mut reader);
    let outline = Outline::of(&blanked).filter(|outline| outline.is_exact(&blanked))?;
    // First of all parts what their statements together get wrong: nothing is concluded before all damage is known.
    let mut complete = syntax::parse_rest(&outline.rest, 0, &mut reader).1;
    for part in &outline.services {
        complete &= syntax::parse_rest(&blanked[part.clone()], part.start, &mut reader).1;
    }
    if !complete {
        return None;
    }
    let rest = |part| Some(DeTable::parse_recoverable(part).0);
    read(&blanked, &outline, reader, rest, Known::default())
}

/// Services by their fingerprints.
#[derive(Default)]
struct Known<'b>(BTreeMap<u64, &'b Arc<VirtualServer>>);

impl<'b> Known<'b> {
    /// What is not a service decides on what a service may be: it has to be the same.
    fn of((parts, config): Before<'b>, outline: &Outline<'_>) -> Option<Known<'b>> {
        let services = &config.virtual_servers;
        let same = parts.services.len() == services.len()
            && parts.rest == fingerprint(outline.rest.trim_end().as_bytes());
        let known = parts.services.iter().copied().zip(services);
        same.then(|| Known(known.collect()))
    }
}

/// `parse`: a part as a document, if it is one.
fn read<'o>(
    text: &'o str,
    outline: &'o Outline<'_>,
    mut reader: Reader<'_>,
    parse: impl Fn(&'o str) -> Option<Spanned<DeTable<'o>>>,
    known: Known<'_>,
) -> Option<Read> {
    let rest = parse(&outline.rest)?;
    if rest.get_ref().contains_key(SERVICES) {
        return None;
    }
    let mut parts = Parts {
        rest: fingerprint(outline.rest.trim_end().as_bytes()),
        services: Vec::with_capacity(outline.services.len()),
    };
    let root = reader.top_level(rest.get_ref(), 0);
    let config = config(&mut reader, &root, |reader, services: &mut Services<'_>| {
        for range in &outline.services {
            let part = &text[range.clone()];
            let print = fingerprint(part.as_bytes());
            parts.services.push(print);
            if let Some(service) = known.0.get(&print) {
                services.take_over(service)?;
                continue;
            }
            let document = parse(part)?;
            if !is_one_service(document.get_ref()) {
                return None;
            }
            let root = reader.top_level(document.get_ref(), range.start);
            services.read(reader, &root);
        }
        Some(())
    })?;
    Some(match reader.faults.is_empty() {
        true => Ok((config, parts)),
        false => Err(reader.faults.into_faults()),
    })
}

fn is_one_service(document: &DeTable<'_>) -> bool {
    let only = document.get(SERVICES).filter(|_| document.len() == 1);
    only.is_some_and(|value| matches!(value.get_ref(), DeValue::Array(services) if services.len() == 1))
}
