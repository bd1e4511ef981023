//! Who gets connections, on a virtual clock; keepalived's C6 and C7 as named tests, with our deviations.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::*;
use crate::config::{self, Config};
use crate::health::{Share, Standing};
use crate::model::RealKey;

/// Servers 1, 2, 3 are primary ones of weights 1, 2, 3.
fn pool(keys: &str, more: &str) -> Config {
    let mut text = "[[interface]]\nname = \"eth0\"\naddresses = [\"10.0.0.1/8\"]\n".to_owned();
    text += &format!("[[virtual_server]]\nname = \"s\"\nlisten = \"10.0.0.1:80\"\n{keys}\n");
    for n in 1..=3 {
        text += &format!("[[virtual_server.real_server]]\naddress = \"10.1.0.{n}:80\"\nweight = {n}\n");
    }
    text += more;
    config::parse(&text).unwrap_or_else(|faults| panic!("{}", faults.render("lb.toml", &text)))
}

const BACKUP: &str = "[[virtual_server.real_server]]\naddress = \"10.1.0.4:80\"\nbackup = true\n";
const SORRY: &str = "[virtual_server.sorry_server]\naddress = \"10.1.0.5:80\"\n";

struct Story {
    config: Config,
    now: Instant,
    members: BTreeMap<u8, Member>,
    memory: Memory,
}

fn down(since: Instant, gone: bool) -> Standing {
    Standing::Down {
        since,
        gone,
        was_up: true,
    }
}

impl Story {
    /// Everybody is up.
    fn new(config: Config) -> Story {
        let now = Instant::now();
        let up = Member::settled(true, now);
        Story {
            config,
            now,
            members: (1..=5).map(|n| (n, up)).collect(),
            memory: Memory::default(),
        }
    }

    fn stands(&mut self, server: u8, standing: Standing) {
        self.members.get_mut(&server).unwrap().standing = standing;
    }

    fn falls(&mut self, server: u8) {
        self.stands(server, down(self.now, true));
    }

    fn rises(&mut self, server: u8) {
        self.stands(server, Member::settled(true, self.now).standing);
    }

    fn drain(&mut self, server: u8, drained: bool) {
        self.members.get_mut(&server).unwrap().drained = drained;
    }

    /// Whose turn it is, and the weights.
    fn decide(&mut self) -> (Mode, Vec<(u8, u32)>) {
        let decision = self.decision();
        self.memory = decision.memory;
        let last = |server: &RealKey| {
            server
                .address
                .to_string()
                .rsplit('.')
                .next()
                .unwrap()
                .parse()
                .unwrap()
        };
        let servers = decision.pool.servers.iter();
        (
            self.memory.mode,
            servers
                .map(|(server, real)| (last(server), real.weight.value()))
                .collect(),
        )
    }

    fn decision(&self) -> Decision {
        let member = |real: &config::RealServer| {
            let last = real.address.address.to_string();
            self.members[&last.rsplit('.').next().unwrap().parse::<u8>().unwrap()]
        };
        let service = &self.config.virtual_servers[0];
        let decision = decide(service, member, &self.memory, self.now);
        let again = decide(service, member, &decision.memory, self.now);
        assert_eq!(decision, again, "the same facts, the same decision");
        decision
    }
}

#[test]
fn everybody_up_gets_its_weight() {
    let mut story = Story::new(pool("", ""));
    assert_eq!(story.decide(), (Mode::Primary, vec![(1, 1), (2, 2), (3, 3)]));
    story.members.get_mut(&2).unwrap().share = Share::from(crate::health::Told::Percent(30));
    story.members.get_mut(&3).unwrap().share = Share::from(crate::health::Told::Drain);
    assert_eq!(story.decide().1, [(1, 1), (2, 1), (3, 0)]);
}

