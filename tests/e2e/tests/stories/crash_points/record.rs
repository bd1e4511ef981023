//! The run that is recorded: every verb that changes the configuration, one after another, each with its places in the log of the disk's writes.
//! Must not: look at the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use lb_core::export::{Export, Origin};
use lb_e2e::config::{QUICK, marked};
use lb_e2e::crash::{State, Step};
use lb_e2e::traffic::is_whole;
use lb_e2e::{Scene, write_log};
use lb_lab::{LabError, Result};
use serde_json::Value;

use super::{RESET, SOON};
use crate::first_boot::type_reset;
use crate::transfer;

const SERVER: &str = "172.16.0.12:30080";

/// What is asked, one after another, each with its places in the log.
pub fn record(scene: &mut Scene, log: &Path, first: String) -> Result<Vec<Step>> {
    // The first one is in force; that it is in the history too is written behind the first page.
    scene.wait_for_report("config history", SOON, |report| {
        report.to_string().contains("sha256")
    })?;
    let mut recorder = Recorder {
        scene,
        log,
        steps: vec![Step {
            name: "boot",
            begun: 0,
            acknowledged: length(log)?,
            state: State {
                text: Some(first.clone()),
                drained: false,
                identity: true,
            },
            meanwhile: None,
        }],
    };
    recorder.put_and_tried_out(&first)?;
    recorder.imported(&first)?;
    recorder.applied_from_the_file()?;
    recorder.reset()?;
    Ok(recorder.steps)
}

fn length(log: &Path) -> Result<usize> {
    write_log::length(log).map_err(LabError::io("read the log of the writes"))
}

struct Recorder<'s> {
    scene: &'s mut Scene,
    log: &'s Path,
    steps: Vec<Step>,
}

