//! Fuzzing with stable Rust: inputs are made of the files of the tests, damaged in ways that keep much of their structure, and each
//! target judges what its reader makes of them. A run is its seed: input number N is the same whatever came before it.
//! Must not: know what a reader promises outside of `targets`.

pub mod corpus;
pub mod mutate;
pub mod run;
pub mod targets;
pub mod words;
