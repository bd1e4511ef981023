//! Every kind of change in every way that a file is written; what is not touched stays, and what was set can be deleted again.

use proptest::prelude::*;
use toml::de::DeTable;

use super::super::tests::property::piece;
use super::*;

fn set(path: &str, value: &str) -> Change {
    Change::Set {
        path: path.to_owned(),
        value: value.to_owned(),
    }
}

fn add(path: &str, values: &[&str]) -> Change {
    Change::Add {
        path: path.to_owned(),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    }
}

fn delete(path: &str) -> Change {
    Change::Delete {
        path: path.to_owned(),
    }
}

const FILE: &str = r#"# the lb
hostname = "lb"   # its name

[[interface]]
name = "eth0"
addresses = ["192.168.0.1/24"]
# mtu = 1500

[[interface]]
name = "eth1"
addresses = ["172.16.0.254/24"]
routes = [{ to = "10.0.0.0/8", via = "172.16.0.1" }]

# the web
[[virtual_server]]
name = "nginx"
  listen = "192.168.0.1:30080"  # NodePort
check = "tcp"

[[virtual_server.real_server]]
address = "172.16.0.11:30080"
check.timeout = "3s"
weight = 1 # one

[[virtual_server.real_server]]
address = "172.16.0.12:30080"
check = { timeout = "3s" }

[[virtual_server]]
name = "dns.1"
listen = "192.168.0.1:53"
real_server = [
  { address = "172.16.0.11:53" }, # one
  { address = "172.16.0.12:53" } # two
]
[virtual_server.check]
interval = "5s"
"#;

/// The lines that a change takes away and brings, `-` and `+` in front.
fn lines(change: &Change) -> Vec<String> {
    let edited = edit(FILE, change).unwrap();
    DeTable::parse(&edited).unwrap();
    let (old, new): (Vec<&str>, Vec<&str>) = (FILE.lines().collect(), edited.lines().collect());
    let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[same..], &new[same..]);
    let tail = old
        .iter()
        .rev()
        .zip(new.iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let gone = old[..old.len() - tail].iter().map(|line| format!("-{line}"));
    gone.chain(new[..new.len() - tail].iter().map(|line| format!("+{line}")))
        .collect()
}

#[test]
fn values_change_in_their_place() {
    for (path, value, expected) in [
        (
            "hostname",
            "lb2",
            &[
                "-hostname = \"lb\"   # its name",
                "+hostname = \"lb2\"   # its name",
            ][..],
        ),
        (
            "virtual_server.nginx.listen",
            "192.168.0.1:80",
            &[
                "-  listen = \"192.168.0.1:30080\"  # NodePort",
                "+  listen = \"192.168.0.1:80\"  # NodePort",
            ],
        ),
        (
            "virtual_server.nginx.real_server.172.16.0.11:30080.weight",
            "5",
            &["-weight = 1 # one", "+weight = 5 # one"],
        ),
        (
            "virtual_server.nginx.real_server.2.check.timeout",
            "9s",
            &["-check = { timeout = \"3s\" }", "+check = { timeout = \"9s\" }"],
        ),
        (
            "virtual_server.dns.1.check.interval",
            "9s",
            &["-interval = \"5s\"", "+interval = \"9s\""],
        ),
    ] {
        assert_eq!(lines(&set(path, value)), expected, "{path}");
    }
}

