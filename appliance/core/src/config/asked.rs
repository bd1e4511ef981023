//! A check that is not in lb.toml: its type, its server and its keys as words, `path=/readyz`. It is read by the reader of lb.toml, with
//! the keys, limits and messages that hold there. Must not: know keys of its own.

use std::net::{IpAddr, SocketAddr};

use toml::de::DeTable;

use super::check::{CheckKeys, Kind};
use super::fault::quoted;
use super::keys::{self, Form};
use super::reader::Reader;
use super::topology::Topology;
use super::{Config, shape};
use crate::check::{CheckKind, CheckParams};
use crate::model::RealKey;

/// The table that the words are keys of, and its `type`.
const HEADER_LINES: usize = 3;

/// The types of check, as the file has them.
pub fn check_types() -> &'static [&'static str] {
    &Kind::WORDS
}

/// What to ask of which server; `config`: whose interfaces and addresses are named. The error has a line for each fault.
pub fn check_of_words(
    kind: &str,
    server: &str,
    words: &[String],
    config: Option<&Config>,
) -> Result<(RealKey, CheckParams), String> {
    let mut faults = Vec::new();
    let mut text = format!(
        "[[virtual_server]]\n[virtual_server.check]\ntype = {}\n",
        basic(kind)
    );
    let mut names: Vec<&str> = Vec::new();
    for word in words {
        match line(word, &names) {
            Ok((name, line)) => {
                names.push(name);
                text.push_str(&line);
            }
            Err(fault) => faults.push(fault),
        }
    }
    if !faults.is_empty() {
        return Err(faults.join("\n"));
    }
    let (address, port) = parts(server)?;
    let params = read(&text, address, words, config)?;
    let needs_port = params.kind != CheckKind::Icmp && params.port.is_none();
    match port {
        None if needs_port => Err(format!(
            "`{server}` has no port; a check of type \"{kind}\" asks ADDRESS:PORT, such as {}",
            SocketAddr::new(address, 443)
        )),
        port => {
            let port = port.unwrap_or(0);
            Ok((RealKey { address, port }, params))
        }
    }
}

fn parts(server: &str) -> Result<(IpAddr, Option<u16>), String> {
    if let Ok(socket) = server.parse::<SocketAddr>() {
        return Ok((socket.ip(), Some(socket.port()).filter(|port| *port > 0)));
    }
    let bare = server.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse().map_err(|_| {
        format!(
            "{} is no ADDRESS:PORT, such as 172.16.0.11:30080 or [2001:db8::1]:80; names are not looked up here",
            quoted(server)
        )
    })?;
    Ok((address, None))
}

/// The line of the file that a word stands for, and its key.
fn line<'w>(word: &'w str, before: &[&str]) -> Result<(&'w str, String), String> {
    let Some((name, value)) = word.split_once('=') else {
        return Err(format!(
            "{} is no KEY=VALUE, such as timeout=2s; `explain check` lists the keys",
            quoted(word)
        ));
    };
    let is_bare = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    if name.is_empty() || !name.chars().all(is_bare) {
        return Err(format!(
            "{} is no name of a key; `explain check` lists the keys",
            quoted(name)
        ));
    }
    if before.contains(&name) {
        return Err(format!("`{name}` is given twice; remove one of the two"));
    }
    if name == "type" {
        return Err("`type` is the word before the address; leave it out".to_owned());
    }
    let form = keys::CHECK
        .keys()
        .find(|key| key.name == name || key.alias == Some(name))
        .map(|key| &key.form);
    let line = format!("{name} = {}\n", written(form, value));
    match DeTable::parse(&line) {
        Ok(_) => Ok((name, line)),
        Err(error) => Err(format!(
            "`{name}`: {} cannot be read as lb.toml would write it: {}",
            quoted(value),
            error.message()
        )),
    }
}

/// A value without the quotes that lb.toml wants and a command line does not keep.
fn written(form: Option<&Form>, value: &str) -> String {
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let is_flag = ["true", "false"].contains(&value);
    let raw = match form {
        None | Some(Form::Text { .. }) => value.len() > 1 && value.starts_with('"') && value.ends_with('"'),
        Some(form) => {
            value.starts_with(['"', '\'', '[', '{'])
                || is_number && takes(form, |form| matches!(form, Form::Number { .. }))
                || is_flag && takes(form, |form| matches!(form, Form::Flag))
        }
    };
    match raw {
        true => value.to_owned(),
        false => basic(value),
    }
}

/// Whether a form, or one of its alternatives, is such a one.
fn takes(form: &Form, is: impl Fn(&Form) -> bool + Copy) -> bool {
    match form {
        Form::OneOrMore(inner) | Form::UpTo(inner, _) => takes(inner, is),
        Form::Either(forms) => forms.iter().any(|form| takes(form, is)),
        form => is(form),
    }
}

/// A basic string of TOML, on one line.
fn basic(value: &str) -> String {
    let mut text = String::from("\"");
    for c in value.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            c if c.is_control() => text.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => text.push(c),
        }
    }
    text + "\""
}