impl Recorder<'_> {
    /// `change`: of what the machine had before.
    fn step(
        &mut self,
        name: &'static str,
        change: impl FnOnce(&mut State),
        deed: impl FnOnce(&mut Scene) -> Result<String>,
    ) -> Result<()> {
        let mut state = self.steps[self.steps.len() - 1].state.clone();
        change(&mut state);
        let begun = length(self.log)?;
        let said = deed(self.scene)?;
        assert!(!said.contains("error"), "{name}: {said}");
        self.steps.push(Step {
            name,
            begun,
            acknowledged: length(self.log)?,
            state,
            meanwhile: None,
        });
        Ok(())
    }

    fn put(&mut self, name: &'static str, text: &str) -> Result<()> {
        let change = |state: &mut State| state.text = Some(text.to_owned());
        self.step(name, change, |scene| scene.vm().config_put(text))
    }

    fn command(&mut self, name: &'static str, change: impl FnOnce(&mut State), line: &str) -> Result<()> {
        self.step(name, change, |scene| scene.vm().command(line))
    }

    /// The text is for the trial; what a start uses stays.
    fn try_out(&mut self, name: &'static str, text: &str) -> Result<()> {
        let deed = |scene: &mut Scene| scene.vm().config_put_with("--confirm 60s", text);
        self.step(name, |_| {}, deed)
    }

    /// The text is lb.toml already when it is applied for so long.
    fn apply_on_trial(&mut self, name: &'static str, text: &str, window: &str) -> Result<()> {
        let deed = |scene: &mut Scene| {
            edit(scene, text)?;
            let said = scene.vm().command(&format!("config apply --confirm {window}"))?;
            assert!(said.contains("PENDING"), "{said}");
            Ok(said)
        };
        self.step(name, |_| {}, deed)?;
        let last = self.steps.len() - 1;
        self.steps[last].meanwhile = Some(text.to_owned());
        Ok(())
    }

    fn put_and_tried_out(&mut self, first: &str) -> Result<()> {
        let third = marked(QUICK, "version 3");
        let tried = marked(QUICK, "only tried");
        self.put("put", &marked(QUICK, "version 2"))?;
        self.command(
            "drain",
            |state| state.drained = true,
            &format!("drain {SERVER} --yes"),
        )?;
        self.try_out("try out", &third)?;
        self.command("confirm", |state| state.text = Some(third), "config confirm")?;
        self.try_out("try out again", &tried)?;
        self.command("give up", |_| {}, "config abort")?;
        self.command(
            "undrain",
            |state| state.drained = false,
            &format!("undrain {SERVER}"),
        )?;
        let back = |state: &mut State| state.text = Some(first.to_owned());
        self.command("roll back", back, "config rollback 1")
    }

    /// What is set aside changes with lb.toml; there and back again.
    fn imported(&mut self, first: &str) -> Result<()> {
        let text = marked(QUICK, "imported");
        let there = exported(&text, true)?;
        let change = |state: &mut State| (state.text, state.drained) = (Some(text), true);
        self.step("import", change, |scene| transfer::import(scene, "", &there))?;
        let back = exported(first, false)?;
        let deed = |scene: &mut Scene| transfer::import(scene, " --confirm 60s", &back);
        self.step("import on trial", |_| {}, deed)?;
        let change = |state: &mut State| (state.text, state.drained) = (Some(first.to_owned()), false);
        self.command("confirm the import", change, "config confirm")
    }

    /// lb.toml is edited in its place, and then applied.
    fn applied_from_the_file(&mut self) -> Result<()> {
        let applied = marked(QUICK, "version 4");
        let change = |state: &mut State| state.text = Some(applied.clone());
        self.step("apply", change, |scene| {
            edit(scene, &applied)?;
            scene.vm().command("config apply")
        })?;
        self.apply_on_trial("apply on trial", &marked(QUICK, "tried from the file"), "3s")?;
        let deadline = |scene: &mut Scene| {
            let is_over = |status: &Value| status["config"]["pending"].is_null() && status.is_object();
            scene.wait_for_report("status", SOON, is_over)?;
            let events = scene.vm().json("events")?.to_string();
            assert!(events.contains("not confirmed within 3 s"), "{events}");
            Ok(String::new())
        };
        self.step("return by itself", |_| {}, deadline)?;
        let kept = marked(QUICK, "version 5");
        self.apply_on_trial("apply on trial again", &kept, "60s")?;
        self.command(
            "confirm what was applied",
            |state| state.text = Some(kept),
            "config confirm",
        )
    }

    /// To the factory with what the machine is known by, and again without it in a whole run: what differs is one file.
    fn reset(&mut self) -> Result<()> {
        let again = |recorder: &mut Self, name, command, identity| {
            let change = |state: &mut State| {
                (state.text, state.drained) = (None, false);
                state.identity &= identity;
            };
            recorder.step(name, change, |scene| {
                type_reset(scene, command, "reset")?;
                scene.wait_for_restart().map(|()| String::new())
            })
        };
        again(self, RESET, "factory-reset --keep-identity", true)?;
        self.put("put after the reset", &marked(QUICK, "version 6"))?;
        if is_whole() {
            again(self, "reset of everything", "factory-reset", false)?;
            self.put("put once more", &marked(QUICK, "version 7"))?;
        }
        Ok(())
    }
}

/// Somebody writes lb.toml, and does not wait for the disk.
fn edit(scene: &mut Scene, text: &str) -> Result<()> {
    scene
        .saboteur()?
        .run(&["saboteur", "replace", "/config/lb.toml", text])
        .map(drop)
}

/// A whole state, as `config export` gives it.
fn exported(text: &str, drained: bool) -> Result<String> {
    let drains = match drained {
        true => format!("[[drain]]\nserver = \"{SERVER}\"\nsince = 1764134400\n"),
        false => String::new(),
    };
    let export = Export {
        origin: Origin {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: "lb".to_owned(),
            made: "2026-11-26 19:05:00 UTC".to_owned(),
        },
        configuration: text.to_owned(),
        drains,
        files: BTreeMap::new(),
        left_out: BTreeSet::new(),
    };
    export
        .text()
        .map_err(|error| LabError::Unexpected(error.to_string()))
}