/// C6, deviation 6: new connections end at once, old ones have their chance, and then get a RST.
#[test]
fn a_dead_server_goes_in_two_stages() {
    let mut story = Story::new(pool("kill_after = \"5s\"", ""));
    story.stands(2, down(story.now, false));
    let decision = story.decision();
    assert_eq!(decision.next, Some(story.now + Duration::from_secs(5)));
    assert_eq!(story.decide().1, [(1, 1), (2, 0), (3, 3)]);
    story.now += Duration::from_millis(4_999);
    assert_eq!(story.decide().1, [(1, 1), (2, 0), (3, 3)]);
    // It came back in time: nobody has lost a connection.
    story.rises(2);
    assert_eq!(story.decide().1, [(1, 1), (2, 2), (3, 3)]);
    story.stands(2, down(story.now, false));
    story.now += Duration::from_secs(5);
    assert_eq!(story.decide().1, [(1, 1), (3, 3)]);
    assert_eq!(story.decision().next, None);
}

#[test]
fn a_server_that_refuses_or_was_never_up_goes_at_once() {
    let mut story = Story::new(pool("", ""));
    story.stands(1, down(story.now, true));
    let never = Standing::Down {
        since: story.now,
        gone: false,
        was_up: false,
    };
    story.stands(2, never);
    assert_eq!(story.decide().1, [(3, 3)]);
}

/// C6: inhibited servers are there from the start.
#[test]
fn an_inhibited_server_stays_at_weight_0() {
    let more = "[[virtual_server.real_server]]\naddress = \"10.1.0.4:80\"\nwhen_down = \"inhibit\"\n";
    let mut story = Story::new(pool("", more));
    story.stands(4, Standing::Unproven { known: false });
    assert_eq!(story.decide().1, [(1, 1), (2, 2), (3, 3), (4, 0)]);
    story.stands(4, down(story.now, true));
    story.now += Duration::from_hours(1);
    assert_eq!(story.decide().1, [(1, 1), (2, 2), (3, 3), (4, 0)]);
}

/// C6: keepalived adds it, or edits its weight back where it was inhibited.
#[test]
fn a_server_that_comes_back_has_its_weight_wherever_it_was() {
    let more =
        "[[virtual_server.real_server]]\naddress = \"10.1.0.4:80\"\nweight = 7\nwhen_down = \"inhibit\"\n";
    let mut story = Story::new(pool("", more));
    story.falls(3);
    story.falls(4);
    story.now += Duration::from_hours(1);
    assert_eq!(
        story.decide().1,
        [(1, 1), (2, 2), (4, 0)],
        "one is gone, and one is inhibited"
    );
    story.rises(3);
    story.rises(4);
    assert_eq!(story.decide().1, [(1, 1), (2, 2), (3, 3), (4, 7)]);
}

#[test]
fn a_drained_server_keeps_its_connections_and_is_never_the_last_resort() {
    let mut story = Story::new(pool("panic = \"all\"", ""));
    story.drain(2, true);
    assert_eq!(story.decide().1, [(1, 1), (2, 0), (3, 3)]);
    story.falls(1);
    story.falls(3);
    assert_eq!(story.decide(), (Mode::All, vec![(1, 1), (2, 0), (3, 3)]));
    story.drain(2, false);
    assert_eq!(story.decide(), (Mode::Primary, vec![(2, 2)]));
}

/// C7: gained at quorum + hysteresis, lost below quorum - hysteresis.
#[test]
fn the_quorum_has_a_hysteresis() {
    let mut story = Story::new(pool("quorum = 3\nquorum_hysteresis = 1", BACKUP));
    assert_eq!(story.decide().0, Mode::Primary);
    story.falls(3);
    assert_eq!(
        story.decide(),
        (Mode::Primary, vec![(1, 1), (2, 2), (4, 0)]),
        "3 is enough to stay"
    );
    story.falls(1);
    assert_eq!(story.decide().0, Mode::Primary, "2 is 3 - 1");
    story.falls(2);
    story.rises(1);
    assert_eq!(story.decide(), (Mode::Backup, vec![(1, 1), (4, 1)]));
    story.rises(2);
    assert_eq!(story.decide().0, Mode::Backup, "3 is less than 3 + 1");
    story.rises(3);
    assert_eq!(
        story.decide(),
        (Mode::Primary, vec![(1, 1), (2, 2), (3, 3), (4, 0)])
    );
}

