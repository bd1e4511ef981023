//! keepalived's checker semantics (C3 of its reference) as named tests, with our deviations, on a virtual clock.

use std::time::{Duration, Instant};

use super::*;
use crate::check::CheckParams;
use crate::control::HealthWord;

mod model;

fn params() -> CheckParams {
    CheckParams {
        interval: Duration::from_secs(10),
        retries: 3,
        retry_interval: Duration::from_secs(3),
        rise: 2,
        ..CheckParams::default()
    }
}

struct Clock {
    now: Instant,
    machine: Machine,
}

impl Clock {
    fn new() -> Clock {
        let now = Instant::now();
        Clock {
            now,
            machine: Machine::new(now, Schedule::new(now, "172.16.0.11:30080")),
        }
    }

    fn adopted() -> Clock {
        let now = Instant::now();
        Clock {
            now,
            machine: Machine::adopted(now, Schedule::new(now, "172.16.0.11:30080"), Told::Nothing),
        }
    }

    /// Waits until the check is due and gives it this outcome after 1 ms.
    fn check(&mut self, outcome: Outcome) -> Option<Transition> {
        self.check_frozen(outcome, false)
    }

    fn check_frozen(&mut self, outcome: Outcome, frozen: bool) -> Option<Transition> {
        self.now = self
            .now
            .max(self.machine.due().expect("a check that is not under way is due"));
        self.machine.started();
        assert_eq!(self.machine.due(), None);
        self.now += Duration::from_millis(1);
        let result = self.result(outcome);
        self.machine.record(&result, &params(), frozen)
    }

    fn result(&self, outcome: Outcome) -> CheckResult {
        CheckResult {
            told: Told::Nothing,
            certificate_ends: None,
            outcome,
            ended: self.now,
            latency: Duration::from_millis(1),
        }
    }

    fn up(&mut self) {
        self.check(pass());
        assert_eq!(self.machine.health(), Health::Up);
    }

    fn in_pool(&self) -> bool {
        matches!(self.machine.standing(), Standing::Up { .. })
    }

    fn wait(&self) -> Duration {
        self.machine.due().unwrap() - self.now
    }
}

fn pass() -> Outcome {
    Outcome::Pass
}

fn fail() -> Outcome {
    Outcome::Fail("status 500".to_owned())
}

fn cannot() -> Outcome {
    Outcome::CannotCheck("eth1 has no carrier".to_owned())
}

#[test]
fn a_server_gets_no_traffic_before_its_first_check_and_is_checked_at_once() {
    let clock = Clock::new();
    assert!(!clock.in_pool());
    assert_eq!(clock.machine.word(), HealthWord::Unproven);
    assert_eq!(clock.machine.due(), Some(clock.now));
}

#[test]
fn the_first_pass_is_up_at_once() {
    let mut clock = Clock::new();
    let change = clock.check(pass()).unwrap();
    assert_eq!((change.from, change.to), (Health::Unproven, Health::Up));
    assert_eq!(change.reason, "first check passed");
    assert!(clock.in_pool());
    assert!(clock.wait() <= params().interval);
}

#[test]
fn the_first_failure_is_decisive() {
    let mut clock = Clock::new();
    let change = clock.check(fail()).unwrap();
    assert_eq!((change.from, change.to), (Health::Unproven, Health::Down));
    assert_eq!(change.reason, "first check failed: status 500");
}

#[test]
fn a_server_that_was_never_up_needs_one_pass() {
    let mut clock = Clock::new();
    clock.check(fail());
    assert_eq!(clock.check(pass()).unwrap().to, Health::Up);
}

#[test]
fn an_up_server_is_down_after_retries_plus_one_failures_at_the_retry_interval() {
    let mut clock = Clock::new();
    clock.up();
    for _ in 0..3 {
        assert_eq!(clock.check(fail()), None);
        assert_eq!(clock.wait(), Duration::from_secs(3));
        assert!(clock.in_pool());
    }
    let change = clock.check(fail()).unwrap();
    assert_eq!(
        (change.to, change.reason.as_str()),
        (Health::Down, "status 500 (4 of 4)")
    );
    assert!(clock.wait() > Duration::ZERO && clock.wait() <= params().interval);
}

#[test]
fn a_pass_between_failures_starts_the_count_again() {
    let mut clock = Clock::new();
    clock.up();
    for _ in 0..3 {
        clock.check(fail());
    }
    clock.check(pass());
    for _ in 0..3 {
        assert_eq!(clock.check(fail()), None);
    }
    assert_eq!(clock.check(fail()).unwrap().to, Health::Down);
}

