//! What is checked: each target once, however many services it serves, with its machine and when it is due.
//! Must not: open sockets, read the clock, or know what a result means for a pool.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Instant;

use hashbrown::HashTable;
use lb_core::check::CheckParams;
use lb_core::health::{Health, Machine, Schedule};
use lb_core::model::{RealKey, ServerKey};

use crate::deadlines::Deadlines;
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
    users: Users,
}

/// Nearly every target speaks for one server.
#[derive(Debug, Clone)]
enum Users {
    One(ServerKey),
    Several(Vec<ServerKey>),
}

impl Target {
    /// The servers for which it speaks.
    pub fn users(&self) -> &[ServerKey] {
        match &self.users {
            Users::One(user) => std::slice::from_ref(user),
            Users::Several(users) => users,
        }
    }

    fn speak_for(&mut self, user: ServerKey) {
        if self.users().contains(&user) {
            return;
        }
        match &mut self.users {
            Users::One(first) => self.users = Users::Several(vec![*first, user]),
            Users::Several(users) => users.push(user),
        }
    }

    /// Whether there is anybody left for whom it speaks.
    fn desert(&mut self, user: &ServerKey) -> bool {
        match &mut self.users {
            Users::One(only) => only != user,
            Users::Several(users) => {
                users.retain(|known| known != user);
                !users.is_empty()
            }
        }
    }

    /// It is up, and the next failure takes it down.
    pub fn is_at_its_last(&self) -> bool {
        self.machine.health() == Health::Up && u32::from(self.machine.failures()) >= self.params.retries
    }
}

/// There are as many as servers: nothing is kept twice, and what finds a target by something else knows its place only.
#[derive(Debug, Clone, Default)]
pub struct Targets {
    slots: Vec<(u32, Option<Target>)>,
    free: Vec<u32>,
    /// Places, by what tells targets apart: where, and everything about how.
    known: HashTable<u32>,
    hasher: RandomState,
    due: Deadlines,
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
        let server = checked(user.server, params);
        let hash = self.hasher.hash_one((server, params));
        let same = |place: &u32| {
            let target = target_at(&self.slots, *place);
            target.is_some_and(|target| target.server == server && target.params == *params)
        };
        if let Some(place) = self.known.find(hash, same).copied() {
            let (generation, target) = &mut self.slots[place as usize];
            if let Some(target) = target {
                target.behind = behind;
                target.speak_for(user);
            }
            let generation = *generation;
            return TargetId { place, generation };
        }
        let id = self.place(Target {
            server,
            params: params.clone(),
            machine: fresh(),
            behind,
            route: None,
            users: Users::One(user),
        });
        let hash_of = |place: &u32| {
            let target = target_at(&self.slots, *place);
            target.map_or(0, |target| self.hasher.hash_one((target.server, &target.params)))
        };
        self.known.insert_unique(hash, id.place, hash_of);
        self.due.change(id.place, self.due_at(id.place));
        id
    }

    /// It no longer speaks for this server; a target that speaks for nobody is gone.
    pub fn leave(&mut self, id: TargetId, user: &ServerKey) {
        if self.at_mut(id).is_none_or(|target| target.desert(user)) {
            return;
        }
        let (generation, slot) = &mut self.slots[id.place as usize];
        *generation = generation.wrapping_add(1);
        let Some(target) = slot.take() else {
            return;
        };
        let hash = self.hasher.hash_one((target.server, &target.params));
        if let Ok(entry) = self.known.find_entry(hash, |place| *place == id.place) {
            entry.remove();
        }
        self.free.push(id.place);
        self.due.change(id.place, None);
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
            self.due.change(id.place, after);
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
        let ids: Vec<TargetId> = self.with_ids().map(|(id, _)| id).collect();
        let changed = ids.into_iter().map(|id| self.change(id, &mut change));
        changed.filter(|changed| *changed == Some(true)).count()
    }

    pub fn next_due(&self) -> Option<Instant> {
        self.due_at(self.due.first()?)
    }

    fn due_at(&self, place: u32) -> Option<Instant> {
        target_at(&self.slots, place)?.machine.due()
    }

    /// The next one whose check is to start by now, and since when; it is under way from then on.
    pub fn take_due(&mut self, now: Instant) -> Option<(Instant, TargetId, &Target)> {
        let place = self.due.first()?;
        let at = self.due_at(place).filter(|at| *at <= now)?;
        let (generation, _) = self.slots[place as usize];
        let id = TargetId { place, generation };
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

fn target_at(slots: &[(u32, Option<Target>)], place: u32) -> Option<&Target> {
    slots.get(place as usize)?.1.as_ref()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// There is one for each server of the file, and this is most of what the agent keeps.
    #[test]
    fn a_target_is_small() {
        let size = size_of::<(u32, Option<Target>)>();
        assert!(size <= 232, "{size} bytes");
    }
}
