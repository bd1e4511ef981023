//! The way back of an import that fails half way: what has changed of the config volume, and how it was. What was there keeps a second name meanwhile,
//! so that to bring it back needs no room. Must not: know what the files are.

use crate::report::chain;
use crate::store::{CONFIG_FILE, Store, StoreError};

#[derive(Debug, Default)]
pub struct Back(Vec<Former>);

#[derive(Debug)]
struct Former {
    name: String,
    was_there: bool,
}

impl Back {
    /// Before this file is changed.
    pub fn keep(&mut self, store: &Store, name: &str) -> Result<(), StoreError> {
        let was_there = store.keep_former(name)?;
        let name = name.to_owned();
        self.0.push(Former { name, was_there });
        Ok(())
    }

    /// All of it is as it was, also after a power cut; else what is not, and why. It can be tried again.
    pub fn go(&mut self, store: &Store) -> Result<(), String> {
        let (mut stay, mut why) = (Vec::new(), None);
        for former in self.0.iter().rev() {
            let gone = match former.was_there {
                true => store.bring_back(&former.name),
                false => store.unlink(&former.name),
            };
            if let Err(error) = gone {
                stay.push(former.name.as_str());
                why.get_or_insert(error);
            }
        }
        if let Some(why) = why {
            return Err(format!(
                "{} of the import cannot be taken back: {}",
                stay.join(", "),
                chain(&why)
            ));
        }
        // Without a change there is nothing that a power cut could undo.
        if let Some(last) = self.0.last() {
            let synced = store.sync_names(CONFIG_FILE);
            synced.map_err(|error| {
                format!(
                    "{} may be the import's again after a power cut: {}",
                    last.name,
                    chain(&error)
                )
            })?;
        }
        self.0.clear();
        Ok(())
    }

    /// What has changed stays so.
    pub fn forget(&mut self, store: &Store) {
        for former in self.0.drain(..) {
            store.forget_former(&former.name);
        }
    }
}
