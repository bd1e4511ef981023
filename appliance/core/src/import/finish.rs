//! The last step: what was made is read as lb.toml is read. What it cannot hold becomes a comment, and a remark says why.
//! Must not: give a text that has faults.

use std::net::IpAddr;

use super::Imported;
use super::draft::{Draft, Server, Service};
use super::machine::{Machine, Origin, is_usable};
use super::remarks::{Remarks, Severity, shown};
use super::write::{self, Block, Kind};
use crate::config;
use crate::control::FaultReport;

/// A fault hides others, such as the second of three services on one port; few files need more than two.
const ROUNDS: usize = 8;

pub(super) fn finish(mut draft: Draft, program: &str, mut remarks: Remarks) -> Imported {
    if draft.services.is_empty() && draft.machine.interfaces().is_empty() {
        remarks.of_all(
            Severity::Fault,
            "nothing could be produced: there is no service in it that can be balanced here, and no address",
        );
        return Imported {
            toml: String::new(),
            remarks: remarks.finish(),
        };
    }
    settle(&mut draft, &mut remarks);
    let mut blocks = write::blocks(&mut draft, program, &remarks);
    let toml = accepted(&mut blocks, &mut remarks).unwrap_or_default();
    Imported {
        toml,
        remarks: remarks.finish(),
    }
}

/// Sees to it that services listen on addresses of the machine, and that servers are reached.
fn settle(draft: &mut Draft, remarks: &mut Remarks) {
    let Draft {
        machine, services, ..
    } = draft;
    for address in services
        .iter()
        .flat_map(|service| &service.servers)
        .filter_map(|server| server.ip())
    {
        machine.is_foreign(address);
    }
    for service in services.iter() {
        for listen in &service.listen {
            let first = machine.first();
            machine.adopt(first, listen.address, service.place);
        }
    }
    // Servers behind other networks than the clients' are reached through a second card.
    let mut inside: Option<usize> = None;
    for service in services.iter() {
        for server in &service.servers {
            reach(server, service, &mut inside, machine, remarks);
        }
    }
    tell_guesses(machine, remarks);
}

fn tell_guesses(machine: &Machine, remarks: &mut Remarks) {
    let addresses = machine
        .interfaces()
        .iter()
        .flat_map(|interface| &interface.addresses);
    for owned in addresses.filter(|owned| owned.origin == Origin::Guessed) {
        if let Some(place) = owned.place {
            let message = format!(
                "the length of the network is not in the file: {} is a guess",
                owned.net
            );
            remarks.fault(place, message);
        }
    }
}

/// Sees to it that an interface is in the server's network, or that a gateway leads there.
fn reach(
    server: &Server,
    service: &Service,
    inside: &mut Option<usize>,
    machine: &mut Machine,
    remarks: &mut Remarks,
) {
    let listen = service.listen.first().map(|listen| listen.address);
    let is_of_family = |ip: &IpAddr| listen.is_none_or(|listen| listen.is_ipv4() == ip.is_ipv4());
    let Some(ip) = server.ip().filter(|ip| is_usable(*ip) && is_of_family(ip)) else {
        return;
    };
    let routed = machine.has_gateway(ip.is_ipv4()) && !service.is_direct();
    if machine.owner_of_network(ip).is_some() || routed {
        return;
    }
    let index = match service.is_direct() {
        true => machine.first(),
        false => *inside.get_or_insert_with(|| second(machine)),
    };
    if let Some(net) = machine.reach(index, ip, server.place) {
        let name = machine.interfaces()[index].name.clone();
        let message = format!(
            "nothing says how {ip} is reached: {net} on {name} stands for this machine's own address there, replace it"
        );
        remarks.fault(server.place, message);
    }
}

/// The card that servers are behind: one that nothing is known of.
fn second(machine: &mut Machine) -> usize {
    machine.first();
    machine.another()
}

/// Turns off what has faults until none is left; `None`, with a remark, if that does not come to an end.
fn accepted(blocks: &mut [Block], remarks: &mut Remarks) -> Option<String> {
    for _ in 0..ROUNDS {
        let (text, starts) = render(blocks, remarks);
        let faults = match config::parse(&text) {
            Ok(_) => return Some(text),
            Err(faults) => faults,
        };
        let reports = faults.reports(&text);
        let mut progress = false;
        for report in &reports {
            let index = starts.partition_point(|start| *start <= report.line);
            progress |= turn_off(&mut blocks[index.saturating_sub(1)], report, remarks);
        }
        if !progress {
            let first = reports
                .first()
                .map_or_else(String::new, |report| format!(": {}", shown(&report.message)));
            let message = format!("nothing could be produced: lb.toml cannot hold what it asks for{first}");
            remarks.of_all(Severity::Fault, message);
            return None;
        }
    }
    remarks.of_all(
        Severity::Fault,
        "nothing could be produced: too much of it cannot be in lb.toml; import it in smaller parts",
    );
    None
}

/// Makes a comment of what has a fault; `false`: it is one already, or nothing works without it.
fn turn_off(block: &mut Block, report: &FaultReport, remarks: &mut Remarks) -> bool {
    if block.kind == Kind::Base || block.off.is_some() {
        return false;
    }
    // Lines of the text that was made mean nothing to the reader.
    let reason = match report.help.contains("line ") {
        true => report.message.clone(),
        false => format!("{}; {}", report.message, report.help),
    };
    if let Some(place) = block.place {
        let what = match block.kind {
            Kind::Server => "this server",
            _ => "this service",
        };
        let message = format!("lb.toml cannot hold {what}, it is a comment there: {reason}");
        remarks.fault(place, message);
    }
    block.off = Some(reason);
    true
}

/// The text, and the line that each block begins on.
fn render(blocks: &[Block], remarks: &Remarks) -> (String, Vec<usize>) {
    let mut text = String::new();
    let mut starts = Vec::with_capacity(blocks.len());
    let mut line = 1;
    let mut whole = true;
    for block in blocks {
        let begin = text.len();
        starts.push(line);
        if block.kind != Kind::Server {
            whole = block.off.is_none();
        }
        block.write(whole, remarks, &mut text);
        line += text[begin..].bytes().filter(|byte| *byte == b'\n').count();
    }
    let text = text.trim_start_matches('\n').to_owned();
    // The line that was taken away was the first block's.
    starts.iter_mut().skip(1).for_each(|start| *start -= 1);
    (text, starts)
}
