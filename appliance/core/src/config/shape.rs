//! The tables of lb.toml and their keys; what an operator may have meant by a key that is not among them.
//! Must not: look at values.

/// A kind of table.
#[derive(Debug)]
pub(super) struct Shape {
    /// How the table is named in messages.
    pub title: &'static str,
    pub keys: &'static [&'static str],
    /// keepalived's words for some of the keys: accepted, not advertised.
    pub aliases: &'static [&'static str],
}

pub(super) const ROOT: Shape = Shape {
    title: "the top level",
    keys: &[
        "hostname",
        "timeouts",
        "checks",
        "interface",
        "masquerade",
        "port_forward",
        "virtual_server",
    ],
    aliases: &[],
};

pub(super) const TIMEOUTS: Shape = Shape {
    title: "[timeouts]",
    keys: &["tcp", "tcp_fin", "udp"],
    aliases: &[],
};

pub(super) const CHECKS: Shape = Shape {
    title: "[checks]",
    keys: &["fail_static"],
    aliases: &[],
};

pub(super) const INTERFACE: Shape = Shape {
    title: "[[interface]]",
    keys: &[
        "name",
        "match",
        "vlan",
        "bond",
        "bridge",
        "addresses",
        "gateway",
        "mtu",
        "mss_clamp",
        "routes",
    ],
    aliases: &[],
};

pub(super) const VLAN: Shape = Shape {
    title: "an interface's `vlan`",
    keys: &["link", "id"],
    aliases: &[],
};

pub(super) const BOND: Shape = Shape {
    title: "an interface's `bond`",
    keys: &[
        "links",
        "mode",
        "miimon",
        "primary",
        "lacp_rate",
        "xmit_hash_policy",
    ],
    aliases: &[],
};

pub(super) const BRIDGE: Shape = Shape {
    title: "an interface's `bridge`",
    keys: &["links", "stp", "forward_delay"],
    aliases: &[],
};

pub(super) const MATCH: Shape = Shape {
    title: "an interface's `match`",
    keys: &["mac"],
    aliases: &[],
};

pub(super) const ROUTE: Shape = Shape {
    title: "an interface's `routes`",
    keys: &["to", "via"],
    aliases: &[],
};

pub(super) const MASQUERADE: Shape = Shape {
    title: "[[masquerade]]",
    keys: &["from", "out", "to"],
    aliases: &[],
};

pub(super) const PORT_FORWARD: Shape = Shape {
    title: "[[port_forward]]",
    keys: &["listen", "to", "protocol", "from"],
    aliases: &[],
};

pub(super) const VIRTUAL_SERVER: Shape = Shape {
    title: "[[virtual_server]]",
    keys: &[
        "name",
        "listen",
        "protocol",
        "scheduler",
        "forward",
        "tunnel",
        "persistence",
        "one_packet",
        "syn_proxy",
        "quorum",
        "quorum_hysteresis",
        "panic",
        "kill_after",
        "drain_timeout",
        "slow_start",
        "check",
        "real_server",
        "sorry_server",
    ],
    aliases: &[],
};

pub(super) const TUNNEL: Shape = Shape {
    title: "a service's `tunnel`",
    keys: &["type", "port", "checksum"],
    aliases: &[],
};

pub(super) const PERSISTENCE: Shape = Shape {
    title: "a service's `persistence`",
    keys: &["timeout", "prefix"],
    aliases: &[],
};

pub(super) const REAL_SERVER: Shape = Shape {
    title: "[[virtual_server.real_server]]",
    keys: &[
        "address",
        "weight",
        "when_down",
        "backup",
        "max_connections",
        "resume_connections",
        "check",
    ],
    aliases: &[],
};

pub(super) const SORRY_SERVER: Shape = Shape {
    title: "a service's `sorry_server`",
    keys: &["address", "check"],
    aliases: &[],
};

pub(super) const CHECK: Shape = Shape {
    title: "a server's `check`",
    keys: &[
        "type",
        "address",
        "port",
        "source",
        "interface",
        "interval",
        "timeout",
        "retries",
        "retry_interval",
        "rise",
        "jitter",
        "down_interval",
        "hold_down",
        "hold_down_max",
        "close",
        "path",
        "status",
        "body_contains",
        "body_matches",
        "urls",
        "method",
        "host",
        "headers",
        "server_name",
        "ca",
        "fingerprint",
        "verify",
        "client_certificate",
        "client_key",
        "expiry_warning",
        "send",
        "send_hex",
        "expect",
        "expect_hex",
        "name",
        "query",
        "rcode",
        "transport",
        "service",
    ],
    aliases: &["delay_loop", "connect_timeout", "retry", "delay_before_retry"],
};

pub(super) const URL: Shape = Shape {
    title: "one of a check's `urls`",
    keys: &["path", "status", "body_contains", "body_matches"],
    aliases: &[],
};

const ALL: [&Shape; 18] = [
    &ROOT,
    &TIMEOUTS,
    &CHECKS,
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
const FOREIGN: [(&str, &str); 30] = [
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
    ("service", "[[virtual_server]], once per service"),
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

impl Shape {
    pub fn has(&self, key: &str) -> bool {
        self.keys.contains(&key) || self.aliases.contains(&key)
    }

    /// The key of this table that looks most like `key`, if one does.
    pub fn closest(&self, key: &str) -> Option<&'static str> {
        closest(key, self.keys)
    }

    /// What is allowed in this table, and what `key` could be instead.
    pub fn help(&self, key: &str) -> String {
        let allowed = format!("allowed in {}: {}", self.title, self.keys.join(", "));
        let home = ALL.iter().find(|shape| shape.has(key));
        let foreign = FOREIGN.iter().find(|(word, _)| *word == key);
        match (self.closest(key), home, foreign) {
            (Some(known), _, _) => format!("did you mean `{known}`? {allowed}"),
            (_, _, Some((_, here))) => format!("here it is {here}; {allowed}"),
            (_, Some(shape), _) => format!("`{key}` belongs to {}; {allowed}", shape.title),
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
    let given = given.to_ascii_lowercase().replace('-', "_");
    let scored = words.iter().map(|word| (distance(&given, word), *word));
    let (distance, word) = scored.min_by_key(|(distance, _)| *distance)?;
    let allowed = (given.len().max(word.len()) / 3).max(1).min(word.len() - 1);
    (distance <= allowed).then_some(word)
}

/// Insertions, deletions, replacements and swaps of neighbours that lead from one word to the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            if i == 0 || j == 0 {
                rows[i][j] = i + j;
                continue;
            }
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_counted_in_single_slips() {
        for (a, b, expected) in [
            ("", "", 0),
            ("mtu", "mtu", 0),
            ("adress", "address", 1),
            ("weihgt", "weight", 1),
            ("a", "bc", 2),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn a_key_is_recognised_by_what_it_looks_like() {
        assert_eq!(VIRTUAL_SERVER.closest("sheduler"), Some("scheduler"));
        assert_eq!(VIRTUAL_SERVER.closest("real-server"), Some("real_server"));
        assert_eq!(CHECK.closest("Interval"), Some("interval"));
        assert_eq!(CHECK.closest("intervall"), Some("interval"));
        assert_eq!(INTERFACE.closest("colour"), None);
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
