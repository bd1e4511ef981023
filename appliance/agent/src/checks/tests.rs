//! Which server is checked when, and what becomes of the results.

use std::num::NonZeroU16;
use std::time::Duration;

use super::*;
use lb_core::config;

pub(super) const HEAD: &str = "[[interface]]\nname = \"eth0\"\naddresses = [\"10.0.0.1/8\"]\n";

fn config(services: &[(u16, &[u8])]) -> Config {
    let mut text = HEAD.to_owned();
    for (port, servers) in services {
        text += &format!("[[virtual_server]]\nname = \"s{port}\"\nlisten = \"10.0.0.1:{port}\"\n");
        for server in *servers {
            text += &format!("[[virtual_server.real_server]]\naddress = \"10.1.0.{server}:80\"\n");
        }
    }
    config::parse(&text).unwrap()
}

/// The servers whose checks are due.
pub(super) fn due(checks: &mut Checks, now: Instant) -> Vec<(TargetId, String)> {
    let mut due = Vec::new();
    while let Some((since, id, target)) = checks.take_due(now) {
        assert!(since <= now);
        due.push((id, target.server.address.to_string()));
    }
    due.sort_by(|a, b| a.1.cmp(&b.1));
    due
}

fn addresses(due: &[(TargetId, String)]) -> Vec<&str> {
    due.iter().map(|(_, address)| address.as_str()).collect()
}

pub(super) fn key(port: u16, server: u8) -> ServerKey {
    ServerKey {
        service: format!("10.0.0.1:{port}/tcp").parse().unwrap(),
        server: RealKey {
            address: format!("10.1.0.{server}").parse().unwrap(),
            port: 80,
        },
    }
}

pub(super) fn result(outcome: Outcome, ended: Instant) -> CheckResult {
    CheckResult {
        outcome,
        ended,
        latency: Duration::from_millis(1),
        told: Told::Nothing,
        certificate_ends: None,
    }
}

pub(super) fn pass(ended: Instant) -> CheckResult {
    result(Outcome::Pass, ended)
}

pub(super) fn silent(ended: Instant) -> CheckResult {
    result(Outcome::Silent("no answer".to_owned()), ended)
}

/// Targets that are up, and all.
pub(super) fn count(checks: &Checks) -> (usize, usize) {
    let up = checks
        .targets
        .all()
        .filter(|target| target.machine.health() == Health::Up);
    (up.count(), checks.targets.all().count())
}

pub(super) fn new(epoch: Instant) -> Checks {
    Checks::new(epoch, Drains::default())
}

#[test]
fn each_server_has_its_turn_also_after_a_change_of_its_service() {
    let epoch = Instant::now();
    let mut checks = new(epoch);
    let first = config(&[(80, &[1, 2]), (81, &[3])]);
    checks.configure(epoch, &first, |_| None);
    assert_eq!(checks.next_due(), Some(epoch));
    let asked = due(&mut checks, epoch);
    assert_eq!(addresses(&asked), ["10.1.0.1", "10.1.0.2", "10.1.0.3"]);
    assert_eq!(checks.next_due(), None, "all are under way");
    let at = epoch + Duration::from_millis(5);
    for (id, _) in &asked {
        assert!(
            checks
                .record(*id, &pass(at), &Links::new())
                .unwrap()
                .transition
                .is_some()
        );
    }
    let next = checks.next_due().unwrap();
    assert!(next > epoch && next <= epoch + Duration::from_secs(3));
    // A server in front of the others, and one less: what is known of the rest stays.
    let now = epoch + Duration::from_millis(10);
    let second = config(&[(80, &[0, 2]), (81, &[3])]);
    let listen = key(80, 0).service;
    checks.configure_one(now, &second, &listen, second.services().next(), |_| None);
    assert_eq!(addresses(&due(&mut checks, now)), ["10.1.0.0"]);
    assert!(checks.is_up(&key(80, 2)) && checks.is_up(&key(81, 3)) && !checks.is_up(&key(80, 1)));
    assert!(
        checks.record(asked[0].0, &pass(now), &Links::new()).is_none(),
        "its server has gone"
    );
    assert_eq!(count(&checks), (2, 3));
    let later = epoch + Duration::from_secs(3);
    let asked = due(&mut checks, later);
    assert_eq!(addresses(&asked), ["10.1.0.2", "10.1.0.3"]);
    for (id, _) in asked {
        assert!(
            checks
                .record(id, &pass(later), &Links::new())
                .unwrap()
                .transition
                .is_none()
        );
    }
    // Somebody wants to know: one service's servers, but for the one that is being checked.
    assert_eq!(checks.check_now(later, Some(&listen)), 1);
    assert_eq!(addresses(&due(&mut checks, later)), ["10.1.0.2"]);
    assert_eq!(checks.check_now(later, None), 1);
    assert_eq!(addresses(&due(&mut checks, later)), ["10.1.0.3"]);
    checks.configure_one(now, &second, &listen, None, |_| None);
    assert_eq!(count(&checks), (1, 1));
    assert_eq!(checks.next_due(), None);
}

