//! Any text: no panic, no endless work, and what is made is taken by lb.toml's reader, or there is nothing and that is told.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::config;

const DAMAGED: &str = include_str!("../../../../tests/configs/import/keepalived/damaged.conf");
const VARIABLES: &str = include_str!("../../../../tests/configs/import/keepalived/variables.conf");
const NETWORK: &str = include_str!("../../../../tests/configs/import/keepalived/network.conf");
const GROUP: &str = include_str!("../../../../tests/configs/import/keepalived/server-group.conf");
const BROKEN: &str = include_str!("../../../../tests/configs/import/haproxy/damaged.cfg");
const AGENT: &str = include_str!("../../../../tests/configs/import/haproxy/agent.cfg");
const GUIDE: &str = include_str!("../../../../tests/configs/import/haproxy/control-plane-guide.cfg");

fn both(text: &str) -> [Imported; 2] {
    let mut again = |_: &str, _: &str| {
        Some(vec![Included {
            name: "again.conf".to_owned(),
            text: text.to_owned(),
        }])
    };
    [
        keepalived("keepalived.conf", text, &mut again),
        haproxy("haproxy.cfg", text),
    ]
}

/// What must hold for every text.
fn sound(imported: &Imported) -> Result<(), TestCaseError> {
    let parsed = config::parse(&imported.toml);
    prop_assert!(parsed.is_ok(), "{:?}\n{}", parsed.err(), imported.toml);
    let nothing = |remark: &Remark| {
        remark.severity == Severity::Fault && remark.message.starts_with("nothing could be produced")
    };
    prop_assert_eq!(imported.toml.is_empty(), imported.remarks.iter().any(nothing));
    for remark in &imported.remarks {
        prop_assert!(remark.line != Some(0));
        prop_assert!(!remark.to_string().chars().any(char::is_control), "{}", remark);
    }
    Ok(())
}

/// Pieces of both languages, of which wilder texts are made.
const PIECES: [&str; 57] = [
    "virtual_server 203.0.113.1 80 {\n",
    "virtual_server fwmark 1 {\n",
    "virtual_server group G {\n",
    "virtual_server_group G {\n",
    "203.0.113.9-12 80\n",
    "203.0.113.255 80\n",
    "real_server 198.51.100.1 80 {\n",
    "real_server 203.0.113.1 80 {\n",
    "real_server 2001:db8::2 {\n",
    "sorry_server 198.51.100.1 80\n",
    "lb_kind DR\n",
    "lb_kind TUN\n",
    "protocol TCP\n",
    "protocol UDP\n",
    "ops\n",
    "persistence_timeout 50\n",
    "quorum 3\nhysteresis 2\n",
    "weight 70000\n",
    "TCP_CHECK {\n",
    "SSL_GET { url { path /x\n } }\n",
    "UDP_CHECK { payload 0\n }\n",
    "DNS_CHECK { connect_ip 2001:db8::9\n bindto 203.0.113.1\n }\n",
    "vrrp_instance I { interface eth0\n virtual_ipaddress {\n",
    "203.0.113.0/24\n",
    "203.0.113.1/16 dev eth1.7\n",
    "static_routes { default via 203.0.113.7\n }\n",
    "}\n",
    "}",
    "{",
    "include x\n",
    "$A=$A b\n",
    "$A\n",
    "~SEQ(A, 3) ",
    "@x ",
    "listen l 203.0.113.1:80\n",
    "frontend f\n",
    "backend b\n",
    "defaults\n",
    "mode http\n",
    "mode tcp\n",
    "bind *:80\n",
    "bind [::]:80,203.0.113.1:1-65535\n",
    "default_backend b\n",
    "server s 198.51.100.1:80 check ",
    "server t 203.0.113.1 backup weight 0 slowstart 5s\n",
    "server u [2001:db8::3]:80 check-ssl ssl agent-check maxconn 3\n",
    "stick-table type ip size 1\nstick on src,ipmask(0)\n",
    "option httpchk GET /\n",
    "http-check expect rstatus ^[23]\n",
    "balance first\n",
    "inter 1us ",
    "\"",
    "'",
    "\\",
    "#",
    "\r\n",
    "\u{0}\u{1b}[2J",
];

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => prop::sample::select(PIECES.to_vec()).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

