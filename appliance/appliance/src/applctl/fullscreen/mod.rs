//! What `top` and `config edit` share: a screen as cells of which only changes are sent, and keys out of a terminal's bytes.
//! Must not: know what is drawn, or what a key does.

mod canvas;
pub mod keys;

pub use canvas::Canvas;
pub use keys::Key;