#[test]
fn keys_come_where_their_table_is() {
    for (path, value, expected) in [
        ("interface.eth0.mtu", "9000", &["+mtu = 9000"][..]),
        ("virtual_server.nginx.scheduler", "rr", &["+scheduler = \"rr\""]),
        ("timeouts.tcp", "1h", &["+", "+[timeouts]", "+tcp = \"1h\""]),
        (
            "virtual_server.nginx.check.interval",
            "9s",
            &[
                "-check = \"tcp\"",
                "+check = { type = \"tcp\", interval = \"9s\" }",
            ],
        ),
        (
            "virtual_server.nginx.real_server.172.16.0.11:30080.check.retries",
            "3",
            &["+check.retries = 3"],
        ),
        (
            "virtual_server.nginx.real_server.172.16.0.12:30080.check.retries",
            "3",
            &[
                "-check = { timeout = \"3s\" }",
                "+check = { timeout = \"3s\", retries = 3 }",
            ],
        ),
        ("virtual_server.dns.1.check.retries", "3", &["+retries = 3"]),
        (
            "virtual_server.dns.1.persistence.timeout",
            "5m",
            &["+persistence = { timeout = \"5m\" }"],
        ),
        (
            "virtual_server.dns.1.real_server.172.16.0.12:53.weight",
            "3",
            &[
                "-  { address = \"172.16.0.12:53\" } # two",
                "+  { address = \"172.16.0.12:53\", weight = 3 } # two",
            ],
        ),
        (
            "virtual_server.nginx.check.headers.X-Of",
            "lb",
            &[
                "-check = \"tcp\"",
                "+check = { type = \"tcp\", headers = { X-Of = \"lb\" } }",
            ],
        ),
    ] {
        assert_eq!(lines(&set(path, value)), expected, "{path}");
    }
}

#[test]
fn tables_are_added_behind_their_like() {
    for (path, values, expected) in [
        (
            "virtual_server.nginx.real_server",
            &["address=172.16.0.13:30080", "check.timeout=2s"][..],
            &[
                "+[[virtual_server.real_server]]",
                "+address = \"172.16.0.13:30080\"",
                "+check.timeout = \"2s\"",
                "+",
            ][..],
        ),
        (
            "virtual_server",
            &["name=web", "listen=192.168.0.1:80"],
            &[
                "+",
                "+[[virtual_server]]",
                "+name = \"web\"",
                "+listen = \"192.168.0.1:80\"",
            ],
        ),
        (
            "virtual_server.dns.1.real_server",
            &["address=172.16.0.13:53"],
            &[
                "-  { address = \"172.16.0.12:53\" } # two",
                "+  { address = \"172.16.0.12:53\" }, # two",
                "+  { address = \"172.16.0.13:53\" }",
            ],
        ),
        (
            "interface.eth0.routes",
            &["to=10.0.0.0/8", "via=192.168.0.2"],
            &["+routes = [{ to = \"10.0.0.0/8\", via = \"192.168.0.2\" }]"],
        ),
        (
            "masquerade",
            &["from=10.0.0.0/8", "out=eth0"],
            &[
                "+",
                "+[[masquerade]]",
                "+from = \"10.0.0.0/8\"",
                "+out = \"eth0\"",
            ],
        ),
    ] {
        assert_eq!(lines(&add(path, values)), expected, "{path}");
    }
    // The comment below the last one stays with it.
    let added = edit(FILE, &add("interface", &["name=eth2"])).unwrap();
    assert!(
        added.contains(
            "10.0.0.0/8\", via = \"172.16.0.1\" }]\n\n[[interface]]\nname = \"eth2\"\n\n# the web\n"
        ),
        "{added}"
    );
}

#[test]
fn what_is_deleted_is_gone_with_what_it_empties() {
    for (path, expected) in [
        ("hostname", &["-hostname = \"lb\"   # its name"][..]),
        (
            "virtual_server.nginx.real_server.172.16.0.12:30080",
            &[
                "-[[virtual_server.real_server]]",
                "-address = \"172.16.0.12:30080\"",
                "-check = { timeout = \"3s\" }",
                "-",
            ],
        ),
        (
            "virtual_server.nginx.real_server.2.check.timeout",
            &["-check = { timeout = \"3s\" }"],
        ),
        (
            "virtual_server.nginx.real_server.1.check.timeout",
            &["-check.timeout = \"3s\""],
        ),
        (
            "virtual_server.dns.1.check.interval",
            &["-[virtual_server.check]", "-interval = \"5s\""],
        ),
        (
            "interface.eth1.routes.10.0.0.0/8",
            &["-routes = [{ to = \"10.0.0.0/8\", via = \"172.16.0.1\" }]"],
        ),
        (
            "virtual_server.dns.1.real_server.172.16.0.11:53",
            &["-  { address = \"172.16.0.11:53\" }, # one"],
        ),
    ] {
        assert_eq!(lines(&delete(path)), expected, "{path}");
    }
    let gone = lines(&delete("virtual_server.nginx"));
    assert_eq!((gone.len(), gone[0].as_str()), (15, "-# the web"));
}

