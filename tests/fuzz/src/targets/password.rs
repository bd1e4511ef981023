//! The file with the consoles' password, as a disk may have damaged it. What is wrong with it stands on the lock.
//! Must not: make inputs.

use std::io;
use std::time::Duration;

use lb_core::console::lock::IDLE;
use lb_core::console::password::{Record, Stored};

use super::{ensure, ensure_harmless};
use crate::corpus::{self, Entries};
use crate::run::Target;

pub const TARGET: Target = Target {
    name: "password",
    corpus,
    judge,
};

fn corpus() -> io::Result<Entries> {
    corpus::own("password")
}

fn judge(input: &[u8]) -> Result<(), String> {
    match Stored::of(Ok(Some(input.to_vec()))) {
        Stored::None | Stored::Unreadable(_) => Err("a file that is there is none, or unreadable".to_owned()),
        Stored::Damaged(why) => {
            ensure_harmless(&why, "a reason")?;
            ensure(Record::parse(input).is_err(), || {
                "damaged, and read all the same".to_owned()
            })
        }
        Stored::Set(record) => {
            ensure(record.text().as_bytes() == input, || {
                "a file that was not written so is read".to_owned()
            })?;
            ensure(IDLE.contains(&record.idle()), || {
                "a time out of bounds".to_owned()
            })?;
            let other = record.with_idle(Duration::from_secs(77));
            ensure(Record::parse(other.text().as_bytes()) == Ok(other), || {
                "what was changed is not read".to_owned()
            })
        }
    }
}
