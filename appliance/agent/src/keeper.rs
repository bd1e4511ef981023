//! Keeps the configuration in force for later boots: as lb.applied.toml, and outside the config volume. A text is laid
//! down when it is put in force, so that memory does not hold it until the kernel has accepted it, and takes its place then.
//! Who waits for a change is answered when all of it would survive a power cut.
//! All of it happens in a thread: disks are slow. Must not: know what a valid configuration is.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use lb_core::mirror;

use crate::reconcile::Waiter;
use crate::report;
use crate::store::{APPLIED_FILE, CONFIG_FILE, Store};

#[derive(Debug)]
pub struct Keeper {
    orders: Sender<Order>,
    /// The text that is being put in force, until it is laid down.
    held: Option<Vec<u8>>,
}

#[derive(Debug)]
enum Order {
    Stage(Vec<u8>),
    Keep(Vec<Waiter>),
    Answer(Vec<Waiter>),
}

impl Keeper {
    pub fn start(store: Store, mirror: Option<PathBuf>) -> std::io::Result<Keeper> {
        let (orders, todo) = mpsc::channel();
        let named = thread::Builder::new().name("keeper".to_owned());
        named.spawn(move || keep_all(&todo, &store, mirror.as_deref()))?;
        Ok(Keeper { orders, held: None })
    }

    /// This text is being put in force. The last one counts.
    pub fn hold(&mut self, text: Vec<u8>) {
        self.held = Some(text);
    }

    /// What is held goes to the disk.
    pub fn lay_down(&mut self) {
        if let Some(text) = self.held.take() {
            self.order(Order::Stage(text));
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

fn keep_all(todo: &Receiver<Order>, store: &Store, mirror: Option<&Path>) {
    let mut staged = false;
    for order in todo {
        match order {
            Order::Stage(text) => {
                staged = true;
                if let Err(error) = store.stage(APPLIED_FILE, &text) {
                    not_up_to_date(&error);
                }
            }
            Order::Keep(waiters) => {
                if std::mem::take(&mut staged) {
                    keep(store, mirror);
                }
                answer(store, waiters);
            }
            Order::Answer(waiters) => answer(store, waiters),
        }
    }
}

fn keep(store: &Store, mirror: Option<&Path>) {
    if let Err(error) = store.commit(APPLIED_FILE) {
        not_up_to_date(&error);
    }
    if let Some(partition) = mirror
        && let Err(error) = write_mirror(partition, store)
    {
        log::error!("the mirror of the configuration is not up to date: {error}");
    }
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