#[test]
fn a_server_gets_its_weight_once_for_each_endpoint() {
    let now = Instant::now();
    let text = format!(
        "{HEAD}[[virtual_server]]\nname = \"s\"\nlisten = \"10.0.0.1:80\"\n\
         check = {{ type = \"healthCheckNodePort\", port = 32000 }}\n\
         [[virtual_server.real_server]]\naddress = \"10.1.0.1:80\"\nweight = 2\n"
    );
    let config = config::parse(&text).unwrap();
    let service = &config.virtual_servers[0];
    let mut checks = new(now);
    let weight = |checks: &Checks| {
        let pool = checks.desired(service, now);
        pool.servers.values().next().map(|real| real.weight.value())
    };
    // An agent that starts again finds what it gave before.
    checks.configure(now, &config, |_| Weight::new(6));
    assert_eq!(weight(&checks), Some(6));
    for (told, expected) in [
        (NonZeroU16::new(5).map_or(Told::Nothing, Told::Endpoints), 10),
        (Told::Nothing, 2),
    ] {
        let (id, _) = due(&mut checks, now + Duration::from_secs(60)).remove(0);
        let recorded = checks
            .record(id, &CheckResult { told, ..pass(now) }, &Links::new())
            .unwrap();
        assert_eq!(
            (recorded.transition, recorded.told),
            (None, Some(told)),
            "it was up"
        );
        assert_eq!(weight(&checks), Some(expected));
    }
}

#[test]
fn an_answer_to_another_question_says_nothing() {
    let now = Instant::now();
    let mut checks = new(now);
    checks.configure(now, &config(&[(80, &[1])]), |_| None);
    let before = due(&mut checks, now);
    let other = HEAD.to_owned()
        + "[[virtual_server]]\nname = \"s80\"\nlisten = \"10.0.0.1:80\"\ncheck = \"http\"\n\
           [[virtual_server.real_server]]\naddress = \"10.1.0.1:80\"\n";
    checks.configure(now, &config::parse(&other).unwrap(), |_| None);
    assert!(checks.record(before[0].0, &pass(now), &Links::new()).is_none());
    assert!(
        !checks.is_up(&key(80, 1)),
        "the port is open; nobody has asked for the page"
    );
    let asked = due(&mut checks, now);
    assert!(checks.record(asked[0].0, &pass(now), &Links::new()).is_some());
    assert!(checks.is_up(&key(80, 1)));
}

#[test]
fn other_times_keep_what_is_known_and_a_check_that_was_under_way_is_made_again() {
    let now = Instant::now();
    let mut checks = new(now);
    checks.configure(now, &config(&[(80, &[1])]), |_| None);
    let (id, _) = due(&mut checks, now).remove(0);
    checks.record(id, &pass(now), &Links::new());
    let late = now + Duration::from_secs(10);
    let under_way = due(&mut checks, late);
    let slower = HEAD.to_owned()
        + "[[virtual_server]]\nname = \"s80\"\nlisten = \"10.0.0.1:80\"\ncheck = { interval = \"1m\" }\n\
           [[virtual_server.real_server]]\naddress = \"10.1.0.1:80\"\n";
    checks.configure(late, &config::parse(&slower).unwrap(), |_| None);
    assert!(checks.is_up(&key(80, 1)));
    assert!(
        checks
            .record(under_way[0].0, &silent(late), &Links::new())
            .is_none()
    );
    assert!(checks.next_due().unwrap() <= late + Duration::from_mins(1));
}

#[test]
fn one_target_is_checked_once_and_speaks_for_all_its_services() {
    let now = Instant::now();
    let mut checks = new(now);
    let both = config(&[(80, &[1]), (81, &[1])]);
    checks.configure(now, &both, |_| None);
    let asked = due(&mut checks, now);
    assert_eq!(addresses(&asked), ["10.1.0.1"]);
    let recorded = checks.record(asked[0].0, &pass(now), &Links::new()).unwrap();
    assert!(recorded.is_news());
    assert_eq!(checks.at(asked[0].0).unwrap().users(), [key(80, 1), key(81, 1)]);
    assert!(checks.is_up(&key(80, 1)) && checks.is_up(&key(81, 1)));
    // One of them leaves: it is checked for the other. A third one joins and need not wait.
    let others = config(&[(81, &[1]), (82, &[1])]);
    checks.configure(now, &others, |_| None);
    assert!(checks.is_up(&key(82, 1)) && !checks.is_up(&key(80, 1)));
    let later = now + Duration::from_secs(3);
    assert_eq!(due(&mut checks, later).len(), 1);
    checks.configure(later, &config(&[]), |_| None);
    assert_eq!((count(&checks), checks.next_due()), ((0, 0), None));
}

