//! Servers with several checks: which results take them out and bring them back, and what a reload and a new agent leave as it is.

use std::num::NonZeroU16;
use std::time::Duration;

use super::tests::{HEAD, due, key, new, no_answer, pass, result};
use super::*;
use lb_core::config;

const SECOND: Duration = Duration::from_secs(1);

/// Services on ports 80, 81 ... with this `check` and a server each, all the same machine.
fn services(checks: &[&str]) -> Config {
    let mut text = HEAD.to_owned();
    for (port, check) in (80..).zip(checks) {
        text += &format!(
            "[[virtual_server]]\nname = \"s{port}\"\nlisten = \"10.0.0.1:{port}\"\ncheck = {check}\n\
             [[virtual_server.real_server]]\naddress = \"10.1.0.1:80\"\n"
        );
    }
    config::parse(&text).unwrap()
}

const BOTH: &str = "[\"tcp\", { type = \"http\", port = 8080 }]";

struct Stage {
    checks: Checks,
    now: Instant,
}

impl Stage {
    fn of(config: &Config, adopt: Option<u32>) -> Stage {
        let now = Instant::now();
        let mut checks = new(now);
        checks.configure(now, config, |_| adopt.and_then(Weight::new));
        Stage { checks, now }
    }

    fn reload(&mut self, config: &Config) {
        self.checks.configure(self.now, config, |_| None);
    }

    /// The check of this label ends so, `times` in a row.
    fn ends(&mut self, word: &str, outcome: &Outcome, times: u32) -> Vec<Turned> {
        let mut turned = Vec::new();
        for _ in 0..times {
            self.now += SECOND;
            let known = self.checks.targets.with_ids();
            let ids: Vec<TargetId> = known
                .filter(|(_, target)| target.params.kind.word() == word)
                .map(|(id, _)| id)
                .collect();
            for id in ids {
                let recorded = self
                    .checks
                    .record(id, &result(outcome.clone(), self.now), &Links::new());
                turned.extend(recorded.unwrap().turned);
            }
        }
        turned
    }

    fn weight(&self, config: &Config) -> Option<u32> {
        let pool = self.checks.desired(&config.virtual_servers[0], self.now);
        pool.servers.values().next().map(|real| real.weight.value())
    }

    fn health(&self, port: u16) -> Health {
        self.checks.stands(&key(port, 1)).unwrap().health()
    }
}

fn status() -> Outcome {
    Outcome::Fail("status 500".to_owned())
}

#[test]
fn a_server_is_up_while_all_of_its_checks_pass() {
    let config = services(&[BOTH]);
    let mut stage = Stage::of(&config, None);
    assert_eq!(due(&mut stage.checks, stage.now).len(), 2, "each is a target");
    stage.ends("tcp", &Outcome::Pass, 1);
    assert_eq!(
        (stage.health(80), stage.weight(&config)),
        (Health::Unproven, None)
    );
    let turned = stage.ends("http", &Outcome::Pass, 1);
    assert_eq!(
        (turned[0].before, turned[0].after),
        (Health::Unproven, Health::Up)
    );
    assert_eq!(stage.weight(&config), Some(1));
    // What fails by its own count is enough.
    stage.ends("http", &status(), 2);
    assert!(stage.checks.is_up(&key(80, 1)));
    let turned = stage.ends("http", &status(), 1);
    assert_eq!((turned[0].before, turned[0].after), (Health::Up, Health::Down));
    stage.ends("tcp", &Outcome::Pass, 3);
    assert_eq!((stage.health(80), stage.weight(&config)), (Health::Down, Some(0)));
    let (place, decides) = stage.checks.deciding(&key(80, 1)).unwrap();
    assert_eq!((place, decides.params.kind.word()), (1, "http"));
    // The other one too: nothing changes, until both are back.
    let turned = stage.ends("tcp", &status(), 3);
    assert_eq!((turned[0].before, turned[0].after), (Health::Down, Health::Down));
    stage.ends("http", &Outcome::Pass, 2);
    assert_eq!(stage.health(80), Health::Down);
    let turned = stage.ends("tcp", &Outcome::Pass, 2);
    assert_eq!((turned[0].before, turned[0].after), (Health::Down, Health::Up));
    assert_eq!(stage.weight(&config), Some(1));
}

