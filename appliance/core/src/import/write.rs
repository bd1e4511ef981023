//! A draft as text, in blocks: the head, an interface, a service, a server. A block that lb.toml cannot hold becomes a
//! comment. Must not: judge anything.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::draft::{Address, Draft, Keys, Note, Server, Service};
use super::machine::{Interface, Origin};
use super::remarks::{Place, Remarks};
use super::{names, shared, values};

/// A comment's width; consoles have 80 columns.
const WIDTH: usize = 79;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Without it nothing works.
    Base,
    Service,
    /// Belongs to the service before it.
    Server,
}

#[derive(Debug)]
pub(super) struct Block {
    pub kind: Kind,
    pub place: Option<Place>,
    /// Comments stand in front of it.
    comments: String,
    text: String,
    /// Why it is a comment only.
    pub off: Option<String>,
}

impl Block {
    fn new(kind: Kind, place: Option<Place>, notes: &[Note], text: String, remarks: &Remarks) -> Block {
        let comments = notes
            .iter()
            .map(|note| comment(&note.text, Some(note.place), remarks));
        Block {
            kind,
            place,
            comments: comments.collect(),
            text,
            off: None,
        }
    }

    /// As it stands in the file. `whole`: the service that it belongs to is in force.
    pub fn write(&self, whole: bool, remarks: &Remarks, out: &mut String) {
        out.push('\n');
        out.push_str(&self.comments);
        if let Some(reason) = &self.off {
            out.push_str(&comment(reason, self.place, remarks));
        }
        if self.off.is_none() && whole {
            out.push_str(&self.text);
            return;
        }
        for line in self.text.lines() {
            out.push_str(if line.is_empty() { "#" } else { "# " });
            out.push_str(line);
            out.push('\n');
        }
    }
}

/// A comment of as many lines as it needs.
fn comment(text: &str, place: Option<Place>, remarks: &Remarks) -> String {
    let text = match place {
        Some(place) => format!("{}: {text}", remarks.at(place)),
        None => text.to_owned(),
    };
    let mut lines = String::new();
    let mut line = String::from("#");
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    for word in text.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > WIDTH && line.len() > 1 {
            lines.push_str(&line);
            lines.push('\n');
            line = String::from("#  ");
        }
        line.push(' ');
        line.push_str(word);
    }
    lines + &line + "\n"
}

fn assign(out: &mut String, key: &str, value: &str) {
    // A String takes every write.
    let _ = writeln!(out, "{key} = {value}");
}

pub(super) fn blocks(draft: &mut Draft, program: &str, remarks: &Remarks) -> Vec<Block> {
    let mut blocks = vec![head(draft, program, remarks)];
    let interfaces = draft.machine.interfaces();
    let routed = [true, false].iter().any(|v4| draft.machine.has_gateway(*v4));
    let first = interfaces
        .iter()
        .position(|interface| !interface.addresses.is_empty());
    for (index, interface) in interfaces.iter().enumerate() {
        let bare = !routed && first == Some(index);
        blocks.push(self::interface(interface, bare, remarks));
    }
    let names = names::assign(&draft.services);
    for (service, name) in draft.services.iter_mut().zip(names) {
        let check = shared::share(&mut service.servers);
        gather(service);
        blocks.push(Block::new(
            Kind::Service,
            Some(service.place),
            &service.notes,
            service_text(service, &name, &check),
            remarks,
        ));
        blocks.extend(
            service
                .servers
                .iter()
                .map(|server| server_block(server, "[[virtual_server.real_server]]", remarks)),
        );
        blocks.extend(
            service
                .sorry
                .iter()
                .map(|server| server_block(server, "[virtual_server.sorry_server]", remarks)),
        );
    }
    blocks
}

/// What is noted at several servers is noted once, at the service.
fn gather(service: &mut Service) {
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for note in service.servers.iter().flat_map(|server| &server.notes) {
        *times.entry(note.text.clone()).or_default() += 1;
    }
    let mut gathered: BTreeSet<String> = BTreeSet::new();
    for server in &mut service.servers {
        let (often, rare) = std::mem::take(&mut server.notes)
            .into_iter()
            .partition(|note| times[&note.text] > 1);
        server.notes = rare;
        let often: Vec<Note> = often;
        service.notes.extend(
            often
                .into_iter()
                .filter(|note| gathered.insert(note.text.clone())),
        );
    }
}

fn head(draft: &Draft, program: &str, remarks: &Remarks) -> Block {
    let mut text = comment(
        &format!(
            "lb.toml, made of {} by `import {program}`. A comment that begins with the name of that file asks for a decision.",
            remarks.name()
        ),
        None,
        remarks,
    );
    if !draft.timeouts.is_empty() {
        text.push_str("\n[timeouts]\n");
        for (key, value) in draft.timeouts.iter() {
            assign(&mut text, key, value);
        }
    }
    Block::new(Kind::Base, None, &[], text, remarks)
}

