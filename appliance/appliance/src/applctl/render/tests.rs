//! Golden texts of every report, and the width that no line may pass. UPDATE_GOLDEN=1 writes the golden files anew; the
//! difference is then to be read.

use std::path::Path;

use lb_core::control::*;

use super::*;

fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        text,
        expected,
        "{} differs; UPDATE_GOLDEN=1 writes it anew",
        path.display()
    );
}

fn fits(text: &str, width: usize) {
    for line in text.lines() {
        assert!(
            text::width(line) <= width,
            "{} columns: {line}",
            text::width(line)
        );
        assert_eq!(line, line.trim_end(), "blanks at the end of a line");
    }
    assert!(text.ends_with('\n'));
}

fn reports() -> Vec<(&'static str, Response)> {
    vec![
        ("services.txt", Response::Services(samples::services())),
        ("services-long.txt", Response::Services(samples::long_services(1))),
        (
            "services-none.txt",
            Response::Services(ServicesReport {
                read_at_ms: 1,
                services: vec![],
            }),
        ),
        (
            "services-empty.txt",
            Response::Services(ServicesReport {
                read_at_ms: 1,
                services: vec![samples::service("idle", "192.168.0.1:80", vec![])],
            }),
        ),
        ("status.txt", Response::Status(samples::status())),
        ("status-pending.txt", Response::Status(samples::status_pending())),
        ("apply-pending.txt", Response::Apply(samples::apply_pending())),
        (
            "apply-unasserted.txt",
            Response::Apply(samples::apply_unasserted()),
        ),
        ("apply-confirmed.txt", Response::Apply(samples::apply_confirmed())),
        ("apply-unsure.txt", Response::Apply(samples::apply_unsure())),
        ("history.txt", Response::History(samples::history())),
        ("history-none.txt", Response::History(HistoryReport::default())),
        ("diff.txt", Response::Diff(samples::diff())),
        ("diff-none.txt", Response::Diff(samples::no_diff())),
        ("status-troubled.txt", Response::Status(samples::troubled())),
        ("interfaces.txt", Response::Interfaces(samples::interfaces())),
        (
            "interfaces-none.txt",
            Response::Interfaces(InterfacesReport {
                read_at_ms: 1,
                interfaces: vec![],
            }),
        ),
        (
            "interfaces-rated.txt",
            Response::Interfaces(samples::interfaces_rated()),
        ),
        ("gateway.txt", Response::Gateway(samples::gateway())),
        ("gateway-rated.txt", Response::Gateway(samples::gateway_rated())),
        ("connections.txt", Response::Connections(samples::connections())),
        (
            "connections-none.txt",
            Response::Connections(ConnectionsReport {
                total: 0,
                connections: vec![],
            }),
        ),
        ("check.txt", Response::Check(samples::check())),
        ("apply.txt", Response::Apply(samples::apply())),
        ("apply-refused.txt", Response::Apply(samples::apply_refused())),
        ("apply-in-memory.txt", Response::Apply(samples::apply_in_memory())),
        ("apply-in-part.txt", Response::Apply(samples::apply_in_part())),
        (
            "version.txt",
            Response::Version(VersionReport {
                version: "0.1.0".into(),
                kernel: "6.12.48".into(),
                slot: Some("a".into()),
            }),
        ),
    ]
}

#[test]
fn reports_read_as_they_should() {
    for (name, response) in reports() {
        let text = report(&response, &Screen::plain(80));
        fits(&text, 80);
        golden(name, &text);
    }
}

#[test]
fn narrow_and_wide_screens_are_filled_and_not_passed() {
    for width in [40, 60, 100, 120] {
        for (name, response) in reports() {
            // A rendered fault is laid out for 80 columns by whoever found it.
            if !matches!(response, Response::Check(_)) && name != "apply-refused.txt" {
                fits(&report(&response, &Screen::plain(width)), width);
            }
        }
    }
}

#[test]
fn links_read_as_they_should() {
    let report = samples::links();
    let mut rated = report.clone();
    samples::rate_links(&mut rated);
    for width in [40, 60, 80, 100, 120] {
        let screen = Screen::plain(width);
        let shown = rated.links.iter().filter(|link| !link.is_unused_fallback());
        let each: Vec<String> = shown.map(|l| link(l, &screen)).collect();
        for (name, text) in [
            ("link.txt", links(&report, &screen)),
            ("link-rated.txt", links(&rated, &screen)),
            ("link-each.txt", each.join("\n")),
        ] {
            fits(&text, width);
            if width == 80 {
                golden(name, &text);
            }
        }
    }
}

