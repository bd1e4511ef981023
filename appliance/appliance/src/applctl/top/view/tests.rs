//! The picture at several sizes, as a terminal shows it, and what keys do to it. UPDATE_GOLDEN=1 writes the golden files
//! anew; the difference is then to be read.

use std::path::Path;

use lb_core::control::{BalancedReport, ServiceCounters};
use lb_core::traffic::{Load, Memory, Processor, Softnet, Tracking};

use super::super::state::Asks;
use super::*;
use crate::applctl::fullscreen::Key;
use crate::applctl::render::samples;

fn service(name: &str, scale: Option<f64>, up: (usize, usize)) -> ServiceCounters {
    ServiceCounters {
        name: name.into(),
        listen: "192.168.0.1:80".into(),
        protocol: "tcp".into(),
        servers_up: up.0,
        servers: up.1,
        active_connections: 12,
        inactive_connections: 30,
        traffic: scale.map(|_| samples::counted(1)),
        rates: scale.map(samples::paced),
    }
}

fn report() -> CountersReport {
    let mut services = vec![
        service("nginx", Some(40.0), (1, 2)),
        service("kube-apiserver", Some(4.0), (1, 1)),
        service("registry-of-the-third-team-v6", None, (0, 3)),
    ];
    services.extend((1..=30).map(|n| service(&format!("web-{n:02}"), Some(f64::from(n) / 10.0), (40, 40))));
    CountersReport {
        hostname: "lb".into(),
        read_at_ms: 11_100_000,
        processors: vec![Processor::default(); 2],
        load: Some(Load {
            average_percent: 12.3,
            busiest_percent: 87.6,
        }),
        memory: Memory {
            total_kb: 244_536,
            available_kb: 122_000,
        },
        conntrack: Tracking {
            count: 42,
            max: 65_536,
            early_dropped: 3,
            ..Tracking::default()
        },
        softnet: Softnet::default(),
        ipvs: BalancedReport {
            active_connections: 1_234,
            inactive_connections: 5_600,
            table_buckets: 65_536,
        },
        interfaces: samples::interfaces_rated().interfaces,
        services,
        service: None,
    }
}

/// nginx is opened.
fn with_servers() -> CountersReport {
    let mut report = report();
    report.service = samples::services()
        .services
        .into_iter()
        .find(|s| s.name == "nginx");
    report
}

fn state(opened: Option<&str>) -> State {
    State::new(opened.map(Into::into), 2)
}

/// What a terminal of that size shows, and that it shows what was drawn.
fn shown(canvas: &Canvas) -> String {
    let (columns, rows) = canvas.size();
    let size = |n: usize| std::num::NonZero::new(u16::try_from(n).unwrap()).unwrap();
    let mut terminal = vt100::Parser::new(size(rows), size(columns), 0);
    terminal.process(canvas.delta(None, true).as_bytes());
    let contents = terminal.screen().contents();
    let lines: Vec<_> = contents.lines().map(str::trim_end).collect();
    assert_eq!(lines, canvas.lines());
    assert!(lines.len() <= rows);
    lines.join("\n") + "\n"
}

fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
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

#[test]
fn pictures_of_several_sizes() {
    for (columns, rows) in [(80, 24), (40, 10), (132, 50), (200, 60)] {
        let canvas = draw(Some(&report()), &mut state(None), None, (columns, rows));
        golden(&format!("top-{columns}x{rows}.txt"), &shown(&canvas));
        let canvas = draw(
            Some(&with_servers()),
            &mut state(Some("nginx")),
            None,
            (columns, rows),
        );
        golden(&format!("top-nginx-{columns}x{rows}.txt"), &shown(&canvas));
    }
    golden("top-once.txt", &text(&report(), &mut state(None), 80, 20));
}

#[test]
fn any_size_is_drawn() {
    for columns in 1..140 {
        for rows in 1..30 {
            shown(&draw(Some(&report()), &mut state(None), None, (columns, rows)));
        }
    }
    for size in [(80, 24), (1, 1), (3, 2)] {
        shown(&draw(
            None,
            &mut state(None),
            Some("the agent is not running"),
            size,
        ));
    }
}