#[test]
fn what_cannot_be_done_is_told_with_the_remedy() {
    for (change, expected) in [
        (
            set("virtual_server.ngin.scheduler", "rr"),
            "there is no `ngin` in `virtual_server` of lb.toml; did you mean `nginx`? it has nginx, dns.1",
        ),
        (
            set("virtual_server.nginx.real_server.172.16.0.12:30800.weight", "2"),
            "there is no `172.16.0.12:30800` in `virtual_server.nginx.real_server` of lb.toml; did you mean `172.16.0.12:30080`? it has",
        ),
        (
            set("virtual_server.nginx.sheduler", "rr"),
            "did you mean `scheduler`?",
        ),
        (set("virtual_server.nginx", "rr"), "name one of its keys"),
        (
            set("virtual_server", "rr"),
            "`config add virtual_server KEY=VALUE`",
        ),
        (set("hostname.x", "rr"), "`hostname` has no keys; it takes"),
        (set("virtual_server.dns.1.check", "tcp"), "has keys of its own"),
        (
            set("interface.eth0.mtu", "big"),
            "`interface.eth0.mtu` takes; it takes 68 to 65535 bytes",
        ),
        (
            set("masquerade.1.out", "eth0"),
            "`config add masquerade KEY=VALUE` makes one",
        ),
        (add("virtual_server", &["name=x"]), "needs listen=VALUE"),
        (add("virtual_server", &["name"]), "is no KEY=VALUE"),
        (add("virtual_server", &["nam=x"]), "did you mean `name`?"),
        (add("hostname", &[]), "is no list of tables"),
        (
            add("confirm", &["gateway_answers=true"]),
            "`confirm` is a single table; `config set confirm.KEY VALUE` sets a key of it, and",
        ),
        (
            add("timeouts", &[]),
            "`timeouts` is a single table; `config set timeouts.KEY VALUE` sets a key of it, and",
        ),
        (
            add("virtual_server.nginx", &[]),
            "`config add virtual_server` adds another",
        ),
        (
            delete("virtual_server"),
            "name one of it, as in virtual_server.dns.1",
        ),
        (delete("interface.eth0.mtu"), "there is nothing to delete"),
    ] {
        let EditFault::Words(fault) = edit(FILE, &change).unwrap_err() else {
            panic!("{change:?}")
        };
        assert!(fault.contains(expected), "{fault}");
    }
    assert!(matches!(
        edit("a = ", &delete("hostname")),
        Err(EditFault::Text(_))
    ));
    let twice = "[[masquerade]]\nfrom = \"10.0.0.0/8\"\n[[masquerade]]\nfrom = \"10.0.0.0/8\"\n";
    let fault = edit(twice, &delete("masquerade.10.0.0.0/8")).unwrap_err();
    assert!(
        fault.to_string().contains("masquerade.1 or masquerade.2"),
        "{fault}"
    );
}

