//! Work beside the loop for which somebody waits, whatever becomes of it. Must not: know what it is.

use std::panic::{self, AssertUnwindSafe};

/// What it gives; a panic is a fault of the agent, told in a sentence, and in the log with its place.
pub fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    // What it leaves behind is dropped with it.
    panic::catch_unwind(AssertUnwindSafe(work))
        .map_err(|_| "a fault in the agent: please report it with the log".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told() {
        assert_eq!(guarded(|| 1), Ok(1));
        let told = guarded(|| -> u8 { panic!("of the test") }).unwrap_err();
        assert!(told.starts_with("a fault in the agent"), "{told}");
    }
}
