//! Carries out what was chosen at the boot menu: a configuration of the history becomes lb.toml before a start reads it.
//! It is judged as any other, and with a fault nothing changes. Must not: put anything in force (a start does).

use std::fs;

use lb_core::boot_menu::{CHOICE, Choice};
use lb_core::history;

use crate::Places;
use crate::apply;
use crate::archive::{Archive, Change};
use crate::journal;
use crate::load::Replaced;
use crate::report::chain;
use crate::store::{CONFIG_FILE, Store};

/// A choice counts for one start: what init has left is gone afterwards.
pub fn take(store: &Store, places: &Places) -> Replaced {
    let path = places.runtime.join(CHOICE);
    let Ok(bytes) = fs::read(&path) else {
        return Replaced::default();
    };
    if let Err(error) = fs::remove_file(&path) {
        log::warn!("{}: {error}", path.display());
    }
    let chosen = serde_json::from_slice(&bytes).map_err(|error| format!("{CHOICE}: {error}"));
    match chosen.and_then(|choice: Choice| bring_back(store, choice.number)) {
        Ok(replaced) => replaced,
        Err(why) => Replaced {
            problem: Some(format!(
                "the choice of the boot menu is not carried out: {why}; `config history` lists what there is"
            )),
            ..Replaced::default()
        },
    }
}

fn bring_back(store: &Store, number: u64) -> Result<Replaced, String> {
    let text = Archive::beside(store).text(number)?;
    if let (None, report) = apply::check(&text, None) {
        let first = report.faults.first().map_or_else(String::new, |fault| {
            format!(
                ", line {}, column {}: {}",
                fault.line, fault.column, fault.message
            )
        });
        return Err(format!("configuration {number} has faults by now{first}"));
    }
    // What is chosen now is chosen later than what it imported.
    let present = store.read(CONFIG_FILE).ok().flatten();
    let is_same = present.is_some_and(|present| history::sha256(&present) == history::sha256(&text));
    let (written, told) = journal::instead(store, || match is_same {
        true => Ok(()),
        false => store.write(CONFIG_FILE, &text),
    })?;
    told.iter().for_each(|told| log::warn!("{told}"));
    written.map_err(|error| chain(&error))?;
    if is_same {
        return Ok(Replaced::default());
    }
    Ok(Replaced {
        taken: Some(format!(
            "lb.toml is configuration {number} again, which was chosen at the boot menu"
        )),
        change: Some(Change {
            by: "boot menu".to_owned(),
            why: format!("rollback to {number}"),
        }),
        problem: None,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::path::PathBuf;

    use lb_core::export::JOURNAL;

    use super::*;
    use crate::store::APPLIED_FILE;

    const TEXT: &str = "[[interface]]\nname = \"eth0\"\naddresses = [\"192.0.2.1/24\"]\n";

    struct Machine {
        dir: tempfile::TempDir,
        store: Store,
        places: Places,
    }

    /// A machine whose history has `texts`, of which the last one is lb.toml.
    fn machine(texts: &[&str]) -> Machine {
        let dir = tempfile::tempdir().unwrap();
        let places = Places {
            config: dir.path().join("config"),
            runtime: dir.path().join("run"),
            sample: PathBuf::new(),
            mirror: None,
        };
        fs::create_dir_all(&places.config).unwrap();
        fs::create_dir_all(&places.runtime).unwrap();
        let store = Store::new(places.config.clone());
        for text in texts {
            Archive::beside(&store)
                .record(&mut Cursor::new(text), &Change::boot())
                .unwrap();
            store.write(CONFIG_FILE, text.as_bytes()).unwrap();
        }
        Machine { dir, store, places }
    }

    impl Machine {
        fn choose(&self, choice: &str) -> Replaced {
            fs::write(self.dir.path().join("run").join(CHOICE), choice).unwrap();
            let replaced = take(&self.store, &self.places);
            assert!(!self.places.runtime.join(CHOICE).exists());
            replaced
        }

        fn lb_toml(&self) -> Vec<u8> {
            self.store.read(CONFIG_FILE).unwrap().unwrap()
        }
    }

    #[test]
    fn the_chosen_configuration_becomes_lb_toml() {
        let newer = format!("# newer\n{TEXT}");
        let machine = machine(&[TEXT, &newer]);
        assert_eq!(take(&machine.store, &machine.places), Replaced::default());
        let replaced = machine.choose("{\"number\":1}");
        assert_eq!(
            replaced.taken.unwrap(),
            "lb.toml is configuration 1 again, which was chosen at the boot menu"
        );
        let change = replaced.change.unwrap();
        assert_eq!(
            (change.by.as_str(), change.why.as_str()),
            ("boot menu", "rollback to 1")
        );
        assert_eq!(machine.lb_toml(), TEXT.as_bytes());
        // Once more is no change.
        assert_eq!(machine.choose("{\"number\":1}"), Replaced::default());
    }

    /// A start could not complete it; a later one must not undo what was chosen.
    #[test]
    fn a_choice_gives_up_an_import_that_is_not_complete() {
        let newer = format!("# newer\n{TEXT}");
        for (chosen, is_another) in [("{\"number\":1}", true), ("{\"number\":2}", false)] {
            let machine = machine(&[TEXT, &newer]);
            machine.store.write(JOURNAL, b"an export").unwrap();
            assert_eq!(machine.choose(chosen).taken.is_some(), is_another);
            assert!(!machine.store.path(JOURNAL).exists());
        }
        let machine = machine(&[TEXT, &newer]);
        // What cannot be removed, also by root.
        fs::create_dir(machine.store.path(JOURNAL)).unwrap();
        let problem = machine.choose("{\"number\":1}").problem.unwrap();
        assert!(problem.contains("cannot be given up: "), "{problem}");
        assert_eq!(machine.lb_toml(), newer.as_bytes());
    }

    #[test]
    fn what_cannot_be_used_changes_nothing() {
        let machine = machine(&["hostnam = \"lb\"\n", TEXT]);
        for (choice, part) in [
            (
                "{\"number\":1}",
                "configuration 1 has faults by now, line 1, column 1: unknown key",
            ),
            (
                "{\"number\":9}",
                "there is no configuration 9 in the history; it has 1 to 2",
            ),
            ("torn", "boot-choice.json: "),
        ] {
            let problem = machine.choose(choice).problem.unwrap();
            assert!(problem.contains(part), "{problem}");
            assert_eq!(machine.lb_toml(), TEXT.as_bytes());
        }
        assert!(!machine.store.path(APPLIED_FILE).exists());
    }
}