#[test]
fn figures_of_broken_json_do_no_harm() {
    let mut report = with_servers();
    report.hostname = "\x1b[2J".into();
    report.memory.available_kb = u64::MAX;
    report.memory.total_kb = u64::MAX / 100;
    report.conntrack.max = 0;
    report.services[0].rates = Some(samples::paced(f64::NAN));
    report.services[1].rates = Some(samples::paced(f64::MAX));
    report.services[2].name = "x".repeat(300);
    report.interfaces[0].state = "日本語日本語日本語".into();
    shown(&draw(Some(&report), &mut state(None), None, (80, 24)));
}

/// The lines of the list, from the heading on.
fn listed(report: &CountersReport, state: &mut State) -> Vec<String> {
    let canvas = draw(Some(report), state, None, (80, 24));
    let lines = canvas.lines();
    let from = lines.iter().position(|l| l.contains("CONN/s")).unwrap() + 1;
    lines[from..lines.len() - 1].to_vec()
}

fn name(line: &str) -> &str {
    line[1..].split(' ').next().unwrap()
}

#[test]
fn the_marker_stays_on_its_service_and_on_the_screen() {
    let report = report();
    let mut state = state(None);
    let press = |state: &mut State, key| state.press(key, Some(&report), 14);
    assert_eq!(name(&listed(&report, &mut state)[0]), "nginx");
    for _ in 0..3 {
        assert_eq!(press(&mut state, Key::Down), Asks::Picture);
    }
    let lines = listed(&report, &mut state);
    assert!(lines[3].starts_with(">web-29"), "{lines:#?}");
    // By name it is elsewhere in the list, and the list follows.
    press(&mut state, Key::Character('n'));
    let lines = listed(&report, &mut state);
    let marked: Vec<_> = lines.iter().filter(|l| l.starts_with('>')).collect();
    assert_eq!(marked.len(), 1, "{lines:#?}");
    assert_eq!(name(marked[0]), "web-29");
    press(&mut state, Key::End);
    assert!(listed(&report, &mut state).last().unwrap().starts_with(">web-30"));
    press(&mut state, Key::PageUp);
    press(&mut state, Key::Home);
    assert!(listed(&report, &mut state)[0].starts_with(">kube-apiserver"));
    // What is not known is last in an order of rates.
    press(&mut state, Key::Character('c'));
    press(&mut state, Key::End);
    let lines = listed(&report, &mut state);
    assert!(lines.last().unwrap().contains("v6"), "{lines:#?}");
}

#[test]
fn a_service_is_opened_and_left() {
    let report = with_servers();
    let mut state = state(None);
    assert_eq!(state.press(Key::Down, Some(&report), 14), Asks::Picture);
    state.press(Key::Up, Some(&report), 14);
    assert_eq!(state.press(Key::Enter, Some(&report), 14), Asks::Reading);
    assert_eq!(state.opened.as_deref(), Some("nginx"));
    let lines = listed(&report, &mut state);
    assert!(lines[0].starts_with(">172.16.0.11:30080"), "{lines:#?}");
    assert!(lines[1].contains("down"), "{lines:#?}");
    assert_eq!(state.press(Key::Enter, Some(&report), 14), Asks::Picture);
    assert_eq!(state.press(Key::Escape, Some(&report), 14), Asks::Reading);
    assert_eq!(
        (state.opened.as_deref(), state.marked.as_deref()),
        (None, Some("nginx"))
    );
    assert_eq!(state.press(Key::Escape, Some(&report), 14), Asks::Picture);
    assert_eq!(state.press(Key::Character('q'), Some(&report), 14), Asks::Leave);
}

#[test]
fn the_pace_has_bounds() {
    let mut state = state(None);
    let mut paces = Vec::new();
    for key in "---++++++++-".chars() {
        state.press(Key::Character(key), None, 1);
        paces.push(state.interval_s);
    }
    assert_eq!(paces, [1, 1, 1, 2, 5, 10, 30, 60, 300, 300, 300, 60]);
}
