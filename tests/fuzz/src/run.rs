//! One run: inputs are made, judged, and what goes wrong is caught: a false promise, a panic, work without end, memory.
//! Must not: know the targets.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;
use std::{fs, io, process, thread};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use crate::corpus::Entries;
use crate::mutate::Mutation;

/// What is fuzzed.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    pub name: &'static str,
    /// Whole inputs, of which damaged ones are made.
    pub corpus: fn() -> io::Result<Entries>,
    /// The error says which promise was not kept.
    pub judge: fn(&[u8]) -> Result<(), String>,
}

/// The most that one input may cost, of the thread's own time: the machine may be busy with something else.
const MOST_TIME: Duration = Duration::from_secs(1);
/// The most that one input may add to the peak of the process: more than a record of 16 MiB twice.
const MOST_MEMORY_KIB: i64 = 64 << 10;
/// Where a run has more than this in memory, something is kept from input to input.
const MOST_KEPT_KIB: i64 = 1 << 20;
/// After so long an input is given up, and the run with it: a thread cannot be ended.
const PATIENCE: Duration = Duration::from_secs(60);

/// An input for which something went wrong.
#[derive(Debug, Clone)]
pub struct Found {
    pub seed: u64,
    /// `None`: the input is an entry of the corpus as it is.
    pub index: Option<u64>,
    pub why: String,
    pub input: Vec<u8>,
}

impl Display for Found {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self.index {
            Some(index) => write!(out, "seed {}, input {index}: {}", self.seed, self.why),
            None => write!(out, "an entry of the corpus: {}", self.why),
        }
    }
}

/// What the watch looks at: the number of inputs so far, and the last of them.
type Current = Arc<Mutex<(u64, Vec<u8>)>>;

#[derive(Debug)]
pub struct Run {
    target: Target,
    seed: u64,
    mutation: Mutation,
    seen: BTreeSet<String>,
    /// Inputs for which the same went wrong as for one that was found.
    pub repeated: u64,
    current: Option<Current>,
    kept_told: bool,
}

impl Run {
    pub fn new(target: &Target, seed: u64) -> io::Result<Run> {
        record_panics();
        Ok(Run {
            target: *target,
            seed,
            mutation: Mutation::new((target.corpus)()?),
            seen: BTreeSet::new(),
            repeated: 0,
            current: None,
            kept_told: false,
        })
    }

    /// From now on an input that does not come to an end is written into this directory, and the process ends.
    pub fn watch(&mut self, directory: PathBuf) {
        let current = Current::default();
        self.current = Some(Arc::clone(&current));
        let seed = self.seed;
        thread::spawn(move || {
            let mut last = u64::MAX;
            loop {
                let (count, input) = current.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if count == last {
                    let why = format!("no end after {} s", PATIENCE.as_secs());
                    let index = None;
                    let found = Found {
                        seed,
                        index,
                        why,
                        input,
                    };
                    let path = write_found(&directory, &found);
                    println!("{}: {path:?}", found.why);
                    process::exit(1);
                }
                last = count;
                thread::sleep(PATIENCE);
            }
        });
    }

    /// The corpus as it is: what was found once is there.
    pub fn entries(&mut self) -> Vec<Found> {
        let entries = self.mutation.entries().to_vec();
        let judged = entries.into_iter().filter_map(|input| self.found(None, input));
        judged.collect()
    }

    /// Makes and judges the input with this number; what was found before is only counted.
    pub fn one(&mut self, index: u64) -> Option<Found> {
        let mut random = fastrand::Rng::with_seed(mixed(self.seed, index));
        let input = self.mutation.input(&mut random);
        self.found(Some(index), input)
    }

    fn found(&mut self, index: Option<u64>, input: Vec<u8>) -> Option<Found> {
        if let Some(current) = &self.current {
            let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
            current.0 += 1;
            current.1.clone_from(&input);
        }
        let why = self.judge(&input)?;
        if !self.seen.insert(kind(&why)) {
            self.repeated += 1;
            return None;
        }
        let seed = self.seed;
        Some(Found {
            seed,
            index,
            why,
            input,
        })
    }

    /// What goes wrong with this input.
    pub fn judge(&mut self, input: &[u8]) -> Option<String> {
        let (time, memory) = spent();
        WATCHED.set(true);
        let judged = panic::catch_unwind(AssertUnwindSafe(|| (self.target.judge)(input)));
        WATCHED.set(false);
        let (time_after, memory_after) = spent();
        let wrong = match judged {
            Ok(Ok(())) => None,
            Ok(Err(why)) => Some(why),
            Err(_) => Some(format!("panic: {}", PANIC.take())),
        };
        wrong
            .or_else(|| dear(time_after.saturating_sub(time), memory_after - memory))
            .or_else(|| self.kept(memory_after))
    }

    fn kept(&mut self, memory: i64) -> Option<String> {
        if memory < MOST_KEPT_KIB || self.kept_told {
            return None;
        }
        self.kept_told = true;
        Some(format!("the process has grown to {memory} KiB"))
    }
}

fn dear(time: Duration, memory: i64) -> Option<String> {
    if time > MOST_TIME {
        return Some(format!("it takes {} ms", time.as_millis()));
    }
    (memory > MOST_MEMORY_KIB).then(|| format!("it takes {memory} KiB of memory"))
}

/// The time of this thread, and the peak of the process's memory in KiB.
fn spent() -> (Duration, i64) {
    getrusage(UsageWho::RUSAGE_THREAD).map_or((Duration::ZERO, 0), |usage| {
        let time = usage.user_time() + usage.system_time();
        let micros = u64::try_from(time.num_microseconds()).unwrap_or(0);
        (Duration::from_micros(micros), usage.max_rss())
    })
}

/// What is wrong, without the particulars of one input.
fn kind(why: &str) -> String {
    let first = why.lines().next().unwrap_or_default();
    // Of a panic its place: in front of the blank.
    let first = first
        .strip_prefix("panic: ")
        .map_or(first, |place| place.split(' ').next().unwrap_or(place));
    let is_place = first.contains(".rs:");
    first
        .chars()
        .filter(|c| is_place || !c.is_ascii_digit())
        .take(100)
        .collect()
}

/// Neighbouring numbers give inputs that have nothing in common (splitmix64).
fn mixed(seed: u64, index: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(index);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

thread_local! {
    static WATCHED: Cell<bool> = const { Cell::new(false) };
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// A panic while an input is judged is kept instead of printed.
fn record_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !WATCHED.get() {
                return before(info);
            }
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            let message = info.payload_as_str().unwrap_or("no text");
            PANIC.set(format!("{place} {message}"));
        }));
    });
}

/// The input as a file, named by the seed and its number.
pub fn write_found(directory: &Path, found: &Found) -> io::Result<PathBuf> {
    fs::create_dir_all(directory)?;
    let name = match found.index {
        Some(index) => format!("{}-{index}", found.seed),
        None => format!("corpus-{:016x}", lb_core::config::fingerprint(&found.input)),
    };
    let path = directory.join(name);
    fs::write(&path, &found.input)?;
    Ok(path)
}
