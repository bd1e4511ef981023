//! What stands for nothing in lb.toml, and why; and what words of keepalived.conf mean by themselves.
//! Must not: know blocks.

use std::time::Duration;

use super::super::remarks::{Remarks, shown};
use super::tree::Statement;

const MAIL: &str = "no mail is sent from here; `events` and `log` tell what has happened";
const NAME: &str = "it is the name of that machine; here it is `hostname`";
const SCRIPT: &str = "there are no scripts here; `events` and the log tell when a server or a quorum changes";
const PROCESS: &str = "it is about keepalived's own processes and files";
const VRRP: &str = "there is no VRRP here: this machine alone has the addresses";
const FLAGS: &str = "flags of schedulers cannot be set here";
const TABLE: &str = "what IPVS holds is compared with the file all the time here, and put right";
const LOGGED: &str =
    "every change is logged here, with its reason; `services` shows what the last check found";
const SPREAD: &str = "checks have phases of their own here, which follow from the server's address";

/// Words, and why they stand for nothing.
const WITHOUT: [(&[&str], &str); 15] = [
    (
        &[
            "notification_email",
            "notification_email_from",
            "smtp_server",
            "smtp_helo_name",
            "smtp_connect_timeout",
            "smtp_alert",
            "smtp_alert_checker",
            "smtp_alert_vrrp",
            "no_email_faults",
        ],
        MAIL,
    ),
    (&["lvs_id", "router_id"], NAME),
    (
        &[
            "failover_up",
            "failover_down",
            "rs_init_notifies",
            "quorum_up",
            "quorum_down",
            "notify_up",
            "notify_down",
            "omega",
            "startup_script",
            "startup_script_timeout",
            "shutdown_script",
            "shutdown_script_timeout",
            "script_user",
            "enable_script_security",
            "lvs_notify_fifo",
            "lvs_notify_fifo_script",
            "notify_fifo",
            "notify_fifo_script",
        ],
        SCRIPT,
    ),
    (
        &[
            "use_pid_dir",
            "child_wait_time",
            "process_names",
            "process_name",
            "checker_process_name",
            "checker_priority",
            "checker_no_swap",
            "checker_rt_priority",
            "checker_cpu_affinity",
            "max_auto_priority",
            "min_auto_priority_delay",
            "instance",
            "net_namespace",
            "reload_check_config",
            "reload_time_file",
            "reload_repeat",
            "include_check",
            "tmp_config_directory",
            "config_save_dir",
            "use_symlink_paths",
            "linkbeat_use_polling",
            "dynamic_interfaces",
            "data_use_instance",
            "json_version",
            "umask",
            "log_unknown_vrids",
            "snmp_socket",
            "enable_snmp_checker",
            "enable_snmp_keepalived",
            "enable_snmp_vrrp",
            "enable_snmp_rfcv2",
            "enable_snmp_rfcv3",
            "enable_snmp_rfc",
            "enable_traps",
            "enable_dbus",
        ],
        PROCESS,
    ),
    (
        &[
            "flag-1",
            "flag-2",
            "flag-3",
            "sh-port",
            "sh-fallback",
            "mh-port",
            "mh-fallback",
            "hashed",
        ],
        FLAGS,
    ),
    (
        &[
            "lvs_flush",
            "lvs_flush_on_stop",
            "lvs_flush_onstop",
            "nftables_ipvs",
        ],
        TABLE,
    ),
    (
        &["nat_mask", "net_mask"],
        "keepalived knows this word no more, and passes over it",
    ),
    (
        &["local_address_group", "laddr_group_name"],
        "it is of FNAT, which hides clients behind these addresses; here servers see the clients",
    ),
    (
        &["lvs_sync_daemon", "lvs_sync_daemon_interface"],
        "connections are not copied to another machine",
    ),
    (&["checker_log_all_failures", "log_all_failures"], LOGGED),
    (&["warmup"], SPREAD),
    (
        &["ha_suspend"],
        "the machine always has its addresses here, so that it always checks",
    ),
    (
        &["persistence_engine"],
        "clients are known by their addresses only; a service of SIP is balanced by datagrams with `one_packet`, or keeps a \
         client by `persistence`",
    ),
    (
        &["sorry_server_inhibit", "sorry_server_lvs_method"],
        "the sorry server is treated as the servers are",
    ),
    (
        &[
            "vrrp_sync_group",
            "vrrp_script",
            "vrrp_track_process",
            "track_file",
            "bfd_instance",
            "static_rules",
        ],
        VRRP,
    ),
];

/// Why a word stands for nothing; `None`: it is not known.
pub(super) fn reason(word: &str) -> Option<&'static str> {
    let known = WITHOUT.iter().find(|(words, _)| words.contains(&word));
    known
        .map(|(_, reason)| *reason)
        .or_else(|| word.starts_with("vrrp_").then_some(VRRP))
}

/// A remark on a statement that nothing stands for.
pub(super) fn drop_with_reason(statement: &Statement, remarks: &mut Remarks) {
    let word = statement.word();
    match reason(word) {
        Some(reason) => remarks.dropped(statement.place, format!("{}: {reason}", shown(word))),
        None => unknown(statement, remarks),
    }
}

/// A remark on a statement that is not understood, and on each in its block.
pub(super) fn unknown(statement: &Statement, remarks: &mut Remarks) {
    let mut line = statement.words.join(" ");
    if let Some(block) = &statement.block {
        line.push_str(&format!(" {{ {} statements }}", block.len()));
    }
    remarks.dropped(
        statement.place,
        format!("this is not known here: {}", shown(&line)),
    );
    for inner in statement.statements() {
        unknown(inner, remarks);
    }
}

/// Seconds with a fraction.
pub(super) fn seconds(text: &str) -> Option<Duration> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let seconds: f64 = text.parse().ok().filter(|_| plain)?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// A switch: without a value it is on.
pub(super) fn is_on(statement: &Statement) -> bool {
    !matches!(statement.argument(0), Some("off" | "false" | "no"))
}

/// The first argument, read; a remark if it cannot be.
pub(super) fn value<T>(
    statement: &Statement,
    what: &str,
    remarks: &mut Remarks,
    read: impl FnOnce(&str) -> Option<T>,
) -> Option<T> {
    let given = statement.argument(0).unwrap_or_default();
    let value = read(given);
    if value.is_none() {
        let message = format!(
            "{} needs {what}, not `{}`; it is left out",
            statement.word(),
            shown(given)
        );
        remarks.fault(statement.place, message);
    }
    value
}
