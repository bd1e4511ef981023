//! Keeps the configuration in force for later boots: as lb.applied.toml, outside the config volume, and in the history. A text is laid
//! down when it is put in force, so that memory does not hold it until the kernel has accepted it, and takes its place then.
//! Who waits for a change is answered when all of it would survive a power cut.
//! All of it happens in a thread: disks are slow. Must not: know what a valid configuration is.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use lb_core::mirror;
use tokio::sync::mpsc as tokio_mpsc;

use crate::archive::{Archive, Change, Recorded};
use crate::engine::Event;
use crate::reconcile::Waiter;
use crate::report;
use crate::store::{APPLIED_FILE, CONFIG_FILE, Store};

#[derive(Debug)]
pub struct Keeper {
    orders: Sender<Order>,
    /// The text that is being put in force, until it is laid down.
    held: Option<(Vec<u8>, Change)>,
}

#[derive(Debug)]
enum Order {
    Stage(Vec<u8>, Change),
    Keep(Vec<Waiter>),
    Answer(Vec<Waiter>),
}

impl Keeper {
    pub fn start(
        store: Store,
        mirror: Option<PathBuf>,
        events: tokio_mpsc::Sender<Event>,
    ) -> std::io::Result<Keeper> {
        let (orders, todo) = mpsc::channel();
        let named = thread::Builder::new().name("keeper".to_owned());
        named.spawn(move || {
            let told = |archived| {
                // The loop is gone only when the process ends.
                let _ = events.blocking_send(Event::Archived(archived));
            };
            keep_all(&todo, &store, mirror.as_deref(), told);
        })?;
        Ok(Keeper { orders, held: None })
    }

    /// This text is being put in force. The last one counts.
    pub fn hold(&mut self, text: Vec<u8>, change: Change) {
        self.held = Some((text, change));
    }

    /// What is held goes to the disk.
    pub fn lay_down(&mut self) {
        if let Some((text, change)) = self.held.take() {
            self.order(Order::Stage(text, change));
        }
    }

    /// What was laid down is in force: it is what a later boot falls back to. Who waited is answered then.
    pub fn keep(&mut self, waiters: Vec<Waiter>) {
        self.lay_down();
        self.order(Order::Keep(waiters));
    }

    /// What was laid down is not wholly in force.
    pub fn answer(&mut self, waiters: Vec<Waiter>) {
        self.lay_down();
        self.order(Order::Answer(waiters));
    }

    fn order(&self, order: Order) {
        if self.orders.send(order).is_err() {
            log::error!("the fallback configuration is not up to date: its thread has ended");
        }
    }
}

fn keep_all(todo: &Receiver<Order>, store: &Store, mirror: Option<&Path>, told: impl Fn(Result<(), String>)) {
    let mut staged = None;
    for order in todo {
        match order {
            Order::Stage(text, change) => {
                let laid_down = store.stage(APPLIED_FILE, &text);
                staged = Some(laid_down.map(|()| change).map_err(|error| {
                    not_up_to_date(&error);
                    report::chain(&error)
                }));
            }
            Order::Keep(mut waiters) => {
                if let Some(staged) = staged.take() {
                    // What could not be laid down must not be taken for what lies there.
                    let kept = match staged {
                        Ok(change) => keep(store, mirror, &change),
                        Err(error) => Kept::nowhere(error),
                    };
                    for waiter in &mut waiters {
                        let recorded = kept.archived.as_ref().ok();
                        waiter.report.number = recorded.map(|recorded| recorded.number);
                        waiter.report.former = recorded.and_then(|recorded| recorded.former);
                        waiter.report.mirrored = kept.mirrored;
                    }
                    told(kept.archived.map(drop));
                }
                answer(store, waiters);
            }
            Order::Answer(waiters) => answer(store, waiters),
        }
    }
}

/// Where a later boot can find it.
struct Kept {
    /// In the history.
    archived: Result<Recorded, String>,
    /// Outside the config volume.
    mirrored: bool,
}

impl Kept {
    fn nowhere(error: String) -> Kept {
        Kept {
            archived: Err(error),
            mirrored: false,
        }
    }
}

fn keep(store: &Store, mirror: Option<&Path>, change: &Change) -> Kept {
    let committed = store.commit(APPLIED_FILE);
    if let Err(error) = &committed {
        not_up_to_date(error);
    }
    let mirrored = mirror.is_some_and(|partition| {
        let written = write_mirror(partition, store);
        if let Err(error) = &written {
            log::error!("the mirror of the configuration is not up to date: {error}");
        }
        written.is_ok()
    });
    match committed {
        Ok(()) => Kept {
            archived: archive(store, change),
            mirrored,
        },
        // What was mirrored is the one before.
        Err(error) => Kept::nowhere(report::chain(&error)),
    }
}

fn archive(store: &Store, change: &Change) -> Result<Recorded, String> {
    let mut text =
        File::open(store.path(APPLIED_FILE)).map_err(|error| format!("{APPLIED_FILE}: {error}"))?;
    Archive::beside(store).record(&mut text, change)
}

fn not_up_to_date(error: &dyn std::error::Error) {
    log::error!(
        "the fallback configuration is not up to date: {}",
        report::chain(error)
    );
}

/// Somebody else may have written lb.toml, and not to the disk.
fn answer(store: &Store, waiters: Vec<Waiter>) {
    if waiters.is_empty() {
        return;
    }
    let fault = store.sync(CONFIG_FILE).err().map(|error| report::chain(&error));
    for mut waiter in waiters {
        if let Some(fault) = &fault {
            waiter.report.persisted = false;
            waiter.report.persist_fault.get_or_insert_with(|| fault.clone());
        }
        waiter.answer();
    }
}

fn write_mirror(partition: &Path, store: &Store) -> Result<(), String> {
    let mut text = File::open(store.path(APPLIED_FILE)).map_err(|e| format!("{APPLIED_FILE}: {e}"))?;
    let open = std::fs::OpenOptions::new().read(true).write(true).open(partition);
    let mut file = open.map_err(|e| format!("{}: {e}", partition.display()))?;
    mirror::write_next(&mut file, &mut text, |file| file.sync_data()).map_err(|e| report::chain(&e))
}