#[test]
fn what_there_is_can_be_completed() {
    let few = |begin: &str| {
        let mut all = paths(FILE, begin);
        all.truncate(3);
        all
    };
    assert_eq!(few("virt"), ["virtual_server."]);
    assert_eq!(
        few("virtual_server."),
        ["virtual_server.nginx.", "virtual_server.dns.1."]
    );
    assert_eq!(few("virtual_server.ng"), ["virtual_server.nginx."]);
    assert_eq!(
        few("virtual_server.dns.1.sch"),
        ["virtual_server.dns.1.scheduler "]
    );
    assert_eq!(
        few("virtual_server.nginx.real_server.172.16.0.12"),
        ["virtual_server.nginx.real_server.172.16.0.12:30080."]
    );
    assert_eq!(
        few("interface.eth1.m"),
        [
            "interface.eth1.match.",
            "interface.eth1.mtu ",
            "interface.eth1.mss_clamp "
        ]
    );
    assert_eq!(few("timeouts.tcp"), ["timeouts.tcp ", "timeouts.tcp_fin "]);
    let nothing = Existing {
        text: "",
        files: &Vec::new,
    };
    assert_eq!(values("virtual_server.nginx.forward", "d", &nothing), ["direct "]);
    assert_eq!(
        values("virtual_server.nginx.one_packet", "", &nothing),
        ["true ", "false "]
    );
    assert_eq!(assignments("virtual_server", &[], "na", &nothing), ["name="]);
    assert_eq!(
        assignments("virtual_server.nginx.real_server", &[], "backup=", &nothing),
        ["backup=true ", "backup=false "]
    );
    let given = ["name=x".to_owned()];
    assert!(!assignments("virtual_server", &given, "", &nothing).contains(&"name=".to_owned()));
}

#[test]
fn what_exists_is_offered_as_a_value() {
    let text = "[[interface]]\nname = \"eth0\"\naddresses = [\"10.0.0.1/24\", \"2001:db8::1/64\"]\n[[interface]]\n\
                match = { mac = \"52:54:00:00:00:01\" }\naddresses = [\"10.1.0.1/24\"]\n";
    let files = || vec!["ca.pem".to_owned(), "client.key".to_owned()];
    let existing = Existing { text, files: &files };
    let few = |path: &str, begin: &str| values(path, begin, &existing);
    for path in [
        "masquerade.out",
        "interface.v.vlan.link",
        "virtual_server.x.check.interface",
    ] {
        assert_eq!(few(path, ""), ["eth0 ", "52:54:00:00:00:01 "], "{path}");
    }
    for path in ["interface.b.bridge.links", "interface.b.bond.links"] {
        assert_eq!(few(path, "e"), ["eth0 "], "{path}");
        assert_eq!(few(path, "eth0,"), ["eth0,52:54:00:00:00:01 "], "{path}");
    }
    assert_eq!(
        few("virtual_server.x.check.source", "10."),
        ["10.0.0.1 ", "10.1.0.1 "]
    );
    assert_eq!(
        few("virtual_server.x.listen", ""),
        ["10.0.0.1:", "10.1.0.1:", "[2001:db8::1]:"]
    );
    for key in ["ca", "client_certificate", "client_key"] {
        assert_eq!(
            few(&format!("virtual_server.x.check.{key}"), "c"),
            ["ca.pem ", "client.key "]
        );
    }
    assert_eq!(assignments("masquerade", &[], "out=e", &existing), ["out=eth0 "]);
    // Not where a text is anything else.
    assert!(few("interface.eth0.gateway", "").is_empty() && few("interface.eth0.name", "").is_empty());
    let broken = Existing {
        text: "[[interface",
        files: &files,
    };
    assert!(values("masquerade.out", "", &broken).is_empty());
}

