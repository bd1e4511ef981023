//! What is checked: each target once, however many services it serves, with its machine and when it is due.
//! Must not: open sockets, read the clock, or know what a result means for a pool.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use lb_core::check::CheckParams;
use lb_core::health::{Health, Machine, Schedule};
use lb_core::model::{RealKey, ServerKey};

use crate::probe::Route;

/// A target as long as it is one: a result that comes later finds nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetId {
    place: u32,
    generation: u32,
}

#[derive(Debug, Clone)]
pub struct Target {
    /// Where the check goes, but for what its parameters say.
    pub server: RealKey,
    pub params: Arc<CheckParams>,
    pub machine: Machine,
    /// The interface of the file that leads to it.
    pub behind: Option<u32>,
    /// How a half-open check gets there, once one has.
    pub route: Option<Route>,
    /// The servers for which it speaks.
    pub users: Vec<ServerKey>,
}

impl Target {
    /// It is up, and the next failure takes it down.
    pub fn is_at_its_last(&self) -> bool {
        self.machine.health() == Health::Up && u32::from(self.machine.failures()) >= self.params.retries
    }
}

/// What tells targets apart: where, and everything about how.
type Identity = (RealKey, u32);

#[derive(Debug, Clone, Default)]
pub struct Targets {
    slots: Vec<(u32, Option<Target>)>,
    free: Vec<u32>,
    known: BTreeMap<Identity, TargetId>,
    /// The ways of checking, by number; most targets share one.
    ways: HashMap<Arc<CheckParams>, Way>,
    next_way: u32,
    due: BTreeSet<(Instant, TargetId)>,
}

#[derive(Debug, Clone)]
struct Way {
    number: u32,
    targets: u32,
}

impl Targets {
    /// The server's target, which speaks for it from now on. `fresh` makes its machine if there is no such target.
    pub fn join(
        &mut self,
        user: ServerKey,
        params: &Arc<CheckParams>,
        behind: Option<u32>,
        fresh: impl FnOnce() -> Machine,
    ) -> TargetId {
        let identity = (checked(user.server, params), self.way(params));
        if let Some(id) = self.known.get(&identity).copied() {
            if let Some(target) = self.at_mut(id) {
                target.behind = behind;
                if !target.users.contains(&user) {
                    target.users.push(user);
                }
            }
            return id;
        }
        let target = Target {
            server: identity.0,
            params: params.clone(),
            machine: fresh(),
            behind,
            route: None,
            users: vec![user],
        };
        let due = target.machine.due();
        let id = self.place(target);
        self.known.insert(identity, id);
        if let Some(way) = self.ways.get_mut(params) {
            way.targets += 1;
        }
        self.due.extend(due.map(|at| (at, id)));
        id
    }

    /// It no longer speaks for this server; a target that speaks for nobody is gone.
    pub fn leave(&mut self, id: TargetId, user: &ServerKey) {
        let Some(target) = self.at_mut(id) else {
            return;
        };
        target.users.retain(|known| known != user);
        if !target.users.is_empty() {
            return;
        }
        let Some((generation, slot)) = self.slots.get_mut(id.place as usize) else {
            return;
        };
        *generation = generation.wrapping_add(1);
        let Some(target) = slot.take() else {
            return;
        };
        self.free.push(id.place);
        if let Some(at) = target.machine.due() {
            self.due.remove(&(at, id));
        }
        if let Some(way) = self.ways.get_mut(&target.params) {
            way.targets -= 1;
            let (number, is_last) = (way.number, way.targets == 0);
            self.known.remove(&(target.server, number));
            if is_last {
                self.ways.remove(&target.params);
            }
        }
    }

    fn way(&mut self, params: &Arc<CheckParams>) -> u32 {
        if let Some(way) = self.ways.get(params) {
            return way.number;
        }
        let number = self.next_way;
        self.next_way = self.next_way.wrapping_add(1);
        self.ways.insert(params.clone(), Way { number, targets: 0 });
        number
    }

    fn place(&mut self, target: Target) -> TargetId {
        let place = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let (generation, slot) = &mut self.slots[place as usize];
        *slot = Some(target);
        TargetId {
            place,
            generation: *generation,
        }
    }

    pub fn at(&self, id: TargetId) -> Option<&Target> {
        let (generation, target) = self.slots.get(id.place as usize)?;
        target.as_ref().filter(|_| *generation == id.generation)
    }

    fn at_mut(&mut self, id: TargetId) -> Option<&mut Target> {
        let (generation, target) = self.slots.get_mut(id.place as usize)?;
        target.as_mut().filter(|_| *generation == id.generation)
    }

    /// Changes one, and when it is due.
    pub fn change<T>(&mut self, id: TargetId, change: impl FnOnce(&mut Target) -> T) -> Option<T> {
        let target = self.at_mut(id)?;
        let before = target.machine.due();
        let changed = change(target);
        let after = target.machine.due();
        if before != after {
            if let Some(at) = before {
                self.due.remove(&(at, id));
            }
            self.due.extend(after.map(|at| (at, id)));
        }
        Some(changed)
    }

    pub fn take_route(&mut self, id: TargetId, route: Option<Route>) {
        if let Some(target) = self.at_mut(id) {
            target.route = route;
        }
    }

    pub fn forget_routes(&mut self) {
        for (_, target) in &mut self.slots {
            if let Some(target) = target {
                target.route = None;
            }
        }
    }

    /// The same for all that are wanted; how many of them the change has concerned.
    pub fn change_all(&mut self, mut change: impl FnMut(&mut Target) -> bool) -> usize {
        let ids: Vec<TargetId> = self.known.values().copied().collect();
        let changed = ids.into_iter().map(|id| self.change(id, &mut change));
        changed.filter(|changed| *changed == Some(true)).count()
    }

    pub fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The next one whose check is to start by now, and since when; it is under way from then on.
    pub fn take_due(&mut self, now: Instant) -> Option<(Instant, TargetId, &Target)> {
        let (at, id) = self.due.first().filter(|(at, _)| *at <= now).copied()?;
        self.change(id, |target| target.machine.started());
        Some((at, id, self.at(id)?))
    }

    pub fn all(&self) -> impl Iterator<Item = &Target> {
        self.slots.iter().filter_map(|(_, target)| target.as_ref())
    }

    pub fn with_ids(&self) -> impl Iterator<Item = (TargetId, &Target)> {
        let slots = (0..).zip(&self.slots);
        slots.filter_map(|(place, (generation, target))| {
            let generation = *generation;
            Some((TargetId { place, generation }, target.as_ref()?))
        })
    }
}

/// Two servers whose checks go to one port of one machine are one target.
fn checked(server: RealKey, params: &CheckParams) -> RealKey {
    let target = params.target(server);
    RealKey {
        address: target.ip(),
        port: target.port(),
    }
}

/// Phases follow from what is checked.
pub fn schedule(epoch: Instant, server: RealKey) -> Schedule {
    Schedule::new(epoch, &server.to_string())
}
