//! The steps from what is to what should be, and their order.
//! Must not: touch the kernel. A step prints as the line that an operator would type; logs, golden files and
//! `applctl` all show that line.

mod step;

pub use step::Step;
