//! What the kernel has refused as faults of lb.toml: where, in which words, and what to do about it.
//! Must not: know how the steps were tried.

use std::ops::Range;

use super::{Refusal, Subject};
use crate::config::edit::place;
use crate::config::{Config, Faults};

/// `None`: nothing was refused. `config` is what `text` says.
pub fn faults(text: &str, config: &Config, refusals: &[Refusal]) -> Option<Faults> {
    Faults::found(refusals.iter().map(|refusal| {
        let span = span(text, config, &refusal.subject).unwrap_or_default();
        let message = format!("the kernel refuses `{}`: {}", refusal.step, refusal.fault);
        (span, message, remedy(&refusal.subject).to_owned())
    }))
}

fn span(text: &str, config: &Config, subject: &Subject) -> Option<Range<usize>> {
    match subject {
        Subject::Interface { label, key, of } => {
            let index = config.interfaces.iter().position(|i| i.label == *label)?;
            let routes = &config.interfaces[index].routes;
            let to = |of: &String| routes.iter().position(|r| r.to.to_string() == *of);
            let route = of.as_ref().filter(|_| *key == "routes").and_then(to);
            let way = [("interface", Some(index)), (*key, route)];
            place(text, &way, of.as_deref())
        }
        Subject::Service { key, server } => {
            let index = config.services().position(|service| service.key == *key)?;
            let service = &config.virtual_servers[index];
            let at = |server| {
                service
                    .real_servers
                    .iter()
                    .position(|real| real.address == server)
            };
            let own = match server.and_then(at) {
                Some(at) => [("real_server", Some(at)), ("address", None)],
                None => [("listen", None), ("", None)],
            };
            place(
                text,
                &[[("virtual_server", Some(index))].as_slice(), &own].concat(),
                None,
            )
        }
        Subject::Rules => {
            let lists = ["masquerade", "port_forward"];
            lists
                .iter()
                .find_map(|list| place(text, &[(list, Some(0))], None))
        }
        Subject::Other => None,
    }
}

/// What an operator looks at first.
fn remedy(subject: &Subject) -> &'static str {
    match subject {
        Subject::Interface { key, .. } => match *key {
            "addresses" => {
                "give another address, or look at `mtu` of this interface and of what it stands on"
            }
            "gateway" | "routes" => {
                "the router has to be another machine on this link, and the destination no network that is there already"
            }
            "mtu" => "give another `mtu`, or give one to what this interface stands on",
            "vlan" | "bond" | "bridge" => "build it on other links, or with other settings",
            _ => "give the interface another `name`, or build it otherwise",
        },
        Subject::Service { .. } => "change these keys; `explain virtual_server` tells what they mean",
        Subject::Rules => {
            "take out what was added last: rules that translate, ports of services, or interfaces with them"
        }
        Subject::Other => "take out what was changed last; `config diff` shows the steps",
    }
}