#[test]
fn neighbours_and_routes_read_as_they_should() {
    let (near, ways) = (samples::neighbours(), samples::routes());
    let none = lb_core::neighbours::NeighboursReport {
        neighbours: vec![],
        without_entry: vec![],
    };
    for width in [40, 60, 80, 100, 120] {
        let screen = Screen::plain(width);
        let mut texts = vec![
            ("arp.txt", neighbours(&near, &screen)),
            ("arp-none.txt", neighbours(&none, &screen)),
            ("route.txt", routes(&ways, &screen)),
        ];
        for (name, to) in samples::routes_to() {
            texts.push((name, route(&to, &screen)));
        }
        for (name, text) in texts {
            fits(&text, width);
            if width == 80 {
                golden(name, &text);
            }
        }
    }
}

#[test]
fn ways_of_packets_read_as_they_should() {
    for width in [40, 60, 80, 100, 120] {
        let text = report(&Response::Path(samples::path()), &Screen::plain(width));
        fits(&text, width);
        if width == 80 {
            golden("explain-path.txt", &text);
        }
    }
}

#[test]
fn checks_by_hand_read_as_they_should() {
    let silent = ProbeReport {
        verdict: ProbeVerdict::Pass,
        reason: "answered as it should \x1b[2J".into(),
        ..samples::probe()
    };
    for width in [40, 60, 80, 100, 120] {
        let screen = Screen::plain(width);
        for (name, report) in [
            ("probe.txt", samples::probe()),
            ("probe-passed.txt", silent.clone()),
            ("probe-not-made.txt", samples::probe_not_made()),
        ] {
            let text = probe_begun(&report, &screen) + &probe_ended(&report, &screen);
            fits(&text, width);
            if width == 80 {
                golden(name, &text);
            }
        }
    }
}

#[test]
fn the_contents_of_a_bundle_fit() {
    let files = [
        (
            "lb.toml",
            "the configuration, without its secrets and comments",
            1_400,
        ),
        ("log.txt", "the log of the kernel, init and the agent", 179_600),
        (
            "config-diff.txt",
            "what lb.toml and the kernel differ in from what is in force",
            0,
        ),
    ];
    for width in [40, 60, 80, 120] {
        let text = contents(&files, &Screen::plain(width));
        fits(&text, width);
        if width == 80 {
            golden("support-bundle-list.txt", &text);
        }
    }
}

#[test]
fn echoes_and_hops_read_as_they_should() {
    let (told, account) = samples::echoes();
    for width in [40, 60, 80, 100, 120] {
        let screen = Screen::plain(width);
        let ping: String = told
            .iter()
            .map(|(what, said)| heard(what, said, &screen))
            .collect();
        let mut texts = vec![
            ("ping.txt", ping + &echoes(&account, &screen)),
            ("ping-silence.txt", echoes(&samples::silence(), &screen)),
        ];
        for (name, way) in ["trace.txt", "trace-refused.txt"]
            .into_iter()
            .zip(samples::traces())
        {
            let hops: String = way.hops.iter().map(|each| hop(each, &screen)).collect();
            texts.push((name, hops + &trace_end(&way, &screen)));
        }
        for (name, text) in texts {
            fits(&text, width);
            if width == 80 {
                golden(name, &text);
            }
        }
    }
}

#[test]
fn traffic_is_a_table_of_what_is_known() {
    let (short, long) = (samples::services(), samples::long_services(1));
    for (name, report, figures) in [
        ("services-traffic.txt", &short, Figures::Totals),
        ("services-rate.txt", &short, Figures::Rates),
        ("services-rate-long.txt", &long, Figures::Rates),
    ] {
        let text = traffic(report, figures, &Screen::plain(80));
        golden(name, &text);
        for width in [40, 80, 120] {
            fits(&traffic(report, figures, &Screen::plain(width)), width);
        }
    }
}

#[test]
fn colour_changes_nothing_but_colour() {
    let screen = Screen::terminal(80, true);
    for (_, response) in reports() {
        let plain = report(&response, &Screen::plain(80));
        let coloured = report(&response, &screen);
        let mut stripped = String::new();
        for part in coloured.split("\x1b[") {
            let rest = if stripped.is_empty() && !coloured.starts_with('\x1b') {
                part
            } else {
                part.split_once('m').map_or(part, |(_, r)| r)
            };
            stripped.push_str(rest);
        }
        assert_eq!(stripped, plain);
    }
}

#[test]
fn a_thousand_services_fit_and_are_quick() {
    let report_of_many = Response::Services(samples::long_services(1000));
    let start = std::time::Instant::now();
    let text = report(&report_of_many, &Screen::plain(80));
    fits(&text, 80);
    assert!(text.lines().count() > 5000);
    assert!(start.elapsed().as_secs() < 10);
}

