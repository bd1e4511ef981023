//! keepalived.conf as lb.toml: the whole grammar of keepalived.conf(5), of which IPVS's part is taken over.
//! Must not: read files; whoever calls finds those that are included.

mod ask;
mod checker;
mod group;
mod inherited;
mod lines;
mod network;
mod pool;
mod real_server;
mod sequence;
mod service;
mod tree;
mod url;
mod virtual_server;
mod words;

pub use lines::Included;

use super::Imported;
use super::draft::Draft;
use super::finish::finish;
use super::remarks::{Remarks, Severity};
use group::Groups;
use lines::Lines;
use network::Later;
use tree::Statement;

/// What is true of every service, said once.
const ALWAYS: [&str; 3] = [
    "a server gets traffic only after a check has passed, as with `alpha`; at boot keepalived gives it some before",
    "`interval` is from the start of a check to the start of the next; `delay_loop` begins when a check has ended",
    "a server that goes down keeps its connections for `kill_after` (5 s) in case that it comes back, and one that goes down again \
     and again is held back for a while (`hold_down`); set both to \"0s\" for keepalived's way",
];
const WITH_NAT: &str = "with NAT the servers' gateway is this machine; if they reach the outside through it, add a [[masquerade]]";

/// `name` is what remarks call the text. `include` finds the files of an `include`, from the name of the file that it stands in
/// and its pattern; `None`: there is no way to look.
pub fn import(
    name: &str,
    text: &str,
    include: &mut dyn FnMut(&str, &str) -> Option<Vec<Included>>,
) -> Imported {
    let mut remarks = Remarks::new(name);
    if text.len() > super::MOST_BYTES {
        remarks.of_all(
            Severity::Fault,
            "nothing could be produced: the text is larger than 2 MiB",
        );
        return Imported {
            toml: String::new(),
            remarks: remarks.finish(),
        };
    }
    let mut lines = Lines::new(&mut remarks, include);
    lines.file(0, name, text, 0);
    let tokens = std::mem::take(&mut lines.tokens);
    let statements = tree::build(tokens, &mut remarks);
    let mut draft = Draft::default();
    let groups = machine(&statements, &mut draft, &mut remarks);
    servers_are_foreign(&statements, &mut draft);
    for statement in statements
        .iter()
        .filter(|statement| statement.word() == "virtual_server")
    {
        service::add(statement, &groups, &mut draft, &mut remarks);
    }
    if !draft.services.is_empty() {
        ALWAYS
            .iter()
            .for_each(|text| remarks.of_all(Severity::Differs, *text));
        if draft
            .services
            .iter()
            .any(|service| service.keys.value("forward").is_none())
        {
            remarks.of_all(Severity::Differs, WITH_NAT);
        }
    }
    finish(draft, "keepalived", remarks)
}

/// No placeholder is the address of a server.
fn servers_are_foreign(statements: &[Statement], draft: &mut Draft) {
    let inner = statements.iter().flat_map(Statement::statements);
    let servers = inner.filter(|inner| inner.word().ends_with("_server"));
    let addresses = servers.filter_map(|server| real_server::endpoint(server).ok());
    addresses.for_each(|(ip, _)| draft.machine.is_foreign(ip));
}

/// Everything but the services.
fn machine(statements: &[Statement], draft: &mut Draft, remarks: &mut Remarks) -> Groups {
    let mut groups = Groups::default();
    let mut later = Later::default();
    for statement in statements {
        match statement.word() {
            "virtual_server" => {}
            "virtual_server_group" => groups.read(statement, remarks),
            "vrrp_instance" => network::vrrp_instance(statement, &mut later, draft, remarks),
            "static_ipaddress" | "static_addresses" => network::static_addresses(statement, &mut later, draft, remarks),
            "static_routes" => network::routes(statement, None, &mut later),
            "global_defs" => network::global_defs(statement, draft, remarks),
            "SSL" => remarks.dropped(
                statement.place,
                "SSL: keys and certificates of checks are `client_certificate` and `client_key` here, and `ca` says who may answer",
            ),
            _ => words::drop_with_reason(statement, remarks),
        }
    }
    later.settle(draft, remarks);
    groups
}