#[test]
fn a_route_is_kept_until_the_network_changes_and_for_its_target_alone() {
    let (_, mut checks, ids) = three();
    let way = crate::probe::Way {
        target: "127.0.0.1:80".parse().unwrap(),
        source: None,
        device: None,
    };
    let route = Route::of(&way, 0).unwrap();
    let known = |checks: &Checks| -> Vec<bool> {
        let targets = ids.iter().map(|id| checks.at(*id).unwrap());
        targets.map(|target| target.route.is_some()).collect()
    };
    for id in &ids[..2] {
        checks.take_route(*id, Some(route));
    }
    assert_eq!(known(&checks), [true, true, false]);
    checks.take_route(ids[0], None);
    assert_eq!(known(&checks), [false, true, false]);
    checks.forget_routes();
    assert_eq!(known(&checks), [false; 3]);
}

/// keepalived: a server without a checker is always up.
#[test]
fn who_is_never_checked_is_always_up() {
    let now = Instant::now();
    let text = "[[virtual_server]]\nname = \"s80\"\nlisten = \"10.0.0.1:80\"\ncheck = { type = \"none\" }\n\
                [[virtual_server.real_server]]\naddress = \"10.1.0.1:80\"\n";
    let config = config::parse(&format!("{HEAD}{text}")).unwrap();
    let mut checks = new(now);
    checks.configure(now, &config, |_| None);
    assert!(due(&mut checks, now + Duration::from_hours(1)).is_empty());
    let desired = checks.desired(&config.virtual_servers[0], now);
    let weights: Vec<_> = desired
        .servers
        .iter()
        .map(|(_, server)| server.weight.value())
        .collect();
    assert_eq!(weights, [1], "{desired:?}");
}

/// Three machines behind one interface, all up.
fn three() -> (Instant, Checks, Vec<TargetId>) {
    three_of(&config(&[(80, &[1, 2, 3])]))
}

fn three_of(config: &Config) -> (Instant, Checks, Vec<TargetId>) {
    let now = Instant::now();
    let mut checks = new(now);
    checks.configure(now, config, |_| None);
    let ids: Vec<TargetId> = due(&mut checks, now).into_iter().map(|(id, _)| id).collect();
    for id in &ids {
        checks.record(*id, &pass(now), &Links::new());
    }
    (now, checks, ids)
}

/// Every machine's check has this result, `times` in a row from `from` on.
fn all_have(checks: &mut Checks, ids: &[(TargetId, Outcome)], times: u64, from: Instant) {
    for n in 0..times {
        let at = from + Duration::from_millis(500 * n);
        for (id, outcome) in ids {
            checks.record(*id, &result(outcome.clone(), at), &Links::new());
        }
    }
}

pub(super) fn no_answer() -> Outcome {
    Outcome::Silent("no answer".to_owned())
}

#[test]
fn most_machines_silent_at_once_is_our_fault_and_none_goes_down() {
    let (now, mut checks, ids) = three();
    let silent: Vec<_> = ids.iter().map(|id| (*id, no_answer())).collect();
    all_have(&mut checks, &silent, 200, now);
    assert_eq!(count(&checks), (3, 3), "all are silent: without end");
    assert_eq!(checks.silence.frozen().collect::<Vec<_>>(), [(0, 3, 3)]);
    assert!(checks.silence.take_changes()[0].frozen);
    // The first that answers: now those that do not are judged, since the time is over; but not by the checks that were under
    // way when the network came back.
    let later = now + Duration::from_secs(200);
    checks.record(ids[0], &pass(later), &Links::new());
    all_have(&mut checks, &silent[1..], 1, later + Duration::from_secs(1));
    assert_eq!(count(&checks), (3, 3));
    checks.record(ids[0], &pass(later + Duration::from_secs(1)), &Links::new());
    all_have(&mut checks, &silent[1..], 2, later + Duration::from_secs(2));
    assert_eq!(count(&checks), (1, 3));
    assert!(!checks.silence.take_changes()[0].frozen);
}