#[test]
fn what_the_agent_says_cannot_drive_the_terminal() {
    let mut services = samples::services();
    services.services[0].name = "evil\x1b]0;title\x07".into();
    services.services[0].servers[0].last_check = samples::failed("\x1b[2J\r\nrefused");
    services.services[0].servers[0].address = "\u{9b}31m".into();
    let mut status = samples::troubled();
    status.problems = vec!["\x1b[2Jproblem".into()];
    let config = ConfigText {
        path: "p".into(),
        text: "a\x1b[2J\tb\r\nc\0".into(),
    };
    for response in [
        Response::Services(services),
        Response::Status(status),
        Response::Config(config),
    ] {
        let text = report(&response, &Screen::plain(80));
        assert!(
            text.chars().all(|c| !c.is_control() || c == '\n' || c == '\t'),
            "{text:?}"
        );
    }
}

#[test]
fn figures_of_broken_json_do_no_harm() {
    let mut services = samples::services();
    let server = &mut services.services[0].servers[0];
    server.since_ms = u64::MAX;
    server.weight = u32::MAX;
    server.configured_weight = 0;
    server.active_connections = u32::MAX;
    server.traffic = Some(lb_core::traffic::Traffic {
        in_bytes: u64::MAX,
        connections: u64::MAX,
        ..Default::default()
    });
    server.rates = Some(samples::paced(f64::NAN));
    server.last_check = Some(LastCheckReport {
        ok: true,
        reason: "x".repeat(300),
        latency_ms: f64::INFINITY,
        age_ms: u64::MAX,
    });
    services.services[0].rates = Some(samples::paced(f64::MAX));
    services.services[0].traffic = Some(samples::counted(u64::MAX / 60_000));
    for figures in [Figures::Totals, Figures::Rates] {
        fits(&traffic(&services, figures, &Screen::plain(80)), 80);
    }
    fits(&report(&Response::Services(services), &Screen::plain(80)), 80);
    let mut status = samples::status();
    status.uptime_ms = u64::MAX;
    status.agent.resident_kb = u64::MAX;
    status.conntrack_count = u64::MAX;
    status.conntrack_max = 0;
    status.hostname = "h".repeat(500);
    fits(&report(&Response::Status(status), &Screen::plain(80)), 80);
}

#[test]
fn what_was_taken_from_a_seed_is_told() {
    let screen = Screen::plain(79);
    let mut report = samples::status();
    report.config.replaced =
        Some("lb.toml was taken from the disk LBSEED (/dev/vdb) (first boot)".to_owned());
    let shown = status::status(&report, &screen);
    assert!(
        shown.contains("At the start    lb.toml was taken from the disk LBSEED"),
        "{shown}"
    );
    let shown = banner("lb", "0.1.0", Some(&report), None, &screen);
    assert!(
        shown.contains("\nlb.toml was taken from the disk LBSEED (/dev/vdb) (first boot).\n"),
        "{shown}"
    );
}

#[test]
fn a_server_that_is_down_is_no_ok() {
    let screen = Screen::plain(100);
    let first = |report: &StatusReport| status::status(report, &screen).lines().next().unwrap().to_owned();
    let mut report = samples::status();
    assert_eq!(first(&report), "OK. 2 services, all 3 servers up.");
    (report.servers_up, report.servers_down) = (2, 1);
    let text = "1 of 3 servers is down, the others take their place: `services` says why.";
    assert_eq!(first(&report), text);
    assert!(banner("lb", "0.1.0", Some(&report), None, &screen).contains(text));
    // Whoever drains a server knows.
    (report.servers_down, report.servers_drained) = (0, 1);
    assert_eq!(first(&report), "OK. 2 services, 2 of 3 servers up, 1 drained.");
    report.servers_up = 3;
    assert_eq!(first(&report), "OK. 2 services, 3 of 3 servers up, 1 drained.");
}

#[test]
fn banners() {
    let screen = Screen::plain(80);
    golden(
        "banner.txt",
        &banner("lb", "0.1.0", Some(&samples::status()), None, &screen),
    );
    golden(
        "banner-troubled.txt",
        &banner("lb", "0.1.0", Some(&samples::troubled()), None, &screen),
    );
    let mut init = samples::init();
    init.problems =
        vec!["/config is not persistent: no config partition was found; put the disk back".into()];
    init.agent_pid = None;
    init.agent_restarts = 7;
    init.agent_last_exit = Some("exit status 101".into());
    init.agent_backoff_ms = 3200;
    golden(
        "banner-no-agent.txt",
        &banner("lb", "0.1.0", None, Some(&init), &screen),
    );
    let text = without_agent(Some(&init), &screen);
    fits(&text, 80);
    golden("without-agent.txt", &text);
    fits(&without_agent(None, &screen), 80);
}
