//! `quorum`, `hysteresis` and the failover pool: how many servers have to be up. Must not: read statements.

use super::super::draft::{Server, Service};
use super::super::remarks::{Place, Remarks};
use super::virtual_server::VirtualServer;

/// A service has one number for both: below it the sorry server or the backups serve.
pub(super) fn rules(server: &VirtualServer<'_>, service: &mut Service, remarks: &mut Remarks) {
    let primary = |server: &&Server| server.ip().is_some() && server.keys.value("backup").is_none();
    let weights: Vec<u64> = service
        .servers
        .iter()
        .filter(primary)
        .map(Server::weight)
        .collect();
    let all = weights.iter().sum();
    let called = called(server, &weights, remarks);
    let quorum = match (called, server.quorum) {
        (Some(called), given) => {
            if let Some((place, _)) = given {
                remarks.differs(place, "quorum beside failover_threshold: a service has one quorum here, which calls the backup servers");
            }
            called
        }
        (None, Some((place, given))) => {
            let quorum = self::quorum(place, given, all, remarks);
            if quorum > 1 && !server.backups.is_empty() {
                remarks.differs(place, "quorum: below it the backup servers join here; keepalived calls them when all others have failed");
            }
            quorum
        }
        (None, None) => 1,
    };
    if quorum > 1 {
        service.keys.put("quorum", quorum.to_string());
    }
    if let Some((place, given)) = server.hysteresis.filter(|(_, given)| *given > 0) {
        hysteresis(place, given, quorum, all, service, remarks);
    }
}

fn quorum(place: Place, given: u64, all: u64, remarks: &mut Remarks) -> u64 {
    let quorum = given.clamp(1, all.max(1));
    if given == 0 {
        remarks.differs(place, "quorum 0: keepalived takes 1 then, and so does this");
    } else if quorum != given {
        let message = format!("quorum {given} becomes {quorum}: the weights of the servers add up to {all}");
        remarks.differs(place, message);
    }
    quorum
}

/// The quorum that is lost as soon as a percentage of the servers has failed; without one all of them have to.
fn called(server: &VirtualServer<'_>, weights: &[u64], remarks: &mut Remarks) -> Option<u64> {
    let (place, threshold) = server.threshold?;
    if server.backups.is_empty() {
        remarks.dropped(
            place,
            "failover_threshold: there is no backup_real_server that it could call",
        );
        return None;
    }
    if !(1..=99).contains(&threshold) {
        if threshold != 100 {
            remarks.fault(
                place,
                format!("failover_threshold {threshold}: 1 to 100; 100 is taken, as without it"),
            );
        }
        return None;
    }
    let weight = weights.first().copied().unwrap_or(1);
    let quorum = if weights.iter().all(|other| *other == weight) {
        least(weights.len() as u64, threshold).saturating_mul(weight)
    } else {
        remarks.differs(
            place,
            "failover_threshold: the weights that are up count here, and not the number of servers",
        );
        least(weights.iter().sum(), threshold)
    };
    let message = "failover_threshold: the servers that are still up serve beside the backup servers here; keepalived takes them out";
    remarks.differs(place, message);
    Some(quorum.max(1))
}

/// What has to be up so that less than a percentage of it has failed.
fn least(whole: u64, threshold: u64) -> u64 {
    let rest = u128::from(whole) * u128::from(100 - threshold) / 100;
    u64::try_from(rest).unwrap_or(u64::MAX).saturating_add(1)
}

fn hysteresis(place: Place, given: u64, quorum: u64, all: u64, service: &mut Service, remarks: &mut Remarks) {
    let most = (quorum - 1).min(all.saturating_sub(quorum));
    if given > most {
        let message = format!(
            "hysteresis {given} becomes {most}: beyond that a quorum of {quorum} of {all} could never be lost or never be won"
        );
        remarks.differs(place, message);
    }
    if given.min(most) > 0 {
        service.keys.put("quorum_hysteresis", given.min(most).to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_servers_calls_the_others() {
        for (servers, threshold, calling) in [
            (3, 50, 2),
            (3, 34, 2),
            (3, 33, 1),
            (4, 50, 2),
            (10, 99, 10),
            (10, 1, 1),
            (1, 50, 1),
        ] {
            let least = least(servers, threshold);
            let called = |failed: u64| servers - failed < least;
            assert!(called(calling), "{calling} of {servers} at {threshold} %");
            assert!(
                !called(calling - 1),
                "{} of {servers} at {threshold} %",
                calling - 1
            );
        }
    }
}