/// Files as people write them: the same settings in many layouts.
fn layout() -> impl Strategy<Value = String> {
    let noise = prop::sample::select(vec![
        "",
        "\n",
        "# a comment\n",
        "\n# apart\n\n",
        "\t# \"quoted [[x]]\"\n",
    ]);
    let blocks = prop::sample::subsequence(
        vec![
            "[[interface]]\nname = \"eth0\"\naddresses = [\"192.168.0.1/24\"]\n",
            "[[interface]]\nname = \"eth0\" # first\naddresses = [\n  \"192.168.0.1/24\", # [one]\n]\n",
            "[[masquerade]]\nfrom = \"10.0.0.0/8\"\nout = 'eth0'\n",
            "[checks]\nfail_static = \"1m\"\n",
            "[[port_forward]]\nlisten = \"192.168.0.1:2222\"\nto = \"172.16.0.11:22\"\n",
        ],
        0..=5,
    );
    let service = prop::sample::select(vec![
        "[[virtual_server]]\nname = \"web\"\nlisten = \"192.168.0.1:80\"\ncheck = { type = \"tcp\" }\n[[virtual_server.real_server]]\naddress = \"172.16.0.11:80\"\n",
        "[[virtual_server]]\nname = \"web\"\ncheck.type = \"tcp\"\nlisten = \"192.168.0.1:80\"\nreal_server = [{ address = \"172.16.0.11:80\" }]\n",
        "[[virtual_server]]\nlisten = \"192.168.0.1:80\"\n\"name\" = 'web' # x\n[virtual_server.check]\ntype = \"tcp\"\n[[virtual_server.real_server]]\n  address = \"172.16.0.11:80\"\n",
        "[[virtual_server]]\nname = \"web\"\nlisten = \"192.168.0.1:80\"\ncheck = { type = \"tcp\" }\nreal_server = [\n\t{ address = \"172.16.0.11:80\" }, # one\n]\n",
    ]);
    let parts = (
        blocks,
        prop::collection::vec(noise.clone(), 5),
        noise.clone(),
        service,
        noise,
    );
    (parts, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |((blocks, between, a, service, b), other, crlf, ends)| {
            let mut text: String = between
                .iter()
                .zip(blocks)
                .map(|(noise, block)| format!("{noise}{block}"))
                .collect();
            text.push_str(&format!("{a}{service}{b}"));
            if other {
                text.push_str("[[virtual_server]]\nname = \"web.2\"\nlisten = \"192.168.0.1:81\"\n");
            }
            if !ends {
                text.truncate(text.trim_end_matches('\n').len());
            }
            if crlf {
                text = text.replace('\n', "\r\n");
            }
            text
        },
    )
}

/// So many bytes at the beginning and at the end are those of the other text.
fn common(a: &str, b: &str) -> usize {
    let head = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[head..], &b[head..]);
    head + a
        .bytes()
        .rev()
        .zip(b.bytes().rev())
        .take_while(|(a, b)| a == b)
        .count()
}

/// What a file of [`layout`] does not have, and how it is deleted.
fn absent() -> impl Strategy<Value = (Change, &'static str)> {
    prop::sample::select(vec![
        (set("hostname", "box"), "hostname"),
        (set("timeouts.udp", "1m"), "timeouts.udp"),
        (
            set("virtual_server.web.scheduler", "rr"),
            "virtual_server.web.scheduler",
        ),
        (
            set("virtual_server.web.check.interval", "5s"),
            "virtual_server.web.check.interval",
        ),
        (
            set("virtual_server.web.persistence.timeout", "5m"),
            "virtual_server.web.persistence",
        ),
        (
            set("virtual_server.web.real_server.172.16.0.11:80.weight", "9"),
            "virtual_server.web.real_server.1.weight",
        ),
        (
            set("virtual_server.1.sorry_server.address", "172.16.0.9:80"),
            "virtual_server.web.sorry_server.address",
        ),
        (
            add(
                "virtual_server.web.real_server",
                &["address=172.16.0.12:80", "weight=3"],
            ),
            "virtual_server.web.real_server.2",
        ),
        (
            add("virtual_server", &["name=new", "listen=[2001:db8::1]:80"]),
            "virtual_server.new",
        ),
        (
            add("interface", &["name=eth7", "addresses=10.0.0.1/8,10.0.0.2/8"]),
            "interface.eth7",
        ),
        (
            add("masquerade", &["from=10.9.0.0/16", "out=eth0"]),
            "masquerade.10.9.0.0/16",
        ),
    ])
}

