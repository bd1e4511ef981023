//! Large files: read in time when they are configurations, refused in time and in little memory when they are not.

use std::fmt::Write;
use std::time::Duration;

use super::*;

/// Of a processor, for a debug build; 40,000 servers take two of it.
const PATIENCE: Duration = Duration::from_secs(20);

/// The processor's time of this thread: other tests and other programs do not count.
fn spent() -> Duration {
    /// USER_HZ, which is 100 on every architecture that this runs on (proc_pid_stat(5), fields 14 and 15).
    const TICK: Duration = Duration::from_millis(10);
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    let behind_name = stat.rsplit_once(") ").unwrap().1;
    let ticks = behind_name.split(' ').skip(11).take(2);
    TICK * ticks.map(|field| field.parse::<u32>().unwrap()).sum::<u32>()
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = spent();
    let result = work();
    let took = spent() - start;
    assert!(took < PATIENCE, "{what} took {took:?}");
    result
}

/// 1,000 services with 40 servers each; `more`: further lines of each server.
fn large(more: &str) -> String {
    let mut text = "[[interface]]\nname = \"eth0\"\naddresses = [\"10.0.0.1/8\"]\n".to_owned();
    for service in 0..1_000 {
        let port = 1_000 + service;
        let _ = write!(
            text,
            "[[virtual_server]]\nname = \"s{service}\"\nlisten = \"10.0.0.1:{port}\"\n"
        );
        for server in 0..40 {
            let (high, low) = (1 + service / 250, service % 250);
            let _ = write!(
                text,
                "[[virtual_server.real_server]]\naddress = \"10.{high}.{low}.{}:{port}\"\nweight = 1\n{more}",
                server + 1
            );
        }
    }
    text
}

/// The other keys of a server, and those of its check that are likely to be its own.
const SPELLED_OUT: &str = "when_down = \"inhibit\"\n\
                           check = { type = \"tcp\", port = 8080, timeout = \"10s\", retries = 3, retry_interval = \"3s\" }\n\n";

#[test]
fn every_key_may_be_spelled_out_for_each_of_many_servers() {
    let text = large(SPELLED_OUT);
    assert!(text.len() < MAX_BYTES, "{}", text.len());
    let config = timed("40,000 long servers", || good(&text));
    let servers = config.virtual_servers.iter().flat_map(|s| &s.real_servers);
    assert_eq!(
        servers
            .filter(|server| server.checks.all()[0].port == Some(8080))
            .count(),
        40_000
    );
    // One slip in such a file is named, and not the size.
    let slip = text.replacen("weight = 1\n", "weight = 1\nweight = 1\n", 1);
    let found = timed("one slip", || faults(&slip));
    assert_eq!(found, ["10:1 `weight` is given twice"]);
}

#[test]
fn a_thousand_services_are_read_at_once() {
    let text = large("");
    assert!(text.len() < MAX_BYTES);
    let config = timed("40,000 servers", || good(&text));
    assert_eq!(
        config
            .virtual_servers
            .iter()
            .map(|s| s.real_servers.len())
            .sum::<usize>(),
        40_000
    );
    assert!(timed("warnings", || warnings(&config)).is_empty());
}

#[test]
fn a_fault_in_each_of_many_servers_is_counted_and_the_first_are_shown() {
    let text = large("").replace("weight = 1\n", "weight = -1\n");
    let faults = timed("40,000 faults", || parse(&text).unwrap_err());
    assert_eq!(faults.count(), 40_000);
    let shown = timed("rendering", || faults.render("lb.toml", &text));
    assert_eq!(shown.matches("help: ").count(), 50);
    assert!(
        shown.ends_with("... and 39950 more\n40000 faults in lb.toml\n"),
        "{shown}"
    );
    assert_eq!(timed("reports", || faults.reports(&text)).len(), 1_000);
}

