//! The commands about the configuration, as data. Must not: carry anything out.

use super::super::*;

const NUMBER: Argument = Argument {
    name: "N",
    values: Values::Kept,
    many: false,
    needed: false,
};
const ANOTHER: Argument = Argument { name: "M", ..NUMBER };

/// How a change is made.
const TERMS: &[Choice] = &[CONFIRM_CHOICE, COMMENT_CHOICE, UNREHEARSED_CHOICE, JSON_CHOICE];

const CONFIRM_CHOICE: Choice = Choice {
    name: CONFIRM,
    summary: "return to the former one after 1s to 1h, unless confirmed",
    takes: Takes::Time(1, 3_600),
};
const COMMENT_CHOICE: Choice = Choice {
    name: COMMENT,
    summary: "why, for the history; in quotes",
    takes: Takes::Text,
};

const UNREHEARSED_CHOICE: Choice = Choice {
    name: WITHOUT_REHEARSAL,
    summary: "do not try it out before, also if the kernel refuses it",
    takes: Takes::Nothing,
};

/// How a whole text is put.
const PUT_TERMS: &[Choice] = &[
    Choice {
        name: DRY_RUN,
        summary: "show what would change and what that costs, and change nothing",
        takes: Takes::Nothing,
    },
    CONFIRM_CHOICE,
    COMMENT_CHOICE,
    UNREHEARSED_CHOICE,
    JSON_CHOICE,
];

const DRY_CHOICE: Choice = Choice {
    name: DRY_RUN,
    summary: "show the changed lines, and change nothing",
    takes: Takes::Nothing,
};

/// How a change of single keys is made.
const EDIT_TERMS: &[Choice] = &[
    DRY_CHOICE,
    CONFIRM_CHOICE,
    COMMENT_CHOICE,
    UNREHEARSED_CHOICE,
    JSON_CHOICE,
];

pub(super) const YES_CHOICE: Choice = Choice {
    name: YES,
    summary: "do not ask",
    takes: Takes::Nothing,
};

const DELETE_TERMS: &[Choice] = &[
    DRY_CHOICE,
    Choice {
        name: YES,
        summary: "do not ask, whatever goes",
        takes: Takes::Nothing,
    },
    CONFIRM_CHOICE,
    COMMENT_CHOICE,
    UNREHEARSED_CHOICE,
    JSON_CHOICE,
];

/// How an import is made.
const IMPORT_TERMS: &[Choice] = &[
    Choice {
        name: DISK,
        summary: "take lb.export from the disk labelled LBSEED",
        takes: Takes::Nothing,
    },
    Choice {
        name: DRY_RUN,
        summary: "show what would change, and change nothing",
        takes: Takes::Nothing,
    },
    CONFIRM_CHOICE,
    COMMENT_CHOICE,
    UNREHEARSED_CHOICE,
    JSON_CHOICE,
];

const PATH: Argument = Argument {
    name: "PATH",
    values: Values::Path,
    many: false,
    needed: true,
};