#[test]
fn a_failure_while_down_changes_nothing_and_waits_for_the_next_slot() {
    let mut clock = Clock::new();
    clock.check(fail());
    let first = clock.machine.due().unwrap();
    assert_eq!(clock.check(fail()), None);
    assert_eq!(clock.machine.due().unwrap(), first + params().interval);
}

/// Deviation 1: keepalived takes one success.
#[test]
fn a_server_that_was_up_needs_rise_passes_at_the_retry_interval() {
    let mut clock = Clock::new();
    clock.up();
    for _ in 0..4 {
        clock.check(fail());
    }
    assert_eq!(clock.check(pass()), None);
    assert_eq!(clock.wait(), params().retry_interval);
    let change = clock.check(pass()).unwrap();
    assert_eq!(
        (change.to, change.reason.as_str()),
        (Health::Up, "2 of 2 checks passed")
    );
}

#[test]
fn a_failure_between_passes_starts_the_rise_again() {
    let mut clock = Clock::new();
    clock.up();
    for _ in 0..4 {
        clock.check(fail());
    }
    clock.check(pass());
    clock.check(fail());
    assert_eq!(clock.check(pass()), None);
    assert_eq!(clock.check(pass()).unwrap().to, Health::Up);
}

/// Deviation 3: keepalived waits an interval after the end of each check.
#[test]
fn checks_of_an_up_server_are_one_interval_apart_from_start_to_start() {
    let mut clock = Clock::new();
    clock.up();
    let first = clock.machine.due().unwrap();
    clock.check(pass());
    assert_eq!(clock.machine.due().unwrap(), first + params().interval);
}

/// Deviation 4: keepalived freezes the last state for ever.
#[test]
fn a_check_that_cannot_be_made_is_told_apart_and_counts_once_it_has_lasted() {
    let mut clock = Clock::new();
    clock.up();
    for _ in 0..3 {
        assert_eq!(clock.check(cannot()), None);
        assert_eq!(clock.machine.word(), HealthWord::CannotCheck);
        assert!(clock.in_pool());
    }
    let change = clock.check(cannot()).unwrap();
    assert_eq!(change.reason, "cannot be checked: eth1 has no carrier (4 times)");
    assert!(!clock.in_pool());
}

#[test]
fn a_fault_that_all_targets_share_freezes_the_pool() {
    let mut clock = Clock::new();
    clock.up();
    for _ in 0..50 {
        assert_eq!(clock.check_frozen(cannot(), true), None);
    }
    assert!(clock.in_pool());
    clock.check(pass());
    assert_eq!(clock.machine.word(), HealthWord::Up);
}

#[test]
fn an_unproven_server_that_cannot_be_checked_stays_out() {
    let mut clock = Clock::new();
    for _ in 0..10 {
        assert_eq!(clock.check(cannot()), None);
    }
    assert!(!clock.in_pool());
    assert_eq!(clock.check(pass()).unwrap().to, Health::Up);
}

#[test]
fn cannot_check_does_not_forget_failures_that_were_seen() {
    let mut clock = Clock::new();
    clock.up();
    for _ in 0..3 {
        clock.check(fail());
    }
    clock.check(cannot());
    assert_eq!(clock.check(fail()).unwrap().to, Health::Down);
}

#[test]
fn an_adopted_server_keeps_its_traffic_until_its_checks_fail() {
    let mut clock = Clock::adopted();
    assert!(clock.in_pool());
    for _ in 0..3 {
        assert_eq!(clock.check(fail()), None);
    }
    assert_eq!(clock.check(fail()).unwrap().to, Health::Down);
}

#[test]
fn a_reload_keeps_what_was_learnt_and_shortens_the_wait() {
    let mut clock = Clock::new();
    clock.up();
    for _ in 0..2 {
        clock.check(fail());
    }
    clock.check(pass());
    let fast = CheckParams {
        interval: Duration::from_millis(200),
        ..params()
    };
    clock.machine.reschedule(clock.now, &fast);
    assert!(clock.wait() <= fast.interval);
    assert!(clock.in_pool());
}

