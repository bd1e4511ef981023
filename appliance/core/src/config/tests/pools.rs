//! Pools: any rules that are fit for any servers, and which are not.

use std::fmt::Write as _;
use std::time::Duration;

use proptest::prelude::*;

use super::super::time;
use super::{faults, good};
use crate::pool::{Panic, PoolRules, Quorum, Tier};

/// Without a slow start, which wants light servers, and with a quorum that any servers can reach.
pub(super) fn rules() -> impl Strategy<Value = PoolRules> {
    let quorum = prop_oneof![Just(Quorum::Weight(1)), (1u8..=100).prop_map(Quorum::Percent)];
    let panic = prop_oneof![Just(Panic::None), Just(Panic::KeepLast), Just(Panic::All)];
    (0u64..86_400_000, 0u64..86_400_000, quorum, panic).prop_map(|(kill_ms, drain_ms, quorum, panic)| {
        PoolRules {
            kill_after: Duration::from_millis(kill_ms),
            drain_timeout: Duration::from_millis(drain_ms),
            quorum,
            panic,
            ..PoolRules::DEFAULT
        }
    })
}

pub(super) fn written(rules: &PoolRules) -> String {
    let mut text = String::new();
    for (key, time) in [
        ("kill_after", rules.kill_after),
        ("drain_timeout", rules.drain_timeout),
    ] {
        let _ = writeln!(text, "{key} = \"{}\"", time::show(time));
    }
    let _ = match rules.quorum {
        Quorum::Weight(weight) => writeln!(text, "quorum = {weight}"),
        Quorum::Percent(percent) => writeln!(text, "quorum = \"{percent}%\""),
    };
    let _ = writeln!(text, "panic = \"{}\"", rules.panic.as_str());
    text
}

#[test]
fn a_pool_is_what_its_keys_say() {
    let config = good(
        "[[interface]]\nname = \"eth0\"\naddresses = [\"10.0.0.1/24\"]\n[checks]\nfail_static = \"0s\"\n\
         [[virtual_server]]\nname = \"a\"\nlisten = \"10.0.0.1:80\"\nquorum = 3\nquorum_hysteresis = 1\npanic = \"all\"\n\
         kill_after = \"10s\"\ndrain_timeout = \"0s\"\nslow_start = \"30s\"\n\
         sorry_server = { address = \"10.0.0.9:80\", check = \"none\" }\n\
         [[virtual_server.real_server]]\naddress = \"10.0.0.2:80\"\nweight = 4\n\
         [[virtual_server.real_server]]\naddress = \"10.0.0.3:80\"\nbackup = true\n",
    );
    assert_eq!(config.fail_static, Duration::ZERO);
    let service = &config.virtual_servers[0];
    let expected = PoolRules {
        kill_after: Duration::from_secs(10),
        drain_timeout: Duration::ZERO,
        slow_start: Duration::from_secs(30),
        quorum: Quorum::Weight(3),
        hysteresis: Quorum::Weight(1),
        panic: Panic::All,
    };
    assert_eq!(service.pool, expected);
    let tiers: Vec<Tier> = service.real_servers.iter().map(|real| real.tier).collect();
    assert_eq!(tiers, [Tier::Primary, Tier::Backup, Tier::Sorry]);
}

#[test]
fn a_slow_start_that_no_scheduler_heeds_is_warned_of() {
    let text = |scheduler: &str| {
        format!(
            "[[interface]]\nname = \"eth0\"\naddresses = [\"10.0.0.1/24\"]\n[[virtual_server]]\nname = \"a\"\n\
             listen = \"10.0.0.1:80\"\nscheduler = \"{scheduler}\"\nslow_start = \"30s\"\n\
             [[virtual_server.real_server]]\naddress = \"10.0.0.2:80\"\n"
        )
    };
    assert_eq!(super::warnings(&good(&text("wlc"))), [""; 0]);
    let warnings = super::warnings(&good(&text("rr")));
    assert!(
        warnings.len() == 1 && warnings[0].contains("use wlc or wrr"),
        "{warnings:?}"
    );
}

#[test]
fn a_server_may_have_so_many_connections() {
    let config = good(
        "[[interface]]\nname = \"eth0\"\naddresses = [\"10.0.0.1/24\"]\n[[virtual_server]]\nname = \"a\"\n\
         listen = \"10.0.0.1:80\"\n[[virtual_server.real_server]]\naddress = \"10.0.0.2:80\"\n\
         max_connections = 1000\nresume_connections = 800\n\
         [[virtual_server.real_server]]\naddress = \"10.0.0.3:80\"\nmax_connections = 10\n",
    );
    let limits: Vec<(u32, u32)> = config.virtual_servers[0]
        .real_servers
        .iter()
        .map(|real| (real.limit.most, real.limit.resume))
        .collect();
    assert_eq!(limits, [(1000, 800), (10, 0)]);
}

/// keepalived makes it a case of its own, and has crashed of it.
#[test]
fn a_sorry_server_that_is_a_server_as_well_is_refused() {
    let text = "[[interface]]\nname = \"eth0\"\naddresses = [\"10.0.0.1/24\"]\n\
                [[virtual_server]]\nname = \"web\"\nlisten = \"10.0.0.1:80\"\nsorry_server = { address = \"10.0.0.2:80\" }\n\
                [[virtual_server.real_server]]\naddress = \"10.0.0.2:80\"\n";
    assert_eq!(faults(text), ["7:28 the server 10.0.0.2:80 is there twice"]);
}
