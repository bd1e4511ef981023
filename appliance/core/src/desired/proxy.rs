//! The rules of services whose clients are proved before they are connected (`syn_proxy`). A cookie in the answer to a SYN costs
//! no memory; only a client that sends it back becomes a connection of IPVS, which the box begins in its name.
//! Must not: decide which services these are.

use crate::config::VirtualServer;
use crate::model::Endpoint;
use crate::ruleset::{Family, Rule};

/// What every interface carries, if none says otherwise.
const MTU: u32 = 1_500;

#[derive(Debug, Default)]
pub(super) struct Rules {
    /// The first before connection tracking.
    pub raw: Vec<Rule>,
    /// The first of the input filter: for every client, also one beside the servers.
    pub input: Vec<Rule>,
    pub output: Vec<Rule>,
}

/// `open` are the services that clients may reach: of a closed one nobody is told that it listens. `mtus` are those of the
/// links that lead to clients and servers.
pub(super) fn rules<'c>(
    open: impl Iterator<Item = &'c VirtualServer>,
    mtus: impl Iterator<Item = u32>,
) -> Rules {
    let mtu = mtus.min().unwrap_or(MTU);
    let mut rules = Rules::default();
    for service in open.filter(|v| v.syn_proxy).filter_map(VirtualServer::endpoint) {
        rules.raw.push(Rule::UntrackSyns(service));
        rules.input.push(Rule::ProxySyns {
            service,
            mss: mss(&service, mtu),
        });
        rules.output.push(Rule::UntrackAnswers(service));
    }
    rules
}

fn mss(service: &Endpoint, mtu: u32) -> u16 {
    let family = match service.address.is_ipv4() {
        true => Family::V4,
        false => Family::V6,
    };
    u16::try_from(mtu.saturating_sub(family.headers())).unwrap_or(u16::MAX)
}
