//! A text read service by service, so that never more than one of them is there as a document. It gives what reading the
//! text as a whole gives, word for word; a text that is not made of such parts is left to that.
//! Must not: know the keys of a service.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::Faults;
use super::model::Config;
use super::outline::{Outline, SERVICES};
use super::reader::Reader;
use super::{conclude, config, syntax};

/// `None`: the text has to be read as a whole.
pub(super) fn parse(text: &str) -> Option<Result<Config, Faults>> {
    let outline = Outline::of(text)?;
    let sound = |part| DeTable::parse(part).ok();
    read(text, &outline, Reader::new(text), sound).or_else(|| recover(text))
}

/// The same for a text with statements that are not TOML: they are reported and blanked.
fn recover(text: &str) -> Option<Result<Config, Faults>> {
    let mut reader = Reader::new(text);
    let blanked = syntax::blank_faulty(&mut reader);
    let outline = Outline::of(&blanked)?;
    // First of all parts what their statements together get wrong: nothing is concluded before all damage is known.
    syntax::parse_rest(&outline.rest, 0, &mut reader);
    for part in &outline.services {
        syntax::parse_rest(&blanked[part.clone()], part.start, &mut reader);
    }
    let rest = |part| Some(DeTable::parse_recoverable(part).0);
    read(&blanked, &outline, reader, rest)
}

/// `parse`: a part as a document, if it is one.
fn read<'o>(
    text: &'o str,
    outline: &'o Outline<'_>,
    mut reader: Reader<'_>,
    parse: impl Fn(&'o str) -> Option<Spanned<DeTable<'o>>>,
) -> Option<Result<Config, Faults>> {
    let rest = parse(&outline.rest)?;
    if rest.get_ref().contains_key(SERVICES) {
        return None;
    }
    let root = reader.top_level(rest.get_ref(), 0);
    let config = config(&mut reader, &root, |reader, services| {
        for part in &outline.services {
            let document = parse(&text[part.clone()])?;
            if !is_one_service(document.get_ref()) {
                return None;
            }
            let root = reader.top_level(document.get_ref(), part.start);
            services.read(reader, &root);
        }
        Some(())
    })?;
    Some(conclude(config, reader))
}

fn is_one_service(document: &DeTable<'_>) -> bool {
    let only = document.get(SERVICES).filter(|_| document.len() == 1);
    only.is_some_and(|value| matches!(value.get_ref(), DeValue::Array(services) if services.len() == 1))
}