/// Checked every ten seconds, and given up at the first failure: the first that is silent has the others asked.
#[test]
fn the_verdict_about_the_first_that_is_silent_waits_for_what_the_others_say() {
    let check = "address = \"10.1.0.1:80\"\ncheck = { interval = \"10s\", retries = 0 }\n";
    let text = ["1", "2", "3"].map(|n| {
        format!(
            "[[virtual_server.real_server]]\n{}",
            check.replace("1.0.1", &format!("1.0.{n}"))
        )
    });
    let service = "[[virtual_server]]\nname = \"s80\"\nlisten = \"10.0.0.1:80\"\n";
    let config = config::parse(&format!("{HEAD}{service}{}", text.concat())).unwrap();
    for (others, up) in [(Outcome::Pass, 2), (no_answer(), 3)] {
        let (now, mut checks, ids) = three_of(&config);
        let later = now + Duration::from_secs(1);
        checks.record(ids[0], &silent(later), &Links::new());
        assert_eq!(count(&checks), (3, 3), "no verdict yet");
        let asked = due(&mut checks, later);
        assert_eq!(addresses(&asked), ["10.1.0.2", "10.1.0.3"]);
        for (id, _) in &asked {
            checks.record(*id, &result(others.clone(), later), &Links::new());
        }
        let again = later + Duration::from_millis(500);
        assert!(addresses(&due(&mut checks, again)).contains(&"10.1.0.1"));
        checks.record(ids[0], &silent(again), &Links::new());
        assert_eq!(count(&checks), (up, 3), "{others:?}");
        assert_eq!(checks.silence.is_frozen(0), up == 3);
    }
}

#[test]
fn some_that_answer_end_the_benefit_of_the_doubt_in_time() {
    let (now, mut checks, ids) = three();
    let mut mixed: Vec<_> = ids.iter().map(|id| (*id, no_answer())).collect();
    mixed[0].1 = Outcome::Pass;
    all_have(&mut checks, &mixed, 59, now);
    assert_eq!(count(&checks), (3, 3), "two of three are most");
    all_have(&mut checks, &mixed, 10, now + Duration::from_secs(31));
    assert_eq!(count(&checks), (1, 3));
}

#[test]
fn who_refuses_is_not_silent_and_one_of_two_is_not_most() {
    let (now, mut checks, ids) = three();
    let refused = Outcome::Refused("connection refused".to_owned());
    let mut mixed: Vec<_> = ids.iter().map(|id| (*id, refused.clone())).collect();
    mixed[0].1 = no_answer();
    all_have(&mut checks, &mixed, 3, now);
    assert_eq!(count(&checks), (0, 3));
    let (now, mut checks, ids) = three_of(&config(&[(80, &[1, 2])]));
    all_have(
        &mut checks,
        &[(ids[0], no_answer()), (ids[1], Outcome::Pass)],
        3,
        now,
    );
    assert_eq!(count(&checks), (1, 2));
}

/// The scenario has no more: the nodes that hold a pod.
#[test]
fn both_of_two_machines_silent_at_once_are_most_and_one_after_the_other_are_not() {
    let two = config(&[(80, &[1, 2])]);
    let (now, mut checks, ids) = three_of(&two);
    let silent: Vec<_> = ids.iter().map(|id| (*id, no_answer())).collect();
    all_have(&mut checks, &silent, 200, now);
    assert_eq!(count(&checks), (2, 2));
    assert_eq!(checks.silence.frozen().collect::<Vec<_>>(), [(0, 2, 2)]);

    let (now, mut checks, ids) = three_of(&two);
    all_have(
        &mut checks,
        &[(ids[0], no_answer()), (ids[1], Outcome::Pass)],
        100,
        now,
    );
    assert_eq!(count(&checks), (1, 2));
    all_have(
        &mut checks,
        &[(ids[1], no_answer())],
        3,
        now + Duration::from_secs(50),
    );
    assert_eq!(count(&checks), (0, 2), "the first one has been down for long");

    let (now, mut checks, ids) = three_of(&config(&[(80, &[1])]));
    all_have(&mut checks, &[(ids[0], no_answer())], 3, now);
    assert_eq!(count(&checks), (0, 1), "one of one says nothing of the others");
}

#[test]
fn a_pool_has_its_turn_when_the_time_of_a_dead_servers_connections_is_over() {
    let (now, mut checks, ids) = three();
    let config = config(&[(80, &[1, 2, 3])]);
    let service = &config.virtual_servers[0];
    all_have(
        &mut checks,
        &[(ids[0], Outcome::Fail("status 500".to_owned()))],
        3,
        now,
    );
    checks.settle(service, now + Duration::from_secs(1));
    let weights = |checks: &Checks, at| -> Vec<u32> {
        let pool = checks.desired(service, at);
        pool.servers.values().map(|real| real.weight.value()).collect()
    };
    assert_eq!(weights(&checks, now + Duration::from_secs(1)), [0, 1, 1]);
    let end = now + Duration::from_secs(6);
    assert_eq!(checks.take_turns(end - Duration::from_millis(1)), []);
    assert_eq!(checks.take_turns(end), [service.key]);
    assert_eq!(weights(&checks, end), [1, 1]);
}