fn read(
    text: &str,
    server: IpAddr,
    words: &[String],
    config: Option<&Config>,
) -> Result<CheckParams, String> {
    let topology = config.map(topology).unwrap_or_default();
    let document = DeTable::parse(text).map_err(|error| error.message().to_owned())?;
    let mut reader = Reader::new(text);
    let root = reader.top_level(document.get_ref(), 0);
    let services = reader.tables(&root, "virtual_server", &shape::VIRTUAL_SERVER, "");
    let check = services.first().and_then(|service| service.value("check"));
    let keys = CheckKeys::read(&mut reader, check, &topology);
    keys.judge(&mut reader);
    keys.judge_whole(&mut reader, Some(server));
    if reader.faults.is_empty() {
        return Ok(keys.params());
    }
    let faults = reader.faults.into_faults().reports(text);
    let lines = faults.iter().map(|fault| {
        let word = fault
            .line
            .checked_sub(HEADER_LINES + 1)
            .and_then(|at| words.get(at));
        let place = word.map_or(String::new(), |word| format!("{}: ", quoted(word)));
        format!("{place}{}; {}", fault.message, fault.help)
    });
    Err(lines.collect::<Vec<_>>().join("\n"))
}

/// As the file that is in force has it.
fn topology(config: &Config) -> Topology {
    let mut topology = Topology::default();
    for (index, interface) in config.interfaces.iter().enumerate() {
        topology.labels.insert(interface.label.clone(), index);
        topology.names.push(interface.label.clone());
        for network in &interface.addresses {
            topology.own(network.addr(), index, 0..0);
            topology.connect(*network, index, 0..0);
        }
    }
    topology
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{BodyTest, Verify};
    use std::time::Duration;

    const FILE: &str = "[[interface]]\nname = \"eth1\"\naddresses = [\"172.16.0.254/24\"]\n";

    fn asked(line: &str) -> Result<(RealKey, CheckParams), String> {
        let config = super::super::parse(FILE).unwrap();
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        check_of_words(&words[0], &words[1], &words[2..], Some(&config))
    }

    #[test]
    fn words_become_the_check_that_lb_toml_would_have() {
        let (server, params) =
            asked("https 172.16.0.1:6443 path=/readyz verify=false timeout=2s status=200").unwrap();
        assert_eq!(server.to_string(), "172.16.0.1:6443");
        assert_eq!(params.timeout, Duration::from_secs(2));
        let CheckKind::Http(http) = &params.kind else {
            panic!("{params:?}");
        };
        assert_eq!(http.pages[0].path, "/readyz");
        assert_eq!(http.pages[0].status.to_string(), "200");
        assert_eq!(http.tls.as_ref().unwrap().verify, Verify::Nobody);
        let (_, params) =
            asked("http 172.16.0.1:80 body_contains=\"ok status=[\"200-299\",401] headers={X-A=\"b\"}")
                .unwrap();
        let CheckKind::Http(http) = &params.kind else {
            panic!("{params:?}");
        };
        assert_eq!(http.headers, [("X-A".to_owned(), "b".to_owned())]);
        assert_eq!(http.pages[0].status.to_string(), "200-299, 401");
        assert_eq!(http.pages[0].body, BodyTest::Contains("\"ok".to_owned()));
        let (server, params) = asked("icmp 2001:db8::1").unwrap();
        assert_eq!((server.port, params.kind), (0, CheckKind::Icmp));
        let (_, params) = asked("tcp 172.16.0.1:80 source=172.16.0.254 interface=eth1").unwrap();
        assert_eq!(params.interface.as_deref(), Some("eth1"));
        assert!(asked("agent 172.16.0.1 port=9707").is_ok());
    }

    /// The messages are those of the file, with the word for a place.
    #[test]
    fn faults_are_those_of_lb_toml_at_their_words() {
        for (line, expected) in [
            (
                "http 172.16.0.1:80 pth=/x",
                "`pth=/x`: unknown key `pth` in a server's `check`; did you mean `path`?",
            ),
            ("http 172.16.0.1:80 timeout=2", "`timeout=2`: "),
            ("http 172.16.0.1:80 path=x", "`path=x`: "),
            ("tcp 172.16.0.1:80 path=/x", "`path=/x`: "),
            ("htp 172.16.0.1:80", "did you mean \"http\"?"),
            ("ping 172.16.0.1:80", "write \"icmp\""),
            ("https 172.16.0.1:6443", "ca"),
            (
                "tcp 172.16.0.1:80 source=10.9.9.9",
                "the appliance has no address 10.9.9.9",
            ),
            ("tcp 172.16.0.1:80 interface=eth9", "eth9"),
            ("tcp 172.16.0.1", "has no port"),
            ("tcp web:80", "names are not looked up here"),
            ("tcp 172.16.0.1:80 fast", "`fast` is no KEY=VALUE"),
            ("tcp 172.16.0.1:80 close=fin close=rst", "`close` is given twice"),
            ("tcp 172.16.0.1:80 type=http", "leave it out"),
            ("http 172.16.0.1:80 status=[1", "cannot be read"),
        ] {
            let fault = asked(line).unwrap_err();
            assert!(fault.contains(expected), "{line}: {fault}");
        }
        let two = asked("http 172.16.0.1:80 a=1 b=2").unwrap_err();
        assert_eq!(two.lines().count(), 2, "{two}");
    }
}
