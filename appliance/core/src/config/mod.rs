//! lb.toml: text in, [`Config`] or every fault at once out.
//! The way: `parts` (a large text service by service) → `syntax` (text to TOML) → `reader` (values one by one, through serde) → `interface`, `masquerade`, `service`
//! (types that cannot be wrong). Must not: read files, know the kernel, or decide anything about forwarding.

mod address;
mod answers;
mod asked;
mod changed;
mod check;
mod confirm;
pub mod edit;
mod explain;
mod fault;
mod forward;
mod interface;
pub mod keys;
mod lines;
mod links;
mod listen;
mod marks;
mod masquerade;
mod model;
mod outline;
mod parts;
mod pool;
mod port_forward;
mod reader;
mod render;
mod route;
mod server;
mod service;
mod shape;
mod stack;
mod statements;
mod static_failure;
mod syntax;
mod syntax_words;
#[cfg(test)]
mod tests;
mod time;
mod timeouts;
mod topology;
mod warnings;

use toml::de::DeTable;

pub use asked::{check_of_words, check_types};
pub use changed::{Changed, changed, unseen_by_the_kernel};
pub use explain::explain;
pub use fault::{Fault, Faults};
pub use model::{
    Bond, Bridge, Config, HostName, Interface, InterfaceKind, LinkSelector, Masquerade, MssClamp,
    PortForward, RealServer, Route, VirtualServer, Vlan, WhenDown,
};
pub use parts::{Before, Parts, fingerprint};
pub use warnings::{missing_files, named_files, namers_of, warnings};

use fault::Wrong;
pub(crate) use fault::quoted;
use reader::{Reader, Section};
use service::Services;

/// The largest lb.toml that is read: some 1,000 services with 40 servers each, every key spelled out.
pub const MAX_BYTES: usize = 8 << 20;

/// A time as lb.toml has it: a number and one unit, `500ms`, `2m`.
pub fn time(text: &str) -> Option<std::time::Duration> {
    text.parse().ok().map(|time::Time(duration)| duration)
}

/// Parses and validates the bytes of lb.toml.
pub fn parse_bytes(bytes: &[u8]) -> Result<Config, Faults> {
    parse_bytes_after(bytes, None).map(|(config, _)| config)
}

/// The same, with what was read before: a service that was there word for word is not read again.
pub fn parse_bytes_after(bytes: &[u8], before: Option<Before<'_>>) -> Result<(Config, Parts), Faults> {
    refuse_size(bytes.len())?;
    match std::str::from_utf8(bytes) {
        Ok(text) => parse_after(text, before),
        Err(error) => Err(not_utf8(bytes, error.valid_up_to())),
    }
}

/// Parses and validates the text of lb.toml.
pub fn parse(text: &str) -> Result<Config, Faults> {
    refuse_size(text.len())?;
    parse_after(text, None).map(|(config, _)| config)
}

fn parse_after(text: &str, before: Option<Before<'_>>) -> Result<(Config, Parts), Faults> {
    let in_parts = parts::parse(text, before);
    in_parts.unwrap_or_else(|| parse_whole(text).map(|config| (config, Parts::default())))
}

/// All of the text as one document.
fn parse_whole(text: &str) -> Result<Config, Faults> {
    syntax::refuse_excess(text).map_err(|wrong| Faults::one(0..0, wrong))?;
    let mut reader = Reader::new(text);
    let blanked;
    let document = match DeTable::parse(text) {
        Ok(document) => document,
        Err(_) => {
            blanked = syntax::blank_faulty(&mut reader);
            syntax::parse_rest(&blanked, 0, &mut reader).0
        }
    };
    let root = reader.top_level(document.get_ref(), 0);
    let config = config(&mut reader, &root, |reader, services| {
        services.read(reader, &root);
        Some(())
    });
    if reader.faults.is_empty() {
        Ok(config.unwrap_or_else(Config::empty))
    } else {
        Err(reader.faults.into_faults())
    }
}

fn refuse_size(bytes: usize) -> Result<(), Faults> {
    if bytes <= MAX_BYTES {
        return Ok(());
    }
    let message = format!("the file is larger than {} MiB", MAX_BYTES >> 20);
    let help = "lb.toml holds settings only; this looks like another file";
    Err(Faults::one(0..0, Wrong::new(message, help)))
}

/// The place of the first bad byte. What is before it is text, so that the place is the same in the text with
/// replacement characters that is shown.
fn not_utf8(bytes: &[u8], at: usize) -> Faults {
    let wide = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    let help = if wide {
        "the file is in UTF-16; save it in UTF-8"
    } else {
        "save the file in UTF-8; only comments need more than ASCII"
    };
    Faults::one(
        at..at,
        Wrong::new(format!("the byte 0x{:02X} is not UTF-8", bytes[at]), help),
    )
}

/// `read_services` may find that they cannot be read.
fn config(
    reader: &mut Reader<'_>,
    root: &Section<'_, '_>,
    read_services: impl FnOnce(&mut Reader<'_>, &mut Services<'_>) -> Option<()>,
) -> Option<Config> {
    let hostname = hostname(reader, root);
    let timeouts = timeouts::read(reader, root);
    let fail_static = static_failure::read(reader, root);
    let (interfaces, topology) = interface::read(reader, root);
    let confirm = confirm::read(reader, root, &interfaces);
    let masquerades = masquerade::read(reader, root, &topology);
    let mut services = Services::new(&topology);
    read_services(reader, &mut services)?;
    let (mut virtual_servers, places, taken) = services.finish();
    marks::assign(&mut virtual_servers);
    let port_forwards = port_forward::read(reader, root, &topology, taken);
    answers::judge(reader, &virtual_servers, &port_forwards, &places)?;
    Some(Config {
        hostname,
        timeouts,
        fail_static,
        confirm,
        interfaces,
        masquerades,
        port_forwards,
        virtual_servers,
    })
}

fn hostname(reader: &mut Reader<'_>, root: &Section<'_, '_>) -> HostName {
    let allowed = "allowed (RFC 1123): 1 to 63 letters, digits and hyphens, no hyphen at either end";
    let Some(value) = root.value("hostname") else {
        return HostName::default();
    };
    let Some(text) = reader.leaf::<String>(value, |value| value.mismatch("text", allowed)) else {
        return HostName::default();
    };
    let text = text.into_inner();
    match HostName::new(&text) {
        Some(name) => name,
        None => {
            let help = match text.split_once('.') {
                Some((first, _)) if HostName::new(first).is_some() => {
                    format!("write the first label only: \"{first}\"; {allowed}")
                }
                _ => allowed.to_owned(),
            };
            reader.fault(value.span(), format!("{} is no host name", quoted(&text)), help);
            HostName::default()
        }
    }
}
