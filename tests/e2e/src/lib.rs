//! The scenes of the end-to-end stories: the lab with the appliance's VM in the lb's place, what to break and how, and
//! requests that never stop. Must not: reach into the product other than as an operator, a client or an attacker can;
//! the `saboteur` acts from outside of it.

pub mod artifacts;
pub mod config;
pub mod crash;
pub mod cuts;
pub mod farm;
pub mod health;
pub mod hold;
pub mod iso;
pub mod peer;
pub mod requests;
pub mod sabotage;
pub mod sabotage_image;
pub mod scan;
pub mod scene;
pub mod screen;
pub mod sctp;
pub mod tally;
pub mod traffic;
pub mod volume;
pub mod write_log;

pub use artifacts::Artifacts;
pub use hold::Held;
pub use peer::Peers;
pub use requests::Stream;
pub use scene::{Scene, Setting, Start};
