//! What is fuzzed. Each target has its corpus and the promises of its reader.
//! Must not: make inputs.

mod capture;
mod control;
mod export;
mod file;
mod import;
mod mirror;
mod password;
mod seed;

use crate::run::Target;

pub const ALL: [Target; 9] = [
    file::TARGET,
    control::TARGET,
    import::KEEPALIVED,
    import::HAPROXY,
    mirror::TARGET,
    password::TARGET,
    seed::TARGET,
    export::TARGET,
    capture::TARGET,
];

/// The promise, if it was not kept.
fn ensure(kept: bool, promise: impl FnOnce() -> String) -> Result<(), String> {
    if kept { Ok(()) } else { Err(promise()) }
}

/// What stands on a terminal must not steer it.
fn ensure_harmless(text: &str, what: &str) -> Result<(), String> {
    let steering = |c: char| c.is_control() && c != '\n';
    ensure(!text.contains(steering), || {
        format!("control characters in {what}\n{text:?}")
    })
}
