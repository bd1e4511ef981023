//! The commands about the lock of the consoles, as data. Must not: carry anything out.

use super::*;

pub(super) const CONSOLE: &[Command] = &[
    Command {
        name: "password",
        action: Action::ConsolePassword,
        summary: "whether consoles have a password; sets or removes it",
        about: "Off by default. With a password each console is locked when it starts and when no key was typed for some time (`console idle`), also within \
                `top` and `config edit`, which go on where they were. `set` asks for it twice and `remove` for the present one; nothing is shown of it. It has 1 to 256 \
                bytes of UTF-8, and no other rules. After a wrong one the next is looked at in 1 s, then 2 s, up to 30 s. It keeps out who passes an open \
                terminal, and not who can restart the machine or has its disk: `forget-password` in the boot menu (Ctrl-O) removes it, and so does \
                `lb.no-console-password` on the kernel's command line.",
        arguments: &[Argument {
            name: "set|remove",
            values: Values::Password,
            many: false,
            needed: false,
        }],
        options: JSON_ONLY,
        examples: &[
            "console password",
            "console password set",
            "console password remove",
        ],
        ..LEAF
    },
    Command {
        name: "idle",
        action: Action::ConsoleIdle,
        summary: "after how long without a key consoles lock; sets it",
        about: "TIME is from 10s to 24h, and 10m where nobody has said another one. It is kept with the password. A command that goes on showing something, such as `log --follow`, \
                does so; the console is locked when it ends.",
        arguments: &[Argument {
            name: "TIME",
            values: Values::Time,
            many: false,
            needed: false,
        }],
        options: JSON_ONLY,
        examples: &["console idle", "console idle 5m"],
        ..LEAF
    },
    Command {
        name: "lock",
        action: Action::ConsoleLock,
        summary: "lock this console now",
        about: "It needs a password. Other consoles stay as they are until they have been left alone for long enough.",
        examples: &["console lock"],
        ..LEAF
    },
];
