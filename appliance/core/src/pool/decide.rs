//! The decision itself. It is made anew whenever something has changed, and gives the same again for the same facts.

use std::time::Instant;

use super::{Panic, Tier, rules::RAMP};
use crate::config::{RealServer, VirtualServer, WhenDown};
use crate::desired::{DesiredReal, DesiredVirtual};
use crate::flat::FlatMap;
use crate::health::{Share, Standing};
use crate::model::{RealKey, Weight};

/// What is known of one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    pub standing: Standing,
    pub share: Share,
    /// The operator has set it aside.
    pub drained: bool,
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// The primary servers that are up.
    Primary,
    /// They are fewer than the quorum, and there is nobody else.
    Short,
    /// And the backup servers that are up.
    Backup,
    Sorry,
    /// Servers that flap: there are no others.
    Held,
    /// Servers that were the last to be up: there are no others.
    KeptLast,
    /// All, whether they are up or not.
    All,
    /// Nobody yet: there is no verdict on some.
    #[default]
    Waiting,
    /// Nobody.
    Empty,
}

impl Mode {
    pub fn word(self) -> &'static str {
        match self {
            Mode::Primary => "primary",
            Mode::Short => "below-quorum",
            Mode::Backup => "backup",
            Mode::Sorry => "sorry",
            Mode::Held => "held",
            Mode::KeptLast => "kept-last",
            Mode::All => "all",
            Mode::Waiting => "waiting",
            Mode::Empty => "empty",
        }
    }
}

/// What a decision has to know of those before it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Memory {
    /// Whether the quorum was reached.
    quorate: Option<bool>,
    /// The weight that is asked for, and the weight of the primary servers that are up.
    pub quorum: u64,
    pub up: u64,
    /// The last servers that got connections because they were up.
    last: Vec<RealKey>,
    pub mode: Mode,
    /// Whether clients were served before what is waited for now, if anything is.
    pub served: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub pool: DesiredVirtual,
    pub memory: Memory,
    /// When it may be another one, though nothing else has changed.
    pub next: Option<Instant>,
}

pub fn decide(
    service: &VirtualServer,
    member: impl Fn(&RealServer) -> Member,
    before: &Memory,
    now: Instant,
) -> Decision {
    let members: Vec<(&RealServer, Member)> = service
        .real_servers
        .iter()
        .map(|real| (real, member(real)))
        .collect();
    let (all, up) = weights(&members);
    let (quorum, hysteresis) = (service.pool.quorum.of(all), service.pool.hysteresis.of(all));
    let quorate = is_quorate(up, quorum, hysteresis, before);
    let mode = mode(service, &members, quorate, before);
    let mut next = Next(None);
    let servers: FlatMap<RealKey, DesiredReal> = members
        .iter()
        .filter_map(|(real, member)| {
            let weight = weight(service, real, member, mode, before, now, &mut next)?;
            let wanted = DesiredReal {
                weight,
                forward: real.forward,
                limit: real.limit,
            };
            Some((real.address, wanted))
        })
        .collect();
    let settings = service.settings;
    let pool = DesiredVirtual { settings, servers };
    let memory = Memory {
        quorate: Some(quorate),
        quorum,
        up,
        last: last(service, &members, mode, before),
        mode,
        served: served(&members, mode, before),
    };
    let next = next.0;
    Decision { pool, memory, next }
}

/// The earliest of several moments.
struct Next(Option<Instant>);

impl Next {
    fn at(&mut self, at: Instant) {
        self.0 = Some(self.0.map_or(at, |next| next.min(at)));
    }
}

fn is_up(real: &RealServer, member: &Member) -> bool {
    matches!(member.standing, Standing::Up { .. })
        && !member.drained
        && real.weight.share(member.share) > Weight::ZERO
}

fn is_held(real: &RealServer, member: &Member) -> bool {
    member.standing == Standing::Held && !member.drained && real.weight.share(member.share) > Weight::ZERO
}

/// Whether it has no verdict yet, and a good one would bring it clients.
fn is_awaited((real, member): &(&RealServer, Member)) -> bool {
    matches!(member.standing, Standing::Unproven { .. }) && !member.drained && real.tier != Tier::Leaving
}

/// Of the primary servers: all weight, and that of those that are up.
fn weights(members: &[(&RealServer, Member)]) -> (u64, u64) {
    let primary = || members.iter().filter(|(real, _)| real.tier == Tier::Primary);
    let weigh = |(real, _): &(&RealServer, Member)| u64::from(real.weight.value());
    let up = primary().filter(|(real, member)| is_up(real, member));
    (primary().map(weigh).sum(), up.map(weigh).sum())
}

/// keepalived: won at quorum + hysteresis, lost below quorum - hysteresis, and always when nothing is left.
fn is_quorate(up: u64, quorum: u64, hysteresis: u64, before: &Memory) -> bool {
    match before.quorate {
        _ if up == 0 => false,
        None => up >= quorum,
        Some(true) => up >= quorum.saturating_sub(hysteresis),
        Some(false) => up >= quorum + hysteresis,
    }
}

