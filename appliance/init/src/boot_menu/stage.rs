//! The stage of the boot that looks for the menu's key, and asks whoever has typed it. Must not: wait when nobody has.

use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, io};

use lb_core::boot_menu::{CHOICE, Choice, KEY};
use lb_core::control::INIT_REPORT;

use super::{Answer, Menu, NOT_OPENED, PATIENCE, PROMPT, elsewhere};
use crate::boot::Progress;
use crate::machine::{Machine, Open};
use crate::seat::Mode;
use crate::shutdown::go_down;
use crate::signals::Order;
use crate::stages::{Result, forget_password, reset};
use crate::volume;

/// Nobody is waited for: the key must have been typed by now.
pub fn look_for_key(machine: &mut Machine) -> Result {
    let heard: Vec<bool> = machine.seats.iter_mut().map(|seat| seat.heard(KEY)).collect();
    let Some(place) = heard.into_iter().position(|heard| heard) else {
        return Ok(Progress::Done(NOT_OPENED));
    };
    let open = Open {
        menu: Menu::read(Path::new(volume::CONFIG)),
        until: Instant::now() + PATIENCE,
    };
    let seat = &mut machine.seats[place];
    log::info!("the boot menu is open on {}", seat.name);
    seat.mode = Mode::BootMenu;
    seat.say(&open.menu.text());
    seat.say(PROMPT);
    let elsewhere = elsewhere(&seat.name);
    let others = machine.seats.iter_mut().filter(|seat| seat.mode == Mode::Lines);
    others.for_each(|seat| seat.say(&elsewhere));
    machine.menu = Some(open);
    Ok(Progress::Waiting)
}

pub fn ask(machine: &mut Machine, _: Duration) -> Result {
    let now = Instant::now();
    let place = machine.seats.iter().position(|seat| seat.mode == Mode::BootMenu);
    let (Some(open), Some(place)) = (&machine.menu, place) else {
        return close(machine, "left");
    };
    if now >= open.until {
        return close(machine, "no answer");
    }
    for line in machine.seats[place].typed(now) {
        let Some(open) = &mut machine.menu else {
            break;
        };
        open.until = now + PATIENCE;
        match open.menu.typed(&line) {
            Answer::Say(text) => machine.seats[place].say(&(text + PROMPT)),
            Answer::Forget => forget_and_stay(machine, place),
            Answer::GoOn => return close(machine, "go"),
            Answer::Start(number) => return start_with(machine, number),
            Answer::Reset(extent) => {
                let word = if reset(machine, Some(extent)) {
                    "reset"
                } else {
                    "reset failed"
                };
                return close(machine, word);
            }
            Answer::Reboot => go_down(machine, Order::Reboot),
            Answer::PowerOff => go_down(machine, Order::PowerOff),
        }
    }
    Ok(Progress::Waiting)
}

/// An earlier configuration can be chosen as well.
fn forget_and_stay(machine: &mut Machine, place: usize) {
    let forgotten = forget_password(machine, "at the boot menu");
    if let Some(open) = &mut machine.menu {
        open.menu.password = forgotten.is_none();
    }
    let told = forgotten.map_or_else(String::new, |how| {
        format!("The password of the consoles is {how}; `go` boots.\n")
    });
    machine.seats[place].say(&format!("{told}{PROMPT}"));
}

/// The agent finds the choice when it starts.
fn start_with(machine: &mut Machine, number: u64) -> Result {
    let path = Path::new(INIT_REPORT).with_file_name(CHOICE);
    let written = serde_json::to_vec(&Choice { number }).map_err(io::Error::from);
    if let Err(error) = written.and_then(|text| fs::write(&path, text)) {
        machine.problem(format!(
            "the choice of the boot menu is lost: {}: {error}; `config rollback {number}` does the same",
            path.display()
        ));
    }
    close(machine, "earlier configuration")
}

fn close(machine: &mut Machine, word: &'static str) -> Result {
    machine.menu = None;
    for seat in machine
        .seats
        .iter_mut()
        .filter(|seat| seat.mode == Mode::BootMenu)
    {
        seat.say("\n");
        seat.mode = Mode::Lines;
    }
    Ok(Progress::Done(word))
}
