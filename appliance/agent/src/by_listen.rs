//! Services by what they listen on: where each stands in a configuration, whose own order is that of the file.
//! Must not: hold them.

use std::sync::Arc;

use lb_core::config::{Config, VirtualServer};
use lb_core::model::VirtualKey;

/// Where each service stands, in the order of what they listen on.
pub fn places(services: &[Arc<VirtualServer>]) -> Vec<u32> {
    let mut places: Vec<u32> = (0..).take(services.len()).collect();
    places.sort_by_key(|at| services[*at as usize].key);
    places
}

/// Where a service stands in the configuration.
pub fn place(config: &Config, by_listen: &[u32], key: &VirtualKey) -> Option<usize> {
    let services = &config.virtual_servers;
    let found = by_listen.binary_search_by_key(key, |at| services[*at as usize].key);
    found.ok().map(|at| by_listen[at] as usize)
}

/// The service with this key.
pub fn find<'c>(config: &'c Config, by_listen: &[u32], key: &VirtualKey) -> Option<&'c VirtualServer> {
    place(config, by_listen, key).map(|at| config.virtual_servers[at].as_ref())
}
