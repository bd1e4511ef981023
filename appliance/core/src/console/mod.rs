//! The password of the consoles: the file that holds its hash (`password`), what it said last (`known`), and when a console is locked and opens (`lock`).
//! Must not: read files, ask anybody, or read a clock.

pub mod known;
pub mod lock;
pub mod password;

/// On the kernel's command line it removes the password at each boot, as the boot menu does.
pub const CMDLINE_WORD: &str = "lb.no-console-password";

/// The word of the boot menu that removes the password.
pub const FORGET: &str = "forget-password";

/// In the runtime directory: init has removed the password in this boot. The agent makes an event of it, and removes the mark. Its text is by
/// what it was done.
pub const FORGOTTEN: &str = "console-password-forgotten";

/// How it begins what is told of that, whoever tells it.
pub const REMOVED: &str = "the password of the consoles was removed";

/// In the runtime directory, to the next boot: the password could not be removed, and counts as if there were none. Its text is by what that was ordered.
pub const IGNORED: &str = "console-password-ignored";