#[test]
fn a_quorum_may_be_a_percentage() {
    let mut story = Story::new(pool("quorum = \"60%\"", SORRY));
    story.falls(1);
    assert_eq!(story.decide().0, Mode::Primary, "5 of 6; 60 % are 4");
    story.falls(2);
    assert_eq!(story.decide(), (Mode::Sorry, vec![(3, 0), (5, 1)]));
}

/// C7: keepalived removes all servers when the quorum is lost and there is a sorry server; here they keep their connections, and
/// the sorry server is checked as any other.
#[test]
fn the_sorry_server_answers_when_nobody_else_can() {
    let mut story = Story::new(pool("", &format!("{BACKUP}{SORRY}")));
    assert_eq!(story.decide().1, [(1, 1), (2, 2), (3, 3), (4, 0), (5, 0)]);
    (1..=3).for_each(|n| story.falls(n));
    assert_eq!(story.decide(), (Mode::Backup, vec![(4, 1), (5, 0)]));
    story.falls(4);
    assert_eq!(story.decide(), (Mode::Sorry, vec![(5, 1)]));
    story.falls(5);
    assert_eq!(story.decide(), (Mode::Empty, vec![]));
    story.rises(1);
    assert_eq!(story.decide(), (Mode::Primary, vec![(1, 1)]));
}

#[test]
fn without_anybody_else_those_below_the_quorum_serve() {
    let mut story = Story::new(pool("quorum = 6", ""));
    story.falls(1);
    assert_eq!(story.decide(), (Mode::Short, vec![(2, 2), (3, 3)]));
}

#[test]
fn who_flaps_serves_only_alone() {
    let mut story = Story::new(pool("", SORRY));
    story.stands(1, Standing::Held);
    assert_eq!(story.decide().1, [(1, 0), (2, 2), (3, 3), (5, 0)]);
    story.falls(2);
    story.falls(3);
    assert_eq!(story.decide(), (Mode::Held, vec![(1, 1), (5, 0)]));
}

#[test]
fn panic_keeps_the_last_or_takes_all() {
    for (panic, expected) in [
        ("none", (Mode::Empty, vec![])),
        ("keep-last", (Mode::KeptLast, vec![(1, 1), (3, 3)])),
        ("all", (Mode::All, vec![(1, 1), (2, 2), (3, 3)])),
    ] {
        let mut story = Story::new(pool(&format!("panic = \"{panic}\""), ""));
        story.falls(2);
        story.decide();
        story.falls(1);
        story.falls(3);
        assert_eq!(story.decide(), expected, "{panic}");
        story.now += Duration::from_hours(1);
        assert_eq!(story.decide(), expected, "{panic}, an hour later");
        story.rises(2);
        assert_eq!(story.decide(), (Mode::Primary, vec![(2, 2)]), "{panic}");
    }
}

#[test]
fn nobody_panics_before_every_server_has_its_verdict() {
    let mut story = Story::new(pool("panic = \"all\"", ""));
    (1..=3).for_each(|n| story.stands(n, Standing::Unproven { known: false }));
    assert_eq!(story.decide(), (Mode::Waiting, vec![]));
    story.falls(1);
    story.falls(2);
    assert_eq!(story.decide(), (Mode::Waiting, vec![]));
    story.falls(3);
    assert_eq!(story.decide(), (Mode::All, vec![(1, 1), (2, 2), (3, 3)]));
}

#[test]
fn a_server_that_comes_up_starts_slowly() {
    let mut story = Story::new(pool("slow_start = \"10s\"", ""));
    let up = Standing::Up {
        since: story.now,
        settled: false,
    };
    story.stands(3, up);
    let began = story.now;
    assert_eq!(story.decide().1, [(1, 10), (2, 20), (3, 3)]);
    let mut weights = Vec::new();
    while let Some(next) = story.decision().next {
        assert!(next > story.now);
        story.now = next;
        weights.push(story.decide().1[2].1);
    }
    assert_eq!(weights, [3, 6, 9, 12, 15, 18, 21, 24, 27, 30]);
    assert_eq!(story.now - began, Duration::from_secs(10));
}