#[test]
fn many_addresses_and_networks_are_compared_quickly() {
    let mut text = "[[interface]]\nname = \"eth0\"\naddresses = [\n".to_owned();
    for n in 0..60_000u32 {
        let _ = writeln!(text, "\"10.{}.{}.{}/32\",", n >> 16, (n >> 8) & 255, n & 255);
    }
    text += "]\n[[interface]]\nname = \"eth1\"\naddresses = [\"10.0.0.1/8\"]\nroutes = [\n";
    for n in 0..20_000u32 {
        let _ = writeln!(
            text,
            "{{ to = \"11.{}.{}.0/24\", via = \"10.9.0.1\" }},",
            n >> 8,
            n & 255
        );
    }
    text += "]\n";
    let faults = timed("80,000 networks", || parse(&text).unwrap_err());
    let found: Vec<&str> = faults.iter().map(|fault| fault.message.as_str()).collect();
    assert_eq!(found, ["the address `10.0.0.1` is there twice"]);
}

#[test]
fn nesting_does_not_reach_the_stack() {
    let deep = 100_000;
    for (open, close) in [("[", "]"), ("{a=", "}"), ("[{a=", "}]")] {
        for tail in [close.repeat(deep), String::new()] {
            let text = format!("hostname = {}1{tail}\n", open.repeat(deep));
            let faults = timed("nested brackets", || parse(&text).unwrap_err());
            assert!(!faults.render("lb.toml", &text).is_empty());
        }
    }
    for text in [
        format!("{}a = 1\n", "a.".repeat(deep)),
        format!("[{}a]\n", "a.".repeat(deep)),
        "[".repeat(deep),
    ] {
        assert!(timed("nested keys", || parse(&text)).is_err());
    }
}

#[test]
fn what_is_no_configuration_is_refused_without_being_read() {
    let big = "x".repeat(MAX_BYTES + 1);
    assert_eq!(faults(&big), ["1:1 the file is larger than 8 MiB"]);
    let bytes = vec![0xff; MAX_BYTES + 1];
    assert_eq!(parse_bytes(&bytes).unwrap_err().count(), 1);
    for junk in [
        "[", "]", "a=1\n", "a=\n", ".", ",", "\"\n", "\n", "[[a]]\n", "a=[[",
    ] {
        let text = junk.repeat(MAX_BYTES / junk.len());
        let found = timed(junk, || faults(&text));
        assert_eq!(
            found,
            ["1:1 the file has more than 1250000 words and signs"],
            "{junk:?}"
        );
    }
}

#[test]
fn one_long_line_is_read_in_time() {
    let text = format!("hostname = \"{}\"\n", "é".repeat(MAX_BYTES / 2 - 20));
    let faults = timed("a long text", || parse(&text).unwrap_err());
    let shown = timed("rendering", || faults.render("lb.toml", &text));
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    for unit in ["a b ", "a=\"x\" ", "#", "=x", "é "] {
        let text = unit.repeat(200_000 / unit.len());
        timed(unit, || {
            parse(&text)
                .map_err(|faults| faults.render("lb.toml", &text))
                .err()
        });
    }
}

#[test]
fn many_broken_lines_are_read_in_time() {
    for line in [
        "key value\n",
        "a = [\n",
        "a = {\n",
        "x = \"\n",
        "[[a\n",
        "a = 1\n",
        "[a]\n",
    ] {
        let text = line.repeat(200_000 / line.len());
        let faults = timed(line, || parse(&text).unwrap_err());
        let shown = timed(line, || faults.render("lb.toml", &text));
        assert!(shown.lines().count() < 500, "{line}");
    }
}

#[test]
fn many_wrong_references_are_answered_in_time() {
    let mut text = String::new();
    for n in 0..5_000 {
        let (high, low) = (n / 250, n % 250);
        let _ = write!(
            text,
            "[[interface]]\nname = \"e{n}\"\naddresses = [\"10.{high}.{low}.1/24\"]\nname{n} = 1\n"
        );
    }
    for n in 0..5_000 {
        let _ = write!(text, "[[masquerade]]\nfrom = \"11.0.0.0/8\"\nout = \"x{n}\"\n");
        let _ = write!(
            text,
            "[[virtual_server]]\nname = \"s{n}\"\nlisten = \"10.0.0.9:{}\"\n",
            n + 1
        );
    }
    let faults = timed("15,000 faults", || parse(&text).unwrap_err());
    assert_eq!(faults.count(), 15_000);
}
