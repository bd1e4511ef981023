//! From which port a probe comes, and with which sequence number. Every target sees all ports in turn, so that no machine on
//! the way, and no node's connection tracking, takes a probe for a part of an earlier one.
//! Must not: know what is under way.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::time::Duration;

use lb_core::check::{PROBE_PORTS, ProbeCookie};

/// A target sees the same port again after this: longer than the minute for which Linux remembers the end of a connection.
const ROUND_US: u64 = 64_000_000;

#[derive(Debug)]
pub struct Ports {
    /// Those that no service listens on: IPVS takes what comes for a service, also an answer to a probe.
    usable: Vec<u16>,
    secret: RandomState,
    /// What every number begins with.
    cookie: ProbeCookie,
    drawn: u64,
}

impl Ports {
    pub fn new(cookie: ProbeCookie) -> Ports {
        Ports {
            usable: PROBE_PORTS.collect(),
            secret: RandomState::new(),
            cookie,
            drawn: 0,
        }
    }

    /// Uses all but these.
    pub fn avoid(&mut self, taken: &BTreeSet<u16>) {
        self.usable = PROBE_PORTS.filter(|port| !taken.contains(port)).collect();
    }

    /// Where the order of ports begins for this target.
    pub fn begin(&self, target: SocketAddr) -> u16 {
        self.secret.hash_one(target) as u16
    }

    /// The ports for a probe of a target at this time since the start, best first; all of them, in the end.
    pub fn of(&self, begin: u16, since: Duration) -> impl Iterator<Item = u16> {
        let all = self.usable.len();
        let begin = usize::from(begin) % all.max(1);
        let turn = since.as_micros() as u64 % ROUND_US * all as u64 / ROUND_US;
        let first = begin + turn as usize;
        (0..all).map(move |next| self.usable[(first + next) % all])
    }

    /// Nobody who has not seen the probe can guess it (RFC 6528), nor has seen others and not this one the half that is its own.
    pub fn sequence(&mut self) -> u32 {
        self.drawn += 1;
        self.cookie.sequence(self.secret.hash_one(self.drawn) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(ports: &Ports, at: Duration) -> u16 {
        let target = "172.16.0.11:80".parse().unwrap();
        ports.of(ports.begin(target), at).next().unwrap()
    }

    #[test]
    fn a_target_sees_a_port_again_after_more_than_a_minute() {
        let ports = Ports::new(ProbeCookie(0x3fa1));
        let mut seen: Vec<u16> = Vec::new();
        for tenth in 0..600 {
            seen.push(first(&ports, Duration::from_millis(tenth * 100)));
        }
        let distinct: BTreeSet<u16> = seen.iter().copied().collect();
        assert_eq!(distinct.len(), seen.len());
        assert_eq!(
            first(&ports, Duration::ZERO),
            first(&ports, Duration::from_micros(ROUND_US))
        );
    }

    #[test]
    fn ports_of_services_are_never_chosen() {
        let mut ports = Ports::new(ProbeCookie(0x3fa1));
        let taken: BTreeSet<u16> = PROBE_PORTS.filter(|port| port % 7 != 0).collect();
        ports.avoid(&taken);
        let target = "172.16.0.11:80".parse().unwrap();
        for second in 0..200 {
            let all: Vec<u16> = ports
                .of(ports.begin(target), Duration::from_secs(second))
                .collect();
            assert!(all.iter().all(|port| port % 7 == 0 && PROBE_PORTS.contains(port)));
            assert_eq!(all.len(), PROBE_PORTS.count() - taken.len());
        }
        ports.avoid(&PROBE_PORTS.collect());
        assert_eq!(ports.of(ports.begin(target), Duration::ZERO).count(), 0);
    }

    #[test]
    fn sequence_numbers_begin_with_the_cookie_and_do_not_repeat_soon() {
        let mut ports = Ports::new(ProbeCookie(0x3fa1));
        let drawn: BTreeSet<u32> = (0..1_000).map(|_| ports.sequence()).collect();
        assert!(drawn.len() > 900);
        // What answers acknowledge as well.
        let begins = |number: &u32| number.wrapping_add(1) >> 16 == 0x3fa1 && number >> 16 == 0x3fa1;
        assert!(drawn.iter().all(begins));
        assert!(
            begins(&ProbeCookie(0x3fa1).sequence(u16::MAX))
                && begins(&ProbeCookie(0x3fa1).sequence(u16::MAX - 1))
        );
    }
}