#[test]
fn a_fault_of_the_text_that_stands_in_the_way_is_told() {
    let text = "[[virtual_server.real_server]]\n";
    let change = add("virtual_server", &["name=new", "listen=10.0.0.1:80"]);
    assert!(matches!(edit(text, &change), Err(EditFault::Text(_))));
}

#[test]
fn names_of_the_text_do_not_steer_the_terminal() {
    let text = "[[virtual_server]]\nname = \"\\u001b[31mweb\"\n";
    let message = |change| edit(text, &change).unwrap_err().to_string();
    assert_eq!(
        message(delete("virtual_server.db")),
        "there is no `db` in `virtual_server` of lb.toml; it has \\u{1b}[31mweb"
    );
    for change in [delete("virtual_server"), set("virtual_server.\u{1b}[31mweb", "x")] {
        let message = message(change);
        assert!(message.contains("\\u{1b}[31mweb"), "{message}");
        assert!(!message.contains('\u{1b}'), "{message}");
    }
}

proptest! {
    #[test]
    fn what_was_set_can_be_deleted_and_nothing_else_was_touched(text in layout(), (change, path) in absent()) {
        let edited = edit(&text, &change).unwrap();
        prop_assert!(DeTable::parse(&edited).is_ok(), "{}", edited);
        prop_assert!(edited.len() > text.len());
        prop_assert_eq!(common(&text, &edited), text.len(), "{}", edited);
        prop_assert_eq!(edit(&edited, &delete(path)).unwrap(), text);
    }

    #[test]
    fn a_value_that_is_set_back_is_the_text_from_before(text in layout()) {
        let edited = edit(&text, &set("virtual_server.web.listen", "192.168.0.1:8080")).unwrap();
        prop_assert_eq!(edited.len(), text.len() + 2);
        prop_assert_eq!(edit(&edited, &set("virtual_server.web.listen", "192.168.0.1:80")).unwrap(), text);
    }

    #[test]
    fn a_deletion_only_takes_away(text in layout(), path in prop::sample::select(vec![
        "virtual_server.web", "virtual_server.web.real_server.1", "virtual_server.web.check.type", "virtual_server.web.listen",
    ])) {
        let edited = edit(&text, &delete(path)).unwrap();
        prop_assert!(DeTable::parse(&edited).is_ok(), "{}", edited);
        prop_assert_eq!(common(&text, &edited), edited.len(), "{}", edited);
        let again = edit(&edited, &delete(path)).is_err();
        prop_assert!(again, "{}", edited);
    }

    #[test]
    fn whatever_the_text_is_the_result_is_toml(
        pieces in prop::collection::vec(piece(), 0..30),
        (change, path) in absent(),
    ) {
        let text = pieces.concat();
        for change in [change, delete(path)] {
            if let Ok(edited) = edit(&text, &change) {
                prop_assert!(DeTable::parse(&edited).is_ok(), "{:?} became {:?}", text, edited);
            }
        }
        paths(&text, path);
    }

    #[test]
    fn any_words_are_answered(path in "[a-z._0-9]{0,30}", value in "\\PC{0,20}") {
        let _ = edit(FILE, &set(&path, &value));
        let _ = edit(FILE, &add(&path, &[&value]));
        let _ = edit(FILE, &delete(&path));
        paths(FILE, &path);
    }
}

