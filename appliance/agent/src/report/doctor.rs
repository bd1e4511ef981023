//! What `doctor` needs, and what it says. Must not: judge (that is `lb_core::doctor`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use lb_core::config::Config;
use lb_core::control::Response;
use lb_core::doctor::{Facts, examine};
use lb_core::model::MacAddress;
use lb_core::observed::Activity;

use crate::engine::Engine;

impl Engine {
    pub fn doctor(
        &self,
        name: Option<&str>,
        activity: &Activity,
        others: &BTreeMap<IpAddr, Vec<String>>,
    ) -> Response {
        let services = match self.chosen(name) {
            Ok(services) => services,
            Err(message) => return Response::Error { message },
        };
        let nothing = Config::empty();
        let facts = Facts {
            config: self.config.as_ref().unwrap_or(&nothing),
            observed: &self.observed,
            activity,
            others,
        };
        Response::Doctor(examine(&facts, services.into_iter()))
    }

    /// The addresses that services listen on, each with the link that holds it.
    pub fn held_addresses(&self, name: Option<&str>) -> Vec<(u32, MacAddress, IpAddr)> {
        let services = self.chosen(name).unwrap_or_default();
        let addresses: BTreeSet<IpAddr> = services
            .into_iter()
            .flat_map(|service| &service.listen)
            .map(|range| range.address)
            .collect();
        let held = |address: IpAddr| {
            let link = self.observed.links.get(self.network.holder(address)?)?;
            Some((link.index, link.mac.filter(|_| link.carrier)?, address))
        };
        addresses.into_iter().filter_map(held).collect()
    }
}
