//! Any text: no panic, and what is made is taken or there is nothing.
