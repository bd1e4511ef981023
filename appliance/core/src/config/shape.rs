//! What an operator may have meant by a key that is not among those of its table, or by a word that is none.
//! Must not: look at values, or know what keys there are: `keys` does.

use super::keys::Table;
pub(super) use super::keys::{
    BOND, BRIDGE, CHECK, CHECKS, CONFIRM, INTERFACE, MASQUERADE, MATCH, PERSISTENCE, PORT_FORWARD,
    REAL_SERVER, ROOT, ROUTE, SORRY_SERVER, TIMEOUTS, TUNNEL, URL, VIRTUAL_SERVER, VLAN,
};
use crate::suggest::distance;

pub(super) static ALL: [&Table; 19] = [
    &ROOT,
    &TIMEOUTS,
    &CHECKS,
    &CONFIRM,
    &INTERFACE,
    &MATCH,
    &VLAN,
    &BOND,
    &BRIDGE,
    &ROUTE,
    &MASQUERADE,
    &PORT_FORWARD,
    &VIRTUAL_SERVER,
    &TUNNEL,
    &PERSISTENCE,
    &REAL_SERVER,
    &SORRY_SERVER,
    &CHECK,
    &URL,
];

/// Words that operators bring along, and what they are here.
const FOREIGN: [(&str, &str); 39] = [
    (
        "persistence_timeout",
        "persistence = { timeout = \"5m\" } in [[virtual_server]]",
    ),
    (
        "persistence_granularity",
        "persistence = { timeout = \"5m\", prefix = 24 } in [[virtual_server]]",
    ),
    ("ops", "one_packet = true in [[virtual_server]]"),
    ("lb_algo", "scheduler = \"...\" in [[virtual_server]]"),
    ("lvs_sched", "scheduler = \"...\" in [[virtual_server]]"),
    ("lb_kind", "forward = \"nat\" in [[virtual_server]]"),
    ("lvs_method", "forward = \"nat\" in [[virtual_server]]"),
    (
        "inhibit_on_failure",
        "when_down = \"inhibit\" in [[virtual_server.real_server]]",
    ),
    ("real_servers", "[[virtual_server.real_server]], once per server"),
    ("servers", "[[virtual_server.real_server]], once per server"),
    ("server", "[[virtual_server.real_server]], once per server"),
    ("service", "[[virtual_server]], once per service"),
    ("backend", "[[virtual_server]], once per service"),
    ("frontend", "[[virtual_server]], once per service"),
    ("upstream", "[[virtual_server]], once per service"),
    ("bind", "listen = \"192.168.0.1:80\" in [[virtual_server]]"),
    ("vip", "listen = \"192.168.0.1:80\" in [[virtual_server]]"),
    ("balance", "scheduler = \"...\" in [[virtual_server]]"),
    ("inter", "`interval` of a check"),
    ("maxconn", "`max_connections` of a server"),
    ("services", "[[virtual_server]], once per service"),
    ("ip", "`address` or `addresses`"),
    ("port", "part of the address: \"192.168.0.1:80\""),
    ("netmask", "part of the address: \"192.168.0.1/24\""),
    ("prefix", "part of the address: \"192.168.0.1/24\""),
    ("bindto", "`source` of a check"),
    ("bind_if", "`interface` of a check"),
    ("connect_ip", "`address` of a check"),
    ("connect_port", "`port` of a check"),
    ("payload", "`send` or `send_hex` of a check"),
    ("require_reply", "`expect` or `expect_hex` of a check"),
    ("fall", "`retries`, without counting the first attempt"),
    ("nat", "[[masquerade]]"),
    ("dnat", "[[port_forward]]"),
    ("vlan_id", "vlan = { link = \"eth0\", id = 100 } in [[interface]]"),
    (
        "slaves",
        "bond = { links = [\"eth0\", \"eth1\"] } in [[interface]]",
    ),
    ("members", "`links` of an interface's `bond` or `bridge`"),
    ("interfaces", "`links` of an interface's `bond` or `bridge`"),
    ("ports", "`links` of an interface's `bridge`"),
];

/// What a word of another program is here.
pub(super) fn foreign(word: &str) -> Option<&'static str> {
    let known = FOREIGN.iter().find(|(foreign, _)| *foreign == word);
    known.map(|(_, here)| *here)
}

impl Table {
    /// The key of this table that looks most like `key`, if one does.
    pub(super) fn closest(&self, key: &str) -> Option<&'static str> {
        closest(key, &self.names())
    }

    /// What is allowed in this table, and what `key` could be instead.
    pub(super) fn help(&self, key: &str) -> String {
        let allowed = format!("allowed in {}: {}", self.title, self.names().join(", "));
        let home = ALL.iter().find(|table| table.has(key));
        match (self.closest(key), home, foreign(key)) {
            (Some(known), _, _) => format!("did you mean `{known}`? {allowed}"),
            (_, _, Some(here)) => format!("here it is {here}; {allowed}"),
            (_, Some(table), _) => format!("`{key}` belongs to {}; {allowed}", table.title),
            _ => allowed,
        }
    }
}

/// The word that `given` was most likely meant to be: at most a third of it differs.
pub(super) fn closest(given: &str, words: &[&'static str]) -> Option<&'static str> {
    const MAX_LEN: usize = 40;
    if given.len() > MAX_LEN {
        return None;
    }
    let plain = |word: &str| word.to_ascii_lowercase().replace('-', "_");
    let given = plain(given);
    let scored = words.iter().map(|word| (distance(&given, &plain(word)), *word));
    let (distance, word) = scored.min_by_key(|(distance, _)| *distance)?;
    let allowed = (given.len().max(word.len()) / 3).max(1).min(word.len() - 1);
    (distance <= allowed).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_recognised_by_what_it_looks_like() {
        assert_eq!(VIRTUAL_SERVER.closest("sheduler"), Some("scheduler"));
        assert_eq!(VIRTUAL_SERVER.closest("real-server"), Some("real_server"));
        assert_eq!(CHECK.closest("Interval"), Some("interval"));
        assert_eq!(CHECK.closest("intervall"), Some("interval"));
        assert_eq!(INTERFACE.closest("colour"), None);
        assert_eq!(closest("get", &["GET", "HEAD"]), Some("GET"));
        assert_eq!(closest("keeplast", &["none", "keep-last"]), Some("keep-last"));
        assert_eq!(ROUTE.closest("x"), None);
        assert_eq!(ROUTE.closest(""), None);
    }

    #[test]
    fn help_knows_where_a_key_belongs() {
        assert!(
            VIRTUAL_SERVER
                .help("when_down")
                .starts_with("`when_down` belongs to [[virtual_server.real_server]]")
        );
        assert!(VIRTUAL_SERVER.help("lb_algo").starts_with("here it is scheduler"));
        assert!(
            ROOT.help("colour")
                .starts_with("allowed in the top level: hostname, timeouts, checks")
        );
    }
}
