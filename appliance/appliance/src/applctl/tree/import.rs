//! The commands below `import`, as data. Must not: carry anything out.

use super::*;

const SOURCE: &[Argument] = &[Argument {
    name: "FILE",
    values: Values::File,
    many: false,
    needed: false,
}];

pub(super) const IMPORT: &[Command] = &[
    Command {
        name: "keepalived",
        action: Action::ImportKeepalived,
        summary: "keepalived.conf as lb.toml; nothing is changed",
        about: "Without FILE, or with `-`, paste the text and type a line that holds one dot. Prints an lb.toml, and then, line by \
                line, what means something else here, what was not taken over, and what needs a decision. Files of an `include` \
                are read from beside FILE; of a pasted text they have to be pasted in their place. The first line of each remark \
                names the line of the source. `config put` takes the lb.toml when it is decided.",
        arguments: SOURCE,
        options: JSON_ONLY,
        examples: &["import keepalived", "import keepalived /config/keepalived.conf"],
        ..LEAF
    },
    Command {
        name: "haproxy",
        action: Action::ImportHaproxy,
        summary: "haproxy.cfg (mode tcp) as lb.toml; nothing is changed",
        about: "As `import keepalived`. Proxies in mode http are refused: requests are not read here. TLS that HAProxy ends has to be \
                ended by the servers, which see the clients' own addresses now, and whose gateway has to be this machine.",
        arguments: SOURCE,
        options: JSON_ONLY,
        examples: &["import haproxy", "import haproxy /config/haproxy.cfg --json"],
        ..LEAF
    },
];
