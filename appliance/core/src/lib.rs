//! What decides: configuration, health of servers, the state that the kernel should have, and the steps that lead there.
//! Pure: no I/O, no clock, no `unsafe`. Time comes in as an argument; effects leave through the traits in [`ports`].

pub mod bundle;
pub mod certificates;
pub mod check;
pub mod config;
pub mod confirm;
pub mod control;
pub mod desired;
pub mod difference;
pub mod doctor;
pub mod drops;
pub mod echo;
pub mod fake;
pub mod flat;
pub mod health;
pub mod icmp;
pub mod import;
pub mod lateness;
pub mod link_kind;
pub mod listing;
pub mod mirror;
pub mod model;
pub mod neighbours;
pub mod observed;
pub mod path;
pub mod plan;
pub mod pool;
pub mod ports;
pub mod rates;
pub mod reset;
pub mod ruleset;
pub mod secrets;
pub mod seed;
pub mod suggest;
pub mod trace;
pub mod traffic;