pub(super) const CONFIG: &[Command] = &[
    Command {
        name: "show",
        action: Action::ConfigShow,
        summary: "the text of /config/lb.toml, or of configuration N",
        about: "The file as it is on the config volume, whether or not it is in force; `status` tells that. With N the \
                text of an entry of `config history`; with `pending` the one that waits for `config confirm`, with \
                `returned` the last one that was given up (/config/lb.returned.toml), with `sample` an annotated lb.toml to learn from.",
        arguments: &[NUMBER],
        options: JSON_ONLY,
        examples: &[
            "config show",
            "config show 12",
            "config show returned",
            "config show sample",
        ],
        ..LEAF
    },
    Command {
        name: "check",
        action: Action::ConfigCheck,
        summary: "validate lb.toml, or another file; nothing is changed",
        about: "Lists every fault with its place and what is allowed there. The kernel is asked as well: what is new of it is \
                tried in a network of its own, as before every change. FILE may also be a number of the history, `sample`, \
                `returned` or `pending`.",
        arguments: &[Argument {
            name: "FILE",
            values: Values::File,
            many: false,
            needed: false,
        }],
        options: JSON_ONLY,
        examples: &["config check", "config check sample", "config check 12"],
        ..LEAF
    },
    Command {
        name: "diff",
        action: Action::ConfigDiff,
        summary: "what lb.toml would change, and what that costs",
        about: "Compares lb.toml with what is in force: in sentences with their costs, as the steps that would be carried \
                out at once, and as text. It also reads the kernel, and shows what differs there from what is in force. \
                With N: what `config rollback N` would change. With N and M: the difference of two texts. \
                `returned` and `pending` stand for these texts, as for `config show`. Nothing is changed by it. What the \
                kernel refuses, as a change would be, is shown instead.",
        arguments: &[NUMBER, ANOTHER],
        options: &[UNREHEARSED_CHOICE, JSON_CHOICE],
        examples: &[
            "config diff",
            "config diff 12",
            "config diff 12 14",
            "config diff returned",
        ],
        ..LEAF
    },
    Command {
        name: "edit",
        action: Action::ConfigEdit,
        summary: "edit lb.toml, or text N, on the whole screen",
        about: "Arrows, Home, End and pages move. Ctrl-X or Ctrl-S leaves: the text is checked, what would change is shown, and you \
                choose to apply it, to apply it on trial, to edit on, to throw it away or to leave a draft. While you type, lines \
                with a fault are marked with `!`, and what is wrong under the cursor is told below; Ctrl-G goes to the next one. \
                Ctrl-F finds (Ctrl-N again), Ctrl-Z undoes, Ctrl-Y redoes, Ctrl-K cuts the line, Ctrl-U puts it back, Tab \
                completes a key, a table or a word, Ctrl-L asks the terminal for its size and draws anew. If the line is lost, or \
                the machine starts anew, the next `config edit` offers the draft, and so it does with what `config put` has refused \
                because of its faults. With N it begins with the text of an entry of `config history`, with `returned`, `pending` or \
                `sample` with these texts, as for `config show`; what it changes is still shown against lb.toml.",
        arguments: &[NUMBER],
        options: &[CONFIRM_CHOICE, COMMENT_CHOICE, UNREHEARSED_CHOICE],
        examples: &[
            "config edit",
            "config edit returned",
            "config edit --comment \"new gateway\"",
        ],
        ..LEAF
    },
    Command {
        name: "set",
        action: Action::ConfigSet,
        summary: "change one key of lb.toml, and apply it",
        about: "PATH names it with dots, and one of a list by its name or address, or counted from 1. VALUE is what `explain` says that \
                the key takes: text without quotes, a number, true or false; several with commas; TOML in single quotes, as in \
                '{ timeout = \"5m\" }'. Comments, order and layout of the file stay. The changed lines are shown; the rest is as \
                with `config put`. A key with a fault changes nothing. The history shows path and value, but no value that may be a secret.",
        arguments: &[
            PATH,
            Argument {
                name: "VALUE",
                values: Values::Value,
                ..PATH
            },
        ],
        options: EDIT_TERMS,
        examples: &[
            "config set virtual_server.nginx.scheduler wrr",
            "config set virtual_server.web.real_server.10.0.0.11:80.weight 5",
            "config set interface.eth0.gateway 192.168.0.253 --confirm 2m",
            "config set virtual_server.nginx.check.interval 5s --dry-run",
        ],
        ..LEAF
    },
    Command {
        name: "add",
        action: Action::ConfigAdd,
        summary: "add a table to a list of lb.toml, and apply it",
        about: "PATH is the list: virtual_server, interface, masquerade, port_forward, virtual_server.NAME.real_server, \
                interface.NAME.routes. Each KEY=VALUE is as with `config set`. It stands behind the last one of the list. A service has its \
                servers from the beginning with 'real_server=[{ address = \"172.16.0.13:80\" }]'.",
        arguments: &[
            PATH,
            Argument {
                name: "KEY=VALUE",
                values: Values::Assignments,
                many: true,
                needed: false,
            },
        ],
        options: EDIT_TERMS,
        examples: &[
            "config add virtual_server name=web listen=192.168.0.1:80",
            "config add virtual_server.web.real_server address=172.16.0.13:80",
        ],
        ..LEAF
    },
    Command {
        name: "delete",
        action: Action::ConfigDelete,
        summary: "take a key or a table out of lb.toml, and apply it",
        about: "A key has its default then. A table goes with all that is in it and with the comment right above it; a table that \
                has nothing else goes with its last key. Where a whole interface or service goes, or the last server of a service that is up, what that costs is shown first, and \
                nothing happens without a `yes`; --yes goes without the question, and so does --confirm, which comes back by itself.",
        arguments: &[PATH],
        options: DELETE_TERMS,
        examples: &[
            "config delete virtual_server.web.real_server.172.16.0.13:80",
            "config delete interface.eth2 --yes",
            "config delete interface.eth0.mtu --dry-run",
        ],
        ..LEAF
    },
    Command {
        name: "put",
        action: Action::ConfigPut,
        summary: "replace lb.toml by pasted text, and apply it",
        about: "Paste the whole file, then type a line that holds one dot. The text is validated, written as a whole, \
                and applied; if it has a fault, nothing changes, and what you pasted is kept as a draft for `config edit`, unless there is \
                one already. Ctrl-C gives up. As a program it reads its standard \
                input to the end or to the dot. With --confirm it is in force and not saved until `config confirm`; \
                without that it returns to the former configuration by itself, also when the machine restarts. With --dry-run it is \
                shown what the text would change, as `config diff` does, and nothing changes.",
        options: PUT_TERMS,
        examples: &[
            "config put",
            "config put --dry-run",
            "config put --confirm 2m --comment \"new gateway\"",
        ],
        ..LEAF
    },
    Command {
        name: "apply",
        action: Action::ConfigApply,
        summary: "read lb.toml again and apply it",
        about: "If the file has a fault, nothing changes. With --confirm it is in force until `config confirm`, and lb.toml \
                is put back meanwhile to what was in force before, so that a restart uses that.",
        options: TERMS,
        examples: &["config apply", "config apply --confirm 2m"],
        ..LEAF
    },
    Command {
        name: "export",
        action: Action::ConfigExport,
        summary: "lb.toml, drains, certificates and keys as one text",
        about: "What makes this machine what it is, to be kept, or for another machine: lb.toml, what is set aside, and the certificates \
                and keys that lb.toml names. It is plain text, with the SHA-256 of each part and of the whole; `config import` takes \
                it. Who has it has the private keys that are in it: on a terminal you are asked before it is sent. --disk writes it to the disk labelled LBSEED, as lb.export, which `config import --disk` takes; a boot does not. History, events \
                and passwords of the console are never in it. As a program it prints the text and nothing else.",
        options: &[
            Choice {
                name: WITHOUT_KEYS,
                summary: "leave out files that hold a private key",
                takes: Takes::Nothing,
            },
            Choice {
                name: DISK,
                summary: "write lb.export to the disk labelled LBSEED",
                takes: Takes::Nothing,
            },
            JSON_CHOICE,
        ],
        examples: &[
            "config export",
            "config export --disk",
            "config export --without-keys",
        ],
        ..LEAF
    },
    Command {
        name: "import",
        action: Action::ConfigImport,
        summary: "put the whole state of a `config export` in force",
        about: "Paste the export, then type a line that holds one dot; or give it on a disk or CD labelled LBSEED, as lb.export. It is \
                verified first: one that is cut, edited or damaged is refused, and nothing changes. Then it is shown what would change, \
                and you are asked. lb.toml, drains, certificates and keys change as one: a power cut leaves the old state or the new \
                one. Drains of servers that its lb.toml does not have are left out, and said. With --confirm all of it returns \
                unless it is confirmed. As a program it reads its standard input, and does not ask.",
        options: IMPORT_TERMS,
        examples: &[
            "config import",
            "config import --confirm 2m",
            "config import --disk --dry-run",
        ],
        ..LEAF
    },
    Command {
        name: "confirm",
        action: Action::ConfigConfirm,
        summary: "keep the configuration that is PENDING",
        about: "It becomes lb.toml, and is there after a restart.",
        options: JSON_ONLY,
        examples: &["config confirm"],
        ..LEAF
    },
    Command {
        name: "abort",
        action: Action::ConfigAbort,
        summary: "return at once from the configuration that is PENDING",
        about: "The former configuration is in force again. The text that is given up is kept as /config/lb.returned.toml; \
                `config show returned` shows it, `config rollback returned` puts it back.",
        options: JSON_ONLY,
        examples: &["config abort"],
        ..LEAF
    },
    Command {
        name: "history",
        action: Action::ConfigHistory,
        summary: "the last 32 configurations that were applied",
        about: "The newest first: its number, when (UTC, by the appliance's clock), who, and why. `*` marks the one that \
                is in force. The same text twice in a row is one entry.",
        options: JSON_ONLY,
        examples: &["config history"],
        ..LEAF
    },
    Command {
        name: "rollback",
        action: Action::ConfigRollback,
        summary: "put configuration N, or the returned one, in force",
        about: "It is validated, written as lb.toml and applied, as if it were put. `config diff N` shows before what it \
                would change. `returned` stands for the one that was given up last.",
        arguments: &[Argument {
            needed: true,
            ..NUMBER
        }],
        options: TERMS,
        examples: &["config rollback 12", "config rollback returned --confirm 2m"],
        ..LEAF
    },
    Command {
        name: "files",
        action: Action::ConfigFiles,
        summary: "the files beside lb.toml, and what names them",
        about: "Each with its size, when it was written (UTC, by the appliance's clock), and what uses it: the key and service of lb.toml, and the \
                line; of a file of the appliance's own what it is. `unused` ones may be removed. They come with a seed, an import, or \
                `image/put-config`.",
        options: JSON_ONLY,
        examples: &["config files"],
        ..LEAF
    },
    Command {
        name: "remove",
        action: Action::ConfigRemove,
        summary: "remove a file that nothing uses from /config",
        about: "NAME is one of `config files` that somebody has put there, such as a certificate or a key. One that lb.toml or the configuration in force \
                names is refused, with its place, and so are the appliance's own. It cannot be brought back, so that you are asked; --yes goes \
                without the question. A configuration of the history may still name it.",
        arguments: &[Argument {
            name: "NAME",
            values: Values::Removable,
            many: false,
            needed: true,
        }],
        options: &[YES_CHOICE, JSON_CHOICE],
        examples: &["config remove old-ca.pem"],
        whole: true,
        ..LEAF
    },
];