fn mode(service: &VirtualServer, members: &[(&RealServer, Member)], quorate: bool, before: &Memory) -> Mode {
    let any = |tier: Tier, is: fn(&RealServer, &Member) -> bool| {
        members
            .iter()
            .any(|(real, member)| real.tier == tier && is(real, member))
    };
    let primary = any(Tier::Primary, is_up);
    if primary && quorate {
        return Mode::Primary;
    }
    if any(Tier::Backup, is_up) {
        return Mode::Backup;
    }
    if !primary && (any(Tier::Primary, is_held) || any(Tier::Backup, is_held)) {
        return Mode::Held;
    }
    if any(Tier::Sorry, is_up) {
        return Mode::Sorry;
    }
    if primary {
        return Mode::Short;
    }
    panic(service, members, before)
}

/// Nobody is up. As long as there is no verdict on every server, there is nothing to be afraid of.
fn panic(service: &VirtualServer, members: &[(&RealServer, Member)], before: &Memory) -> Mode {
    let usable = |(real, member): &&(&RealServer, Member)| {
        matches!(real.tier, Tier::Primary | Tier::Backup) && !member.drained && real.weight > Weight::ZERO
    };
    if members.iter().any(is_awaited) {
        return Mode::Waiting;
    }
    let mut usable = members.iter().filter(usable);
    match service.pool.panic {
        Panic::KeepLast if usable.any(|(real, _)| before.last.contains(&real.address)) => Mode::KeptLast,
        Panic::All if usable.next().is_some() => Mode::All,
        _ => Mode::Empty,
    }
}

/// What it is to have in the kernel; `None`: it is not to be there.
fn weight(
    service: &VirtualServer,
    real: &RealServer,
    member: &Member,
    mode: Mode,
    before: &Memory,
    now: Instant,
    next: &mut Next,
) -> Option<Weight> {
    let whole = || Some(real.weight.share(member.share).scaled(service.pool.scale()));
    let is_chosen = match (mode, real.tier) {
        _ if member.drained => false,
        (Mode::Primary | Mode::Short, Tier::Primary) => is_up(real, member),
        (Mode::Backup, Tier::Primary | Tier::Backup) => is_up(real, member),
        (Mode::Held, Tier::Primary | Tier::Backup) => is_held(real, member),
        (Mode::Sorry, Tier::Sorry) => is_up(real, member),
        (Mode::KeptLast, Tier::Primary | Tier::Backup) => before.last.contains(&real.address),
        (Mode::All, Tier::Primary | Tier::Backup) => true,
        _ => false,
    };
    match member.standing {
        Standing::Up { since, settled } if is_chosen => {
            let base = real.weight.share(member.share);
            Some(ramp(service, base, since, settled, now, next))
        }
        _ if is_chosen => whole(),
        Standing::Up { .. } | Standing::Held => Some(Weight::ZERO),
        _ if real.when_down == WhenDown::Inhibit => Some(Weight::ZERO),
        Standing::Unproven { known } => known.then_some(Weight::ZERO),
        Standing::Down { since, gone, was_up } => {
            let end = since + service.pool.kill_after;
            let hopes = was_up && !gone && now < end;
            hopes.then(|| next.at(end)).map(|()| Weight::ZERO)
        }
    }
}

/// Of a server that has come up a part, that grows. Those that come up together grow together.
fn ramp(
    service: &VirtualServer,
    base: Weight,
    since: Instant,
    settled: bool,
    now: Instant,
    next: &mut Next,
) -> Weight {
    let slow = service.pool.slow_start;
    if slow.is_zero() {
        return base;
    }
    let stood = now.saturating_duration_since(since);
    if settled || stood >= slow {
        return base.scaled(RAMP);
    }
    let steps = service.pool.ramp_steps(stood);
    next.at(since + service.pool.ramp_step() * (steps + 1));
    base.scaled(steps.clamp(1, RAMP))
}

/// A server that took connections before it was first seen served them, too.
fn served(members: &[(&RealServer, Member)], mode: Mode, before: &Memory) -> bool {
    let took_some =
        |(_, member): &(&RealServer, Member)| member.standing == Standing::Unproven { known: true };
    match mode {
        Mode::Empty => false,
        Mode::Waiting => before.served || members.iter().any(took_some),
        _ => true,
    }
}

/// Who gets connections because it is up; while nobody is, those before.
fn last(
    service: &VirtualServer,
    members: &[(&RealServer, Member)],
    mode: Mode,
    before: &Memory,
) -> Vec<RealKey> {
    if service.pool.panic != Panic::KeepLast {
        return Vec::new();
    }
    match mode {
        Mode::Primary | Mode::Short | Mode::Backup => {
            let up = members.iter().filter(|(real, member)| {
                matches!(real.tier, Tier::Primary | Tier::Backup) && is_up(real, member)
            });
            up.map(|(real, _)| real.address).collect()
        }
        _ => before.last.clone(),
    }
}

impl Member {
    /// One that has been up or down for good.
    pub fn settled(is_up: bool, now: Instant) -> Member {
        let standing = match is_up {
            true => Standing::Up {
                since: now,
                settled: true,
            },
            false => Standing::Down {
                since: now,
                gone: true,
                was_up: true,
            },
        };
        Member {
            standing,
            share: Share::WHOLE,
            drained: false,
        }
    }
}
