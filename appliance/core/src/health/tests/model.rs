//! Random outcomes against a second, plainer formulation of the same rules: health by looking back at the whole history,
//! where the machine keeps counters.

use proptest::prelude::*;

use super::*;

/// An outcome and the moment at which its check ended.
type Past = (Instant, Outcome);

/// A time in which the server was up, from its first check that passed to the failure that ended it.
struct Stay {
    began: Instant,
    ended: Instant,
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![Just(pass()), Just(fail()), Just(cannot())]
}

/// Outcomes that follow each other at random, and outcomes that last: without these hardly any server is ever held.
fn outcomes() -> impl Strategy<Value = Vec<Outcome>> {
    let lasting = (outcome(), 1..6_usize).prop_map(|(outcome, times)| vec![outcome; times]);
    prop_oneof![
        proptest::collection::vec(outcome(), 0..60),
        proptest::collection::vec(lasting, 0..30).prop_map(|runs| runs.concat()),
        (proptest::collection::vec(flap(), 0..12)).prop_map(|flaps| flaps.concat()),
    ]
}

/// It comes up for some checks and goes down for some.
fn flap() -> impl Strategy<Value = Vec<Outcome>> {
    (2..40_usize, 4..8_usize).prop_map(|(up, down)| [vec![pass(); up], vec![fail(); down]].concat())
}

/// How many of the last outcomes are wanted, in a row; those to skip count neither way.
fn run(past: &[Past], wanted: fn(&Outcome) -> bool, skip: fn(&Outcome) -> bool) -> usize {
    let outcomes = past.iter().rev().map(|(_, outcome)| outcome);
    outcomes.filter(|o| !skip(o)).take_while(|o| wanted(o)).count()
}

/// Until when a server that has gone down after each of these stays must not be up again.
fn held_until(stays: &[Stay]) -> Option<Instant> {
    let is_short = |stay: &&Stay| stay.ended - stay.began < params().hold_down_max;
    let short = stays.iter().rev().take_while(is_short).count();
    let longer = u32::try_from(short.checked_sub(3)?).unwrap();
    let hold = params().hold_down.saturating_mul(2_u32.saturating_pow(longer));
    Some(stays.last()?.ended + hold.min(params().hold_down_max))
}

fn expected(history: &[Past]) -> Health {
    let is_pass: fn(&Outcome) -> bool = |o| matches!(o, Outcome::Pass);
    let is_fail: fn(&Outcome) -> bool = |o| matches!(o, Outcome::Fail(_));
    let is_cannot: fn(&Outcome) -> bool = |o| matches!(o, Outcome::CannotCheck(_));
    let never: fn(&Outcome) -> bool = |_| false;
    let mut health = Health::Unproven;
    let mut entered = 0;
    let mut was_up = false;
    let mut stays = Vec::new();
    for end in 1..=history.len() {
        let (now, outcome) = &history[end - 1];
        let here = &history[entered..end];
        let is_held = held_until(&stays).is_some_and(|until| *now < until);
        let next = match (outcome, health) {
            (Outcome::Pass, Health::Unproven) => Health::Up,
            (Outcome::Pass, Health::Held) if !is_held => Health::Up,
            (Outcome::Pass, Health::Down) if run(here, is_pass, never) >= if was_up { 2 } else { 1 } => {
                if is_held {
                    Health::Held
                } else {
                    Health::Up
                }
            }
            (Outcome::Fail(_), Health::Unproven | Health::Held) => Health::Down,
            (Outcome::Fail(_), Health::Up) if run(here, is_fail, is_cannot) >= 4 => Health::Down,
            (Outcome::CannotCheck(_), Health::Up) if run(&history[..end], is_cannot, never) >= 4 => {
                Health::Down
            }
            (_, same) => same,
        };
        if next != health {
            if health == Health::Up && is_fail(outcome) {
                stays.push(Stay {
                    began: history[entered - 1].0,
                    ended: *now,
                });
            }
            health = next;
            entered = end;
            was_up |= health == Health::Up;
        }
    }
    health
}

/// Plays the outcomes to a machine, and gives the health after each.
fn play(outcomes: &[Outcome]) -> Vec<Health> {
    let mut clock = Clock::new();
    let mut history = Vec::new();
    let mut healths = Vec::new();
    for outcome in outcomes {
        let before = clock.machine.health();
        let change = clock.check(outcome.clone());
        history.push((clock.now, outcome.clone()));
        let health = clock.machine.health();
        assert_eq!(health, expected(&history), "after {} outcomes", history.len());
        assert_eq!(change.is_some(), before != health);
        assert!(clock.machine.due().unwrap() > clock.now);
        assert!(clock.wait() <= params().interval);
        healths.push(health);
    }
    healths
}

proptest! {
    #[test]
    fn the_machine_agrees_with_its_history(outcomes in outcomes()) {
        play(&outcomes);
    }
}

/// Three short stays, held, a failure while held, and up when the time has passed.
#[test]
fn the_model_knows_of_servers_that_are_held() {
    let flap = || [vec![pass(); 2], vec![fail(); 4]].concat();
    let healths = play(
        &[
            flap(),
            flap(),
            flap(),
            vec![pass(); 2],
            vec![fail()],
            vec![pass(); 60],
        ]
        .concat(),
    );
    let mut order = healths;
    order.dedup();
    let (up, down, held) = (Health::Up, Health::Down, Health::Held);
    assert_eq!(order, [up, down, up, down, up, down, held, down, up]);
}