#[test]
fn a_server_that_left_the_file_keeps_what_it_has_until_it_dies() {
    let mut config = pool("", "");
    let service = std::sync::Arc::make_mut(&mut config.virtual_servers[0]);
    service.real_servers[0].tier = Tier::Leaving;
    let mut story = Story::new(config);
    assert_eq!(story.decide().1, [(1, 0), (2, 2), (3, 3)]);
    story.falls(2);
    story.falls(3);
    assert_eq!(story.decide(), (Mode::Empty, vec![(1, 0)]));
    story.falls(1);
    assert_eq!(story.decide(), (Mode::Empty, vec![]));
}

#[test]
fn what_is_set_aside_covers_ports_machines_and_services() {
    let mut drains = Drains::default();
    let server = |text: &str| {
        let socket: std::net::SocketAddr = text.parse().unwrap();
        RealKey {
            address: socket.ip(),
            port: socket.port(),
        }
    };
    let one = DrainTarget {
        service: Some("web".to_owned()),
        ..("10.1.0.1:80".parse().unwrap())
    };
    assert!(drains.add(one.clone(), 7) && !drains.add(one.clone(), 8));
    assert!(drains.add("[fd00::1]".parse().unwrap(), 9));
    assert_eq!(drains.of("web", server("10.1.0.1:80")).unwrap().1.since_unix_s, 7);
    assert_eq!(drains.of("api", server("10.1.0.1:80")), None);
    assert_eq!(drains.of("web", server("10.1.0.1:81")), None);
    assert!(drains.of("api", server("[fd00::1]:443")).is_some());
    assert_eq!(one.to_string(), "10.1.0.1:80 of web");
    assert!(drains.remove(&one) && !drains.remove(&one));
    assert!("10.1.0.1:".parse::<DrainTarget>().is_err());
    assert!(
        "worker01"
            .parse::<DrainTarget>()
            .unwrap_err()
            .contains("ADDRESS:PORT")
    );
}

mod random {
    use super::*;
    use proptest::prelude::*;

    fn standing() -> impl Strategy<Value = u8> {
        0u8..6
    }

    proptest! {
        /// Whatever happens: a service with a primary server that is up and not set aside has one that gets connections, nobody
        /// who is set aside gets any, and a server that is up is never missing.
        #[test]
        fn a_pool_with_somebody_up_is_never_empty(
            events in proptest::collection::vec((1u8..=5, standing(), any::<bool>(), 0u64..20), 1..60),
            quorum in 1u32..=6,
            panic in 0usize..3,
            slow in any::<bool>(),
        ) {
            let slow = if slow { "slow_start = \"7s\"\n" } else { "" };
            let keys = format!("quorum = {quorum}\npanic = \"{}\"\n{slow}", Panic::WORDS[panic]);
            let mut story = Story::new(pool(&keys, &format!("{BACKUP}{SORRY}")));
            for (server, standing, drained, seconds) in events {
                story.now += Duration::from_secs(seconds);
                let since = story.now;
                let standing = match standing {
                    0 => Standing::Unproven { known: false },
                    1 => Standing::Held,
                    2 => down(since, false),
                    3 => down(since, true),
                    _ => Standing::Up { since, settled: standing == 4 },
                };
                story.stands(server, standing);
                story.drain(server, drained);
                let (mode, weights) = story.decide();
                let weight = |n: u8| weights.iter().find(|(server, _)| *server == n).map(|(_, weight)| *weight);
                for (n, member) in &story.members {
                    if member.drained {
                        prop_assert!(weight(*n).unwrap_or(0) == 0, "{n} is set aside");
                    }
                    if matches!(member.standing, Standing::Up { .. } | Standing::Held) {
                        prop_assert!(weight(*n).is_some(), "{n} passes its checks and is missing");
                    }
                }
                let is_up = |n: &u8| !story.members[n].drained && matches!(story.members[n].standing, Standing::Up { .. });
                if (1..=5).any(|n| is_up(&n)) {
                    prop_assert!(weights.iter().any(|(_, weight)| *weight > 0), "{mode:?} {weights:?}");
                }
                if mode == Mode::Primary {
                    prop_assert!((4..=5).all(|n| weight(n).unwrap_or(0) == 0));
                }
            }
        }
    }
}