/// Deviation 2 of pitfall 23: who flaps is held for longer each time, and passes all the while.
#[test]
fn a_server_that_flaps_is_held_longer_each_time() {
    let mut clock = Clock::new();
    clock.up();
    let mut held = Vec::new();
    for _ in 0..8 {
        for _ in 0..4 {
            clock.check(fail());
        }
        assert_eq!(clock.machine.health(), Health::Down);
        let fell = clock.now;
        while !clock.in_pool() {
            clock.check(pass());
            assert!(clock.now - fell < Duration::from_mins(6));
        }
        held.push((clock.now - fell).as_secs());
    }
    // Two go unpunished; then 10 s, doubled, until five minutes.
    assert!(held[0] < 15 && held[1] < 15, "{held:?}");
    assert!((10..=13).contains(&held[2]), "{held:?}");
    assert!(
        (20..=21).contains(&held[3]) && (40..=41).contains(&held[4]),
        "{held:?}"
    );
    assert!((300..=301).contains(&held[7]), "{held:?}");
    assert_eq!(clock.machine.flaps().count, 8);
}

#[test]
fn a_held_server_says_so_and_one_failure_is_enough() {
    let mut clock = Clock::new();
    clock.up();
    for _ in 0..3 {
        for _ in 0..4 {
            clock.check(fail());
        }
        while !matches!(clock.machine.health(), Health::Up | Health::Held) {
            clock.check(pass());
        }
    }
    assert_eq!(
        (clock.machine.health(), clock.machine.word()),
        (Health::Held, HealthWord::Held)
    );
    assert_eq!(clock.machine.standing(), Standing::Held);
    assert!(clock.machine.held_until().unwrap() > clock.now);
    let change = clock.check(fail()).unwrap();
    assert_eq!(
        (change.to, change.reason.as_str()),
        (Health::Down, "status 500, while it was held")
    );
}

/// A server that stood for long is not restless, however often it fell before.
#[test]
fn who_stands_for_long_is_forgiven() {
    let mut clock = Clock::new();
    clock.up();
    for _ in 0..6 {
        clock.now += params().hold_down_max;
        for _ in 0..4 {
            clock.check(fail());
        }
        clock.check(pass());
        assert_eq!(clock.check(pass()).unwrap().to, Health::Up);
    }
}

#[test]
fn a_server_that_has_been_down_for_long_is_checked_less_often() {
    let slow = CheckParams {
        down_interval: Some(Duration::from_mins(1)),
        ..params()
    };
    let mut clock = Clock::new();
    let began = clock.now;
    let step = |clock: &mut Clock| {
        clock.now = clock.machine.due().unwrap();
        clock.machine.started();
        clock.machine.record(&clock.result(fail()), &slow, false);
        clock.wait()
    };
    step(&mut clock);
    while clock.now - began < Duration::from_mins(5) {
        assert!(step(&mut clock) <= params().interval);
    }
    step(&mut clock);
    assert_eq!(step(&mut clock), Duration::from_mins(1));
}

#[test]
fn a_port_that_refuses_is_gone_and_one_that_is_silent_may_come_back() {
    let gone = |outcomes: &[Outcome]| {
        let mut clock = Clock::new();
        clock.up();
        outcomes
            .iter()
            .for_each(|outcome| drop(clock.check(outcome.clone())));
        match clock.machine.standing() {
            Standing::Down { gone, was_up, .. } => (gone, was_up),
            other => panic!("{other:?}"),
        }
    };
    let refused = Outcome::Refused("connection refused".to_owned());
    let silent = Outcome::Silent("no answer within 1s".to_owned());
    assert_eq!(
        gone(&[refused.clone(), refused.clone(), refused.clone(), refused.clone()]),
        (true, true)
    );
    let silence = [silent.clone(), silent.clone(), silent.clone(), silent];
    assert_eq!(gone(&silence), (false, true));
    // It refuses later: nobody has to wait any more.
    assert_eq!(gone(&[&silence[..], &[refused]].concat()), (true, true));
}

#[test]
fn silence_that_most_share_does_not_count_and_is_not_asked_about_more_often() {
    let mut clock = Clock::new();
    clock.up();
    let silent = Outcome::Silent("no answer within 1s".to_owned());
    for _ in 0..20 {
        assert_eq!(clock.check_frozen(silent.clone(), true), None);
    }
    assert!(clock.in_pool() && clock.wait() > params().retry_interval);
    // It is over: that many failures again, and not one more than there were.
    for _ in 0..params().retries {
        assert_eq!(clock.check(silent.clone()), None);
    }
    assert_eq!(clock.check(silent).unwrap().to, Health::Down);
}

