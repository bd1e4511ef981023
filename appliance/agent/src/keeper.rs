//! Keeps the configuration in force for later boots: as lb.applied.toml, and outside the config volume. A text is laid
//! down when it is put in force, so that memory does not hold it until the kernel has accepted it, and takes its place then.
//! All of it happens in a thread: disks are slow. Must not: know what a valid configuration is.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use lb_core::mirror;

use crate::report;
use crate::store::{APPLIED_FILE, Store};

#[derive(Debug)]
pub struct Keeper(Sender<Order>);

#[derive(Debug)]
enum Order {
    Stage(Vec<u8>),
    Keep,
}

impl Keeper {
    pub fn start(store: Store, mirror: Option<PathBuf>) -> std::io::Result<Keeper> {
        let (orders, todo) = mpsc::channel();
        let named = thread::Builder::new().name("keeper".to_owned());
        named.spawn(move || keep_all(&todo, &store, mirror.as_deref()))?;
        Ok(Keeper(orders))
    }

    /// This text is being put in force. The last one counts.
    pub fn stage(&self, text: Vec<u8>) {
        self.order(Order::Stage(text));
    }

    /// What was staged is in force: it is what a later boot falls back to.
    pub fn keep(&self) {
        self.order(Order::Keep);
    }

    fn order(&self, order: Order) {
        if self.0.send(order).is_err() {
            log::error!("the fallback configuration is not up to date: its thread has ended");
        }
    }
}

fn keep_all(todo: &Receiver<Order>, store: &Store, mirror: Option<&Path>) {
    let mut staged = false;
    for order in todo {
        let result = match order {
            Order::Stage(text) => {
                staged = true;
                store.stage(APPLIED_FILE, &text)
            }
            Order::Keep if std::mem::take(&mut staged) => {
                let kept = store.commit(APPLIED_FILE);
                if let Some(partition) = mirror
                    && let Err(error) = write_mirror(partition, store)
                {
                    log::error!("the mirror of the configuration is not up to date: {error}");
                }
                kept
            }
            Order::Keep => Ok(()),
        };
        if let Err(error) = result {
            log::error!(
                "the fallback configuration is not up to date: {}",
                report::chain(&error)
            );
        }
    }
}

fn write_mirror(partition: &Path, store: &Store) -> Result<(), String> {
    let text = store.read(APPLIED_FILE).map_err(|e| e.to_string())?;
    let text = text.ok_or_else(|| format!("{APPLIED_FILE} is not there"))?;
    let open = std::fs::OpenOptions::new().read(true).write(true).open(partition);
    let mut file = open.map_err(|e| format!("{}: {e}", partition.display()))?;
    mirror::write_next(&mut file, &text, |file| file.sync_data()).map_err(|e| report::chain(&e))
}
