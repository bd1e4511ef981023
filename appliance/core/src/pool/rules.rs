//! What an operator may say about a pool.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Which servers come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    #[default]
    Primary,
    /// Takes part while the primary ones are fewer than the quorum.
    Backup,
    /// Stands for all the others while they are fewer than the quorum and no backup is up.
    Sorry,
    /// Has left the file and still has connections.
    Leaving,
}

/// What becomes of a service that would lose its last server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Panic {
    /// Its clients are refused.
    #[default]
    None,
    /// Those that were the last to be up stay.
    KeepLast,
    /// All servers get their weight.
    All,
}

impl Panic {
    pub const WORDS: [&'static str; 3] = ["none", "keep-last", "all"];

    pub fn as_str(self) -> &'static str {
        match self {
            Panic::None => "none",
            Panic::KeepLast => "keep-last",
            Panic::All => "all",
        }
    }
}

/// How much of the primary servers' weight has to be up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quorum {
    Weight(u32),
    /// Of the weight of all primary servers.
    Percent(u8),
}

impl Quorum {
    /// As a weight; `all`: of all primary servers together. A part of a weight is a whole one.
    pub fn of(self, all: u64) -> u64 {
        match self {
            Quorum::Weight(weight) => weight.into(),
            Quorum::Percent(percent) => (all * u64::from(percent)).div_ceil(100),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolRules {
    /// So long after a server went down its connections may hope for its return; then they are ended.
    pub kill_after: Duration,
    /// So long a server that has left the configuration keeps its connections, at most.
    pub drain_timeout: Duration,
    /// In so much time a server that comes up gets to its whole weight; zero: at once.
    pub slow_start: Duration,
    pub quorum: Quorum,
    /// By so much more it is won, and by so much less it is lost.
    pub hysteresis: Quorum,
    pub panic: Panic,
}

impl PoolRules {
    /// A weight: any one server.
    pub const QUORUM: u32 = 1;
    pub const DEFAULT: PoolRules = PoolRules {
        kill_after: Duration::from_secs(5),
        drain_timeout: Duration::from_mins(5),
        slow_start: Duration::ZERO,
        quorum: Quorum::Weight(PoolRules::QUORUM),
        hysteresis: Quorum::Weight(0),
        panic: Panic::None,
    };

    /// Why nobody of the primary servers alone is enough.
    pub fn shortage(&self) -> &'static str {
        match self.quorum {
            Quorum::Weight(1) => "has no primary server that is up",
            _ => "is below its quorum",
        }
    }

    /// How long one step of a slow start takes.
    pub fn ramp_step(&self) -> Duration {
        self.slow_start / RAMP
    }

    /// The steps that are behind a server that has stood for so long, of [`RAMP`].
    pub fn ramp_steps(&self, stood: Duration) -> u32 {
        if stood >= self.slow_start {
            return RAMP;
        }
        u32::try_from(stood.as_nanos() / self.ramp_step().as_nanos().max(1)).unwrap_or(RAMP)
    }

    /// How much of its weight such a server has, in percent.
    pub fn ramped(&self, stood: Duration) -> u32 {
        self.ramp_steps(stood).clamp(1, RAMP) * (100 / RAMP)
    }

    /// In the kernel a weight of one is so much, so that a part of it can be given.
    pub fn scale(&self) -> u32 {
        if self.slow_start.is_zero() { 1 } else { RAMP }
    }
}

impl Default for PoolRules {
    fn default() -> PoolRules {
        PoolRules::DEFAULT
    }
}

/// Steps of a slow start.
pub const RAMP: u32 = 10;