#[test]
fn who_could_not_be_checked_like_all_others_is_judged_anew_afterwards() {
    let mut clock = Clock::new();
    clock.up();
    for _ in 0..20 {
        assert_eq!(clock.check_frozen(cannot(), true), None);
    }
    // The first of these counts from the last one before.
    for _ in 1..params().retries {
        assert_eq!(clock.check(cannot()), None);
    }
    assert_eq!(clock.check(cannot()).unwrap().to, Health::Down);
}

#[test]
fn a_server_that_is_in_the_kernel_at_weight_0_stays_there_until_its_first_check() {
    let now = Instant::now();
    let machine = Machine::quiet(now, Schedule::new(now, "172.16.0.11:30080"));
    assert_eq!(machine.standing(), Standing::Unproven { known: true });
    assert_eq!(machine.due(), Some(now));
}

/// How long a server that dies just after a check has passed stays in its pool. Each check that fails takes so long.
fn noticed_after(params: &CheckParams, outcome: &Outcome, takes: Duration) -> Duration {
    let mut clock = Clock::new();
    let check = |clock: &mut Clock, outcome: &Outcome, takes| {
        clock.now = clock.machine.due().unwrap() + takes;
        clock.machine.started();
        clock
            .machine
            .record(&clock.result(outcome.clone()), params, false);
    };
    check(&mut clock, &pass(), Duration::ZERO);
    let died = clock.now;
    assert!(clock.in_pool());
    while clock.in_pool() {
        check(&mut clock, outcome, takes);
    }
    clock.now - died
}

/// C4: worst case `interval + timeout + retries * (retry_interval + timeout)` for silence, and without the timeouts for a port
/// that refuses; here from start to start, so that the first timeout is within the interval's end.
#[test]
fn detection_takes_no_longer_than_the_guide_says() {
    for (outcome, takes) in [
        (
            Outcome::Silent("no answer within 1s".to_owned()),
            Duration::from_secs(1),
        ),
        (Outcome::Refused("connection refused".to_owned()), Duration::ZERO),
    ] {
        let noticed = noticed_after(&params(), &outcome, takes);
        let attempts = params().retries + 1;
        let worst = params().interval + attempts * takes + params().retries * params().retry_interval;
        assert!(noticed <= worst, "{noticed:?} of {worst:?}");
        assert!(noticed > params().retries * params().retry_interval);
    }
}

/// The guide asks for a `--shutdown-delay-duration` of 15 s, in which an apiserver that ends says so and serves on.
#[test]
fn an_apiserver_that_ends_is_out_of_its_pool_before_it_is_gone() {
    let text = "[[interface]]\nname = \"eth0\"\naddresses = [\"10.0.0.1/24\"]\n\
                [[virtual_server]]\nname = \"api\"\nlisten = \"10.0.0.1:6443\"\ncheck = \"kube-apiserver\"\n\
                [[virtual_server.real_server]]\naddress = \"10.0.0.2:6443\"\n";
    let config = crate::config::parse(text).unwrap();
    let params = config.virtual_servers[0].real_servers[0].checks.all()[0].as_ref();
    let says_so = noticed_after(params, &fail(), Duration::from_millis(50));
    assert!(says_so <= Duration::from_secs(6), "{says_so:?}");
    let silent = Outcome::Silent("no answer within 3s".to_owned());
    let slow = noticed_after(params, &silent, params.timeout);
    assert!(slow <= Duration::from_secs(14), "{slow:?}");
}

#[test]
fn cannot_check_has_its_own_beginning_and_ends_with_hope() {
    let mut clock = Clock::adopted();
    clock.check(pass());
    let up_since = clock.machine.since();
    clock.check(cannot());
    let began = clock.now;
    assert_eq!(clock.machine.word(), HealthWord::CannotCheck);
    clock.check(cannot());
    assert_eq!(clock.machine.since(), began);
    // The link is back: until the next check ends, the server is what it was.
    clock.machine.check_now(clock.now);
    assert_eq!(
        (clock.machine.word(), clock.machine.since()),
        (HealthWord::Up, up_since)
    );
    clock.check(cannot());
    assert_eq!(clock.machine.word(), HealthWord::CannotCheck);
    clock.check(pass());
    assert_eq!(
        (clock.machine.word(), clock.machine.since()),
        (HealthWord::Up, up_since)
    );
}

#[test]
fn a_result_that_says_nothing_is_asked_for_again() {
    let mut clock = Clock::new();
    clock.machine.started();
    assert_eq!(clock.machine.due(), None);
    clock.machine.repeat(clock.now);
    assert_eq!(clock.machine.due(), Some(clock.now));
    assert_eq!(clock.machine.health(), Health::Unproven);
}