#[test]
fn a_check_that_is_added_takes_nobody_out_until_it_has_failed() {
    let mut stage = Stage::of(&services(&["\"tcp\""]), None);
    stage.ends("tcp", &Outcome::Pass, 1);
    let both = services(&[BOTH]);
    stage.reload(&both);
    assert_eq!((stage.health(80), stage.weight(&both)), (Health::Up, Some(1)));
    stage.ends("http", &status(), 2);
    assert!(stage.checks.is_up(&key(80, 1)));
    stage.ends("http", &status(), 1);
    assert!(!stage.checks.is_up(&key(80, 1)));
    // Without the one that fails it is what the others say.
    stage.reload(&services(&["\"tcp\""]));
    assert!(stage.checks.is_up(&key(80, 1)));
    assert_eq!(stage.checks.targets.all().count(), 1);
    stage.reload(&services(&["\"none\""]));
    stage.reload(&both);
    assert!(stage.checks.is_up(&key(80, 1)), "it had clients");
}

#[test]
fn a_check_that_is_added_to_a_server_that_is_down_brings_nobody_back() {
    let mut stage = Stage::of(&services(&[BOTH]), None);
    stage.ends("tcp", &Outcome::Pass, 1);
    stage.ends("http", &status(), 1);
    let more = services(&["[{ type = \"http\", port = 8080 }, \"icmp\", \"tcp\"]"]);
    stage.reload(&more);
    assert_eq!(stage.health(80), Health::Down);
    stage.ends("http", &Outcome::Pass, 1);
    assert_eq!(stage.health(80), Health::Unproven, "nobody has sent an echo yet");
    stage.ends("icmp", &Outcome::Pass, 1);
    assert_eq!(stage.health(80), Health::Up);
}

#[test]
fn a_new_agent_adopts_a_server_with_all_of_its_checks() {
    let config = services(&[BOTH]);
    let mut stage = Stage::of(&config, Some(1));
    assert_eq!(stage.weight(&config), Some(1));
    stage.ends("tcp", &Outcome::Pass, 1);
    stage.ends("http", &status(), 2);
    assert_eq!(stage.weight(&config), Some(1), "it is judged as one that was up");
    stage.ends("http", &status(), 1);
    assert_eq!(stage.weight(&config), Some(0));
    // One that takes no connections is left so, until all have a verdict.
    let mut stage = Stage::of(&config, Some(0));
    stage.ends("tcp", &Outcome::Pass, 1);
    assert_eq!(stage.weight(&config), Some(0), "its connections stay");
    stage.ends("http", &Outcome::Pass, 1);
    assert_eq!(stage.weight(&config), Some(1));
}

#[test]
fn a_check_that_several_servers_share_is_made_once_and_counts_for_each_with_its_others() {
    let config = services(&[BOTH, "\"tcp\"", "[\"tcp\", \"icmp\"]"]);
    let mut stage = Stage::of(&config, None);
    assert_eq!(due(&mut stage.checks, stage.now).len(), 3, "tcp, http and icmp");
    for word in ["tcp", "http", "icmp"] {
        stage.ends(word, &Outcome::Pass, 1);
    }
    stage.ends("http", &status(), 3);
    assert_eq!(
        [80, 81, 82].map(|port| stage.health(port)),
        [Health::Down, Health::Up, Health::Up]
    );
    let turned = stage.ends("tcp", &status(), 3);
    let changed = turned.iter().filter(|turned| turned.before != turned.after);
    assert_eq!(
        changed.map(|turned| turned.user).collect::<Vec<_>>(),
        [key(82, 1)]
    );
    stage.reload(&services(&[]));
    assert_eq!(
        (stage.checks.targets.all().count(), stage.checks.several.len()),
        (0, 0)
    );
}

