//! `events`: what has happened, of all or of one thing that there is. Must not: note events.

use std::collections::BTreeSet;

use lb_core::config::Config;
use lb_core::control::Response;
use lb_core::suggest::nearest;

use super::services::listed;
use crate::engine::Engine;

impl Engine {
    /// The last events. A word that none of them names, and that names nothing in lb.toml either, is a slip.
    pub fn events(&self, last: usize, about: Option<&str>) -> Response {
        let report = self.history.report(last, about);
        let Some(about) = about.filter(|_| report.events.is_empty()) else {
            return Response::Events(report);
        };
        let known = self.config.as_ref().map(called).unwrap_or_default();
        if known.contains(about) {
            return Response::Events(report);
        }
        let names: Vec<&str> = known.iter().map(String::as_str).collect();
        let near = nearest(about, names.iter().copied());
        let near = near.map_or_else(|| ";".to_owned(), |near| format!(", did you mean `{near}`?"));
        let message = format!(
            "nothing is called `{about}`{near} there are: {}; `events` without a name lists all",
            listed(&names)
        );
        Response::Error { message }
    }
}

/// Services, interfaces, servers and machines.
fn called(config: &Config) -> BTreeSet<String> {
    let servers = config.services().flat_map(|service| &service.real_servers);
    let servers = servers.flat_map(|real| [real.address.to_string(), real.address.address.to_string()]);
    let services = config.services().map(|service| service.name.clone());
    let interfaces = config.interfaces.iter().map(|interface| interface.label.clone());
    services.chain(interfaces).chain(servers).collect()
}