/// A service whose checks are a list, in each way to write one.
#[test]
fn one_of_several_checks_is_named_by_its_type_or_place() {
    let head = "[[virtual_server]]\nname = \"w\"\nlisten = \"192.168.0.1:80\"\n";
    let inline = format!("{head}check = [\"tcp\", {{ type = \"http\", port = 8080 }}]\n");
    let tables = format!(
        "{head}[[virtual_server.check]]\ntype = \"tcp\"\n[[virtual_server.check]]\ntype = \"http\"\nport = 8080\n"
    );
    let edited = |text: &str, change: &Change| edit(text, change).unwrap()[head.len()..].to_owned();
    let delete = |path: &str| Change::Delete {
        path: path.to_owned(),
    };
    for (change, expected) in [
        (
            set("virtual_server.w.check.http.port", "81"),
            "check = [\"tcp\", { type = \"http\", port = 81 }]\n",
        ),
        (
            set("virtual_server.w.check.1.port", "81"),
            "check = [{ type = \"tcp\", port = 81 }, { type = \"http\", port = 8080 }]\n",
        ),
        (
            delete("virtual_server.w.check.tcp"),
            "check = [{ type = \"http\", port = 8080 }]\n",
        ),
        (delete("virtual_server.w.check.2"), "check = [\"tcp\"]\n"),
        (
            set("virtual_server.w.check", "tcp,icmp"),
            "check = [\"tcp\", \"icmp\"]\n",
        ),
        (
            add("virtual_server.w.check", &["type=icmp"]),
            "check = [\"tcp\", { type = \"http\", port = 8080 }, { type = \"icmp\" }]\n",
        ),
    ] {
        assert_eq!(edited(&inline, &change), expected, "{change:?}");
    }
    let changed = edited(&tables, &set("virtual_server.w.check.2.port", "81"));
    assert!(changed.ends_with("type = \"http\"\nport = 81\n"), "{changed}");
    let added = edited(&tables, &add("virtual_server.w.check", &["type=icmp"]));
    assert!(
        added.ends_with("port = 8080\n\n[[virtual_server.check]]\ntype = \"icmp\"\n"),
        "{added}"
    );
    let one = edited(
        &format!("{head}check = \"tcp\"\n"),
        &add("virtual_server.w.check", &["type=icmp"]),
    );
    assert_eq!(one, "check = [\"tcp\", { type = \"icmp\" }]\n");
    let EditFault::Words(words) = edit(&inline, &set("virtual_server.w.check.interval", "5s")).unwrap_err()
    else {
        panic!("it is about the words");
    };
    assert!(
        words.contains("there is no `interval` in `virtual_server.w.check`"),
        "{words}"
    );
}

#[test]
fn keys_that_need_each_other_stand_in_a_table() {
    let check = "virtual_server.w.check";
    for path in [check, "virtual_server.w.check.ca"] {
        assert_eq!(together(path), Some(check), "{path}");
    }
    for path in [
        "hostname",
        "virtual_server.w",
        "virtual_server.w.scheduler",
        "virtual_server.w.real_server.172.16.0.11:80.weight",
        "virtual_server.w.check.2.port",
        "nobody.knows",
        "",
    ] {
        assert_eq!(together(path), None, "{path}");
    }
}

/// Nobody is refused between two changes.
#[test]
fn a_service_is_added_with_its_servers() {
    let head = "[[interface]]\nname = \"eth0\"\naddresses = [\"192.168.0.1/24\"]\n";
    let servers = "real_server=[{ address = \"172.16.0.13:53\" }]";
    let whole = add(
        "virtual_server",
        &[
            "name=dns",
            "listen=192.168.0.1:53",
            "protocol=udp",
            "check=dns",
            servers,
        ],
    );
    let text = edit(head, &whole).unwrap();
    let parsed = crate::config::parse(&text).unwrap();
    assert_eq!(parsed.virtual_servers[0].real_servers.len(), 1, "{text}");
    // One more stands beside it in the same way.
    let text = edit(
        &text,
        &add("virtual_server.dns.real_server", &["address=172.16.0.14:53"]),
    )
    .unwrap();
    assert!(
        text.contains("[{ address = \"172.16.0.13:53\" }, { address = \"172.16.0.14:53\" }]"),
        "{text}"
    );
}