/// What has to be decided about an interface's addresses, once for each kind of doubt.
fn doubts(interface: &Interface) -> Vec<Note> {
    let mut notes = Vec::new();
    for (origin, text) in [
        (
            Origin::Guessed,
            "the length of this network is not in the file; the one below is a guess",
        ),
        (
            Origin::Placeholder,
            "the file does not tell this machine's own address here; replace",
        ),
    ] {
        let mut doubtful = interface.addresses.iter().filter(|owned| owned.origin == origin);
        let Some((first, place)) = doubtful.next().and_then(|owned| Some((owned, owned.place?))) else {
            continue;
        };
        let text = match origin {
            Origin::Placeholder => {
                let all = std::iter::once(first)
                    .chain(doubtful)
                    .map(|owned| owned.net.to_string());
                format!("{text} {}", all.collect::<Vec<_>>().join(", "))
            }
            _ => text.to_owned(),
        };
        notes.push(Note { place, text });
    }
    notes
}

/// What a link that is usually made of others may lack; the source does not tell of what.
fn made_of(name: &str) -> &'static str {
    let made = |prefix: &str| {
        name.strip_prefix(prefix)
            .is_some_and(|rest| rest.parse::<u8>().is_ok())
    };
    if made("bond") {
        "# bond = { links = [\"eth0\", \"eth1\"] }   # its cards, unless it is a card itself\n"
    } else if made("br") {
        "# bridge = { links = [\"eth0\", \"eth1\"] } # its links, unless it is a card itself\n"
    } else {
        ""
    }
}

/// `bare`: the place where a default route is missing.
fn interface(interface: &Interface, bare: bool, remarks: &Remarks) -> Block {
    let mut text = String::from("[[interface]]\n");
    assign(&mut text, "name", &values::text(&interface.name));
    text.push_str(made_of(&interface.name));
    if let Some((link, id)) = &interface.vlan {
        assign(
            &mut text,
            "vlan",
            &format!("{{ link = {}, id = {id} }}", values::text(link)),
        );
    }
    let addresses: Vec<String> = interface
        .addresses
        .iter()
        .map(|owned| values::text(&owned.net.to_string()))
        .collect();
    assign(&mut text, "addresses", &values::list(&addresses));
    if let Some(gateway) = interface.gateway {
        assign(&mut text, "gateway", &values::text(&gateway.to_string()));
    }
    if bare {
        text.push_str("# gateway = \"ADDRESS\"       # the default route, if clients are elsewhere\n");
    }
    let route =
        |(to, via): &(ipnet::IpNet, std::net::IpAddr)| format!("{{ to = \"{to}\", via = \"{via}\" }}");
    let routes: Vec<String> = interface.routes.iter().map(route).collect();
    if !routes.is_empty() {
        assign(&mut text, "routes", &values::list(&routes));
    }
    Block::new(Kind::Base, None, &doubts(interface), text, remarks)
}

fn service_text(service: &Service, name: &str, checks: &[Keys]) -> String {
    let mut text = String::from("[[virtual_server]]\n");
    assign(&mut text, "name", &values::text(name));
    let listen: Vec<String> = service.listen.iter().map(values::listen).collect();
    assign(&mut text, "listen", &values::one_or_list(&listen));
    if service.protocol != "tcp" {
        assign(&mut text, "protocol", &values::text(service.protocol));
    }
    for (key, value) in service.keys.iter() {
        assign(&mut text, key, value);
    }
    let header = match checks {
        [only] if only.iter().eq([("type", "\"none\"")]) => {
            assign(&mut text, "check", "\"none\"");
            return text;
        }
        [_] => "\n[virtual_server.check]\n",
        _ => "\n[[virtual_server.check]]\n",
    };
    for check in checks {
        text.push_str(header);
        for (key, value) in check.iter() {
            assign(&mut text, key, value);
        }
    }
    text
}

/// A check as a value: its type alone as a word.
fn inline(check: &Keys) -> String {
    let own: Vec<String> = check
        .iter()
        .map(|(key, value)| format!("{key} = {value}"))
        .collect();
    match (own.len(), check.value("type")) {
        (1, Some(kind)) => kind.to_owned(),
        _ => format!("{{ {} }}", own.join(", ")),
    }
}

fn server_block(server: &Server, table: &str, remarks: &Remarks) -> Block {
    let mut text = format!("{table}\n");
    assign(&mut text, "address", &values::address(&server.address));
    for (key, value) in server.keys.iter() {
        assign(&mut text, key, value);
    }
    let all: Vec<String> = server.checks().iter().map(inline).collect();
    match all.as_slice() {
        [only] if !server.listed || only == "\"none\"" => {
            if !server.check.is_empty() {
                assign(&mut text, "check", only);
            }
        }
        [only] => assign(&mut text, "check", &format!("[{only}]")),
        all => assign(&mut text, "check", &format!("[\n  {},\n]", all.join(",\n  "))),
    }
    let mut block = Block::new(Kind::Server, Some(server.place), &server.notes, text, remarks);
    if let Address::Unusable(_, reason) = &server.address {
        block.off = Some(reason.clone());
    }
    block
}
