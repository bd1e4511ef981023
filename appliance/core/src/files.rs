//! Which files of the config volume are the appliance's own, and which somebody has put there; and what lb.toml says of these.
//! Must not: read files.

use crate::config::{self, Config};
use crate::console::password;

/// The file that the operator edits.
pub const CONFIG: &str = "lb.toml";
/// The last configuration that was applied without a fault.
pub const APPLIED: &str = "lb.applied.toml";
/// A configuration on trial: in force, and not to be used by a start.
pub const PENDING: &str = "lb.pending.toml";
/// The last one that was not confirmed.
pub const RETURNED: &str = "lb.returned.toml";
/// The annotated sample that a first boot leaves beside the missing lb.toml.
pub const SAMPLE: &str = "lb.toml.sample";
pub const DRAINS: &str = "drains.toml";
pub const EVENTS: &str = "events.log";
pub const OLDER_EVENTS: &str = "events.old.log";
/// How the names of the texts begin that are being edited.
pub const DRAFT: &str = "lb.draft.";
/// ext4's own.
pub const LOST_FOUND: &str = "lost+found";

/// A file that the appliance writes by itself: what it is, and which command is for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Own {
    pub what: &'static str,
    pub remedy: &'static str,
}

const fn own(what: &'static str, remedy: &'static str) -> Option<Own> {
    Some(Own { what, remedy })
}

/// `None`: somebody has put it there.
pub fn own_file(name: &str) -> Option<Own> {
    match name {
        CONFIG => own(
            "the configuration",
            "`config edit` and `config put` change it, `factory-reset` removes everything",
        ),
        APPLIED => own(
            "the last one applied without a fault",
            "a start uses it when lb.toml cannot be used; the next change replaces it",
        ),
        PENDING => own(
            "the one on trial",
            "`config confirm` keeps it, `config abort` gives it up",
        ),
        RETURNED => own(
            "the last one given up",
            "`config rollback returned` puts it back; the next one that is given up replaces it",
        ),
        SAMPLE => own(
            "the annotated sample",
            "`config show sample` shows it; it costs little",
        ),
        DRAINS => own("what is set aside", "`undrain` takes that back"),
        EVENTS | OLDER_EVENTS => own(
            "what has happened",
            "`events` shows it; it never grows beyond its limit",
        ),
        password::FILE => own(
            "the hash of the consoles' password",
            "`console password remove` removes it",
        ),
        crate::history::DIRECTORY => own(
            "the history",
            "`config history` lists it, and the oldest entries go by themselves",
        ),
        _ if name.starts_with(DRAFT) => own(
            "a draft of `config edit`",
            "`config edit` offers it, and throws it away when it is told to",
        ),
        _ if name.starts_with('.') || name == LOST_FOUND => {
            own("the appliance's own", "it comes and goes by itself")
        }
        _ => None,
    }
}

/// `lb.toml: ca of service web (line 12)`, for each key that names this file. `text`: the configuration's own; where the line is not found in it, none is told.
pub fn uses(config: &Config, text: &str, of: &str, file: &str) -> Vec<String> {
    let named = config::namers_of(config, file).into_iter();
    named
        .map(|(service, key)| {
            let at = config::edit::assigned(text, service, key, file);
            let place = at.map_or(String::new(), |at| {
                let number = 1 + text[..at].matches('\n').count();
                format!(" (line {number})")
            });
            format!("{of}: {key} of service {service}{place}")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_appliance_writes_is_its_own() {
        for name in [
            "lb.toml",
            "lb.applied.toml",
            "lb.pending.toml",
            "lb.returned.toml",
            "lb.toml.sample",
            "lb.draft.ttyS0.toml",
            "console.password",
            "drains.toml",
            "events.log",
            "events.old.log",
            "history",
            "lost+found",
            ".import",
            ".ca.pem.new",
        ] {
            let own = own_file(name).expect(name);
            assert!(!own.what.is_empty() && !own.remedy.is_empty());
        }
        for name in [
            "ca.pem",
            "client.key",
            "lb.toml.old",
            "drains.toml.bad",
            "keepalived.conf",
        ] {
            assert_eq!(own_file(name), None, "{name}");
        }
    }

    #[test]
    fn uses_have_their_places() {
        let text = r#"[[interface]]
name = "eth0"
addresses = ["192.0.2.1/24"]

[[virtual_server]]
name = "web"
listen = "192.0.2.1:443"
check = { type = "https", client_key = "me.pem", client_certificate = 'me.pem', ca = "ca.pem" }

[[virtual_server.real_server]]
address = "172.16.0.11:443"

[[virtual_server]]
name = "api"
listen = "192.0.2.1:6443"

[virtual_server.check]
type = "tls"
ca = "ca.pem"

[[virtual_server.real_server]]
address = "172.16.0.12:6443"

[[virtual_server]]
name = "m\u0061il"
listen = "192.0.2.1:993"
check = [
    "tcp",
    # ca = "ca.pem" was here
    { type = "tls", server_name = "ca.pem", ca = 'ca.pem' },
]

[[virtual_server.real_server]]
address = "172.16.0.13:993"

[[virtual_server.real_server]]
address = "172.16.0.14:993"
check = [{ type = "tls", ca = "me.pem" }]
"#;
        let config = config::parse(text).unwrap();
        assert_eq!(
            uses(&config, text, "lb.toml", "me.pem"),
            [
                "lb.toml: ca of service mail (line 38)",
                "lb.toml: client_certificate of service web (line 8)",
                "lb.toml: client_key of service web (line 8)"
            ]
        );
        assert_eq!(
            uses(&config, text, "lb.toml", "ca.pem"),
            [
                "lb.toml: ca of service api (line 19)",
                "lb.toml: ca of service mail (line 30)",
                "lb.toml: ca of service web (line 8)"
            ]
        );
        // The text is not known: no line is better than a wrong one.
        assert_eq!(
            uses(&config, "", "in force", "me.pem")[2],
            "in force: client_key of service web"
        );
        assert!(uses(&config, text, "lb.toml", "other.pem").is_empty());
    }
}
