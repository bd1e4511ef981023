//! Whole files: what they mean, how large they may be, and that no text whatever does harm.

mod answers;
mod asked;
mod meaning;
mod parts;
mod pools;
pub(super) mod property;
mod size;
mod stacked;

use super::*;

/// The faults of a text that must have some, as `LINE:COLUMN message`.
fn faults(text: &str) -> Vec<String> {
    let faults = parse(text).expect_err("the text has faults");
    faults
        .reports(text)
        .iter()
        .map(|f| format!("{}:{} {}", f.line, f.column, f.message))
        .collect()
}

fn good(text: &str) -> Config {
    parse(text).unwrap_or_else(|faults| panic!("{}", faults.render("lb.toml", text)))
}