#[test]
fn endpoints_multiply_a_weight_and_the_least_part_of_it_is_taken() {
    let config = services(&[
        "[{ type = \"healthCheckNodePort\", port = 32000 }, { type = \"agent\", port = 9707 }, \"tcp\"]",
    ]);
    let mut stage = Stage::of(&config, None);
    for word in ["healthCheckNodePort", "agent", "tcp"] {
        stage.ends(word, &Outcome::Pass, 1);
    }
    let mut tells = |word: &str, told| {
        let known = stage.checks.targets.with_ids();
        let mut ids = known
            .filter(|(_, target)| target.params.kind.word() == word)
            .map(|(id, _)| id);
        let id = ids.next().unwrap();
        drop(ids);
        let result = CheckResult {
            told,
            ..pass(stage.now)
        };
        assert!(
            stage
                .checks
                .record(id, &result, &Links::new())
                .unwrap()
                .told
                .is_some()
        );
        stage.weight(&config)
    };
    let endpoints = |count| NonZeroU16::new(count).map_or(Told::Nothing, Told::Endpoints);
    assert_eq!(tells("healthCheckNodePort", endpoints(4)), Some(4));
    assert_eq!(tells("agent", Told::Percent(50)), Some(2));
    assert_eq!(tells("agent", Told::Drain), Some(0));
    assert_eq!(tells("agent", Told::Nothing), Some(4));
    assert_eq!(tells("healthCheckNodePort", Told::Nothing), Some(1));
}

#[test]
fn a_check_that_is_refused_ends_the_connections_at_once_and_none_has_its_time_twice() {
    let config = services(&[BOTH]);
    let up = || {
        let mut stage = Stage::of(&config, None);
        stage.ends("tcp", &Outcome::Pass, 1);
        stage.ends("http", &Outcome::Pass, 1);
        stage
    };
    let mut stage = up();
    stage.ends("http", &Outcome::Refused("connection refused".to_owned()), 3);
    assert_eq!(stage.weight(&config), None);
    // kill_after counts from when it went, whichever check keeps it down later.
    let mut stage = up();
    stage.ends("http", &status(), 3);
    assert_eq!(stage.weight(&config), Some(0));
    stage.ends("tcp", &status(), 3);
    stage.ends("http", &Outcome::Pass, 2);
    assert_eq!(stage.weight(&config), None, "six seconds have passed");
    assert_eq!(stage.health(80), Health::Down);
}

/// A program that hangs on all machines is no fault of the network, while their ports answer.
#[test]
fn machines_that_answer_one_of_their_checks_are_not_silent() {
    let mut text = HEAD.to_owned();
    text += "[[virtual_server]]\nname = \"s80\"\nlisten = \"10.0.0.1:80\"\n\
             check = [{ type = \"http\", port = 8080 }, \"tcp\"]\n";
    for server in 1..=3 {
        text += &format!("[[virtual_server.real_server]]\naddress = \"10.1.0.{server}:80\"\n");
    }
    let mut stage = Stage::of(&config::parse(&text).unwrap(), None);
    stage.ends("http", &Outcome::Pass, 1);
    stage.ends("tcp", &Outcome::Pass, 1);
    for _ in 0..4 {
        stage.ends("http", &no_answer(), 1);
        stage.ends("tcp", &Outcome::Pass, 1);
    }
    assert!(!stage.checks.silence.is_frozen(0));
    assert_eq!(
        [1, 2, 3].map(|server| stage.checks.is_up(&key(80, server))),
        [false; 3]
    );
    for _ in 0..4 {
        stage.ends("http", &Outcome::Pass, 1);
    }
    assert!(stage.checks.is_up(&key(80, 1)));
    for _ in 0..20 {
        for word in ["tcp", "http"] {
            stage.ends(word, &no_answer(), 1);
        }
    }
    assert!(stage.checks.silence.is_frozen(0), "now nothing answers");
    assert!(stage.checks.is_up(&key(80, 1)));
}

#[test]
fn a_server_none_of_whose_checks_can_be_made_is_told_once() {
    let mut stage = Stage::of(&services(&[BOTH]), None);
    assert_eq!(stage.checks.unchecked_problem(), None);
    let cannot = Outcome::CannotCheck("no route".to_owned());
    stage.ends("http", &cannot, 1);
    stage.ends("tcp", &cannot, 1);
    let alone = "server 10.1.0.1:80 cannot be checked: no route";
    assert_eq!(stage.checks.unchecked_problem().as_deref(), Some(alone));
    let mut stage = Stage::of(&services(&["\"icmp\"", BOTH]), None);
    stage.ends("icmp", &cannot, 1);
    assert_eq!(stage.checks.unchecked_problem().as_deref(), Some(alone));
}