fn mutated() -> impl Strategy<Value = String> {
    let base = prop::sample::select(vec![DAMAGED, VARIABLES, NETWORK, GROUP, BROKEN, AGENT, GUIDE]);
    let edit = (any::<prop::sample::Index>(), 0..30usize, piece());
    (base, prop::collection::vec(edit, 0..8)).prop_map(|(base, edits)| {
        let mut chars: Vec<char> = base.chars().collect();
        for (at, length, text) in edits {
            let from = at.index(chars.len() + 1);
            let to = (from + length).min(chars.len());
            chars.splice(from..to, text.chars());
        }
        chars.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_are_sound(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for imported in both(&String::from_utf8_lossy(&bytes)) {
            sound(&imported)?;
        }
    }

    #[test]
    fn pieces_are_sound(pieces in prop::collection::vec(piece(), 0..40)) {
        for imported in both(&pieces.concat()) {
            sound(&imported)?;
        }
    }

    #[test]
    fn mutated_files_are_sound(text in mutated()) {
        for imported in both(&text) {
            sound(&imported)?;
        }
    }
}

fn many(piece: impl Fn(usize) -> String) -> String {
    (0..2_000).map(piece).collect()
}

/// The last parts of an address, another one for each number.
fn part(n: usize) -> String {
    format!("{}.{}", n / 250, n % 250 + 1)
}

/// Texts of keepalived's that repeat what could be looked at again and again.
fn long_for_keepalived() -> [String; 13] {
    [
        many(|n| format!("virtual_server 203.0.{} 80 {{\n protocol TCP\n}}\n", part(n))),
        many(|n| {
            format!(
                "vrrp_instance I {{ virtual_ipaddress {{\n10.{}.1/24 dev e{n}\n}} }}\n",
                part(n)
            )
        }),
        "static_ipaddress {\n203.0.113.1/24 dev eth0\n}\n".to_owned()
            + &many(|n| format!("static_routes {{ 10.{}.0/24 via 203.0.113.7\n}}\n", part(n))),
        "virtual_server_group G {\n".to_owned()
            + &many(|_| "203.0.113.0/24 80\n".to_owned())
            + "}\n"
            + &many(|_| "virtual_server group G { protocol TCP\n}\n".to_owned()),
        "virtual_server 203.0.113.1 80 {\nprotocol TCP\n".to_owned()
            + &many(|n| format!("real_server 198.{}.1 80 {{\n}}\n", part(n))),
        "virtual_server 203.0.113.1 80 {\n".to_owned() + &many(|_| "quorum x\nsorry_server\n".to_owned()),
        many(|_| "{".to_owned()) + &many(|_| "}".to_owned()),
        "$A=".to_owned() + &"x".repeat(60_000) + "\n" + &many(|_| "$A\n".to_owned()),
        "$A=$A $A\n".to_owned() + &many(|_| "$A\n".to_owned()),
        many(|_| "~SEQ(A, 60000) ~SEQ(B, 60000) x\n".to_owned()),
        many(|_| "include x\n".to_owned()),
        "$S=~SEQ(A, 60000)\n".to_owned() + &many(|_| "$S $S $S x\n".to_owned()),
        "virtual_server 203.0.113.1 80 {\nprotocol TCP\nfailover_threshold 50\n".to_owned()
            + &many(|n| format!("backup_real_server 198.{}.1 80 {{\n}}\n", part(n))),
    ]
}

fn long_for_haproxy() -> [String; 7] {
    let page = "x".repeat(1_000);
    [
        format!("defaults\nbalance x\noption httpchk GET /{page}\n") + &many(|n| format!("listen l{n}\n")),
        many(|n| {
            let part = part(n);
            format!("listen l{n}\nbind 203.0.{part}:80\nserver s 198.51.{part}:80 check\n")
        }),
        "backend b\n".to_owned()
            + &many(|n| format!("server s{n} 198.51.{}:80\n", part(n)))
            + &many(|n| format!("frontend f{n}\nbind *:{}\ndefault_backend b\n", n + 1)),
        "listen l\n".to_owned() + &many(|_| "log x\n".to_owned()),
        "listen l\nbind ".to_owned() + &many(|_| "*:80,".to_owned()),
        many(|n| {
            format!(
                "listen l{n}\nbind n{n}:80\nserver s 198.51.{}:80 track l{}/s\n",
                part(n),
                n / 2
            )
        }),
        "listen l\nbind *:80\n".to_owned()
            + &many(|n| format!("server s{n} 198.51.{}:80 track s{}\n", part(n), n / 2)),
    ]
}

/// A generous limit for a slow machine, which work that grows with the square of the text would miss by far.
#[test]
fn long_texts_do_not_take_long() {
    for text in long_for_keepalived().iter().chain(&long_for_haproxy()) {
        let begun = Instant::now();
        for imported in both(text) {
            sound(&imported).unwrap();
        }
        let elapsed = begun.elapsed();
        assert!(elapsed < Duration::from_secs(60), "{elapsed:?}: {}", &text[..60]);
    }
}

#[test]
fn an_include_that_cannot_be_read_is_told() {
    let imported = keepalived("keepalived.conf", "include conf.d/*.conf\n", &mut |_, _| None);
    let first = imported.remarks[0].to_string();
    assert!(first.contains("cannot be read from here: paste it"), "{first}");
}
