//! The commands, as data. Must not: carry anything out.

mod config;

use super::*;

const SERVER: Argument = Argument {
    name: "SERVER",
    values: Values::Servers,
    many: false,
    needed: true,
};
const NAME: Argument = Argument {
    name: "NAME",
    values: Values::Services,
    many: false,
    needed: false,
};
const SERVICE: Argument = Argument {
    name: "SERVICE",
    values: Values::Services,
    many: false,
    needed: false,
};

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "status",
        action: Action::Status,
        summary: "what is wrong, if anything, and what is in force",
        about: "Problems come first, each with its remedy. Then the configuration in force, the services, what the \
                kernel holds, the agent and how the machine booted.",
        options: JSON_ONLY,
        examples: &["status", "status --json"],
        ..LEAF
    },
    Command {
        name: "services",
        action: Action::Services,
        summary: "each service and its servers: health, weight, connections",
        about: "HEALTH is `up` or `down` by the checks, `unproven` before the first check has ended, and \
                `cannot-check` when the check could not be made at all (our own link is down). FOR is how long that \
                has been so. WEIGHT is the one that the kernel uses now; `0/1` means that 1 is configured. \
                Connections, packets and bytes are counted since the service or the server was added to the kernel's \
                table, IN from clients and OUT to them; k, M and G are thousands, millions and so on.",
        arguments: &[NAME],
        options: &[
            Choice {
                name: TRAFFIC,
                summary: "show what each server has counted, instead of its check",
                takes: Takes::Nothing,
            },
            Choice {
                name: RATE,
                summary: "read the counters twice, 4 s apart, and show the rates",
                takes: Takes::Nothing,
            },
            JSON_CHOICE,
        ],
        examples: &["services", "services nginx --traffic", "services --rate --json"],
        ..LEAF
    },
    Command {
        name: "checks",
        action: Action::Checks,
        summary: "what is checked, how, how often, and for whom",
        about: "Servers of several services that are checked in the same way at the same place are one target, with one check \
                for all of them. EVERY is the `interval`. The line below says what the last check found, when the next one \
                comes, and for which servers it speaks.",
        arguments: &[NAME],
        options: JSON_ONLY,
        examples: &["checks", "checks nginx"],
        ..LEAF
    },
    Command {
        name: "check-now",
        action: Action::CheckNow,
        summary: "check the servers now, and show what was found",
        about: "Does not wait for the turn of each server. It counts like any check: a server that is down needs as many \
                that pass as ever. What has not ended after 10 s is shown as it was before.",
        arguments: &[NAME],
        options: JSON_ONLY,
        examples: &["check-now", "check-now nginx"],
        ..LEAF
    },
    Command {
        name: "drain",
        action: Action::Drain,
        summary: "set a server aside: no new connections, it keeps those it has",
        about: "SERVER is ADDRESS:PORT as in lb.toml, or ADDRESS for all servers of a machine. With SERVICE it is set aside in \
                that service, otherwise in all. It lasts until `undrain`, also over a reboot. `drains` shows how many \
                connections are left, and when the last one will have ended at this pace. A server that is set aside is \
                checked as ever, and never serves as the last resort. At a terminal you are asked first where a service would have \
                no server left that is up; --yes goes without the question.",
        arguments: &[SERVER, SERVICE],
        options: &[
            Choice {
                name: YES,
                summary: "do not ask, also for the last server that is up",
                takes: Takes::Nothing,
            },
            JSON_CHOICE,
        ],
        examples: &["drain 172.16.0.11", "drain 172.16.0.11:30080 nginx"],
        ..LEAF
    },
    Command {
        name: "undrain",
        action: Action::Undrain,
        summary: "take a `drain` back",
        about: "The words are those of the `drain` that is taken back; `drains` lists them. The ADDRESS is enough where one drain is of it; \
                where several are, they are listed.",
        arguments: &[SERVER, SERVICE],
        options: JSON_ONLY,
        examples: &["undrain 172.16.0.11", "undrain 172.16.0.11:30080 nginx"],
        ..LEAF
    },
    Command {
        name: "drains",
        action: Action::Drains,
        summary: "what is set aside, and how many connections it still has",
        options: JSON_ONLY,
        examples: &["drains"],
        ..LEAF
    },
    Command {
        name: "doctor",
        action: Action::Doctor,
        summary: "whether clients' addresses survive, and what to do if not",
        about: "Looks at each service, or at NAME: whether servers' answers come back through the lb (servers that are up are \
                sent a SYN from an address that nobody has, which is taken back at once), whether another machine \
                answers for a service's address (it asks the wire, which takes half a second each, for eight addresses at \
                most), whether a masquerade, the lb itself or a node may hide clients, and at timeouts and filters that \
                have to agree. What cannot be seen from here is said to be unknown. Nothing is changed.",
        arguments: &[NAME],
        options: JSON_ONLY,
        examples: &["doctor", "doctor nginx"],
        ..LEAF
    },
    Command {
        name: "events",
        action: Action::Events,
        summary: "what has happened to servers, services and links, and why",
        about: "The last N (30) events, or those that name a service or server: who went up or down and for what reason, whose \
                turn it was, what was set aside, links that lost their carrier, new configurations. The last 1,000 are kept, \
                also over reboots; a power cut may cost the last seconds. Times are UTC, by the appliance's clock.",
        arguments: &[Argument {
            name: "NAME",
            values: Values::Known,
            many: false,
            needed: false,
        }],
        options: &[
            Choice {
                name: LAST,
                summary: "so many",
                takes: Takes::Number(1, 1_000, ""),
            },
            JSON_CHOICE,
        ],
        examples: &["events", "events nginx", "events 172.16.0.11 --last 100"],
        ..LEAF
    },
    Command {
        name: "interfaces",
        action: Action::Interfaces,
        summary: "links, their addresses and counters",
        about: "Links that lb.toml does not name are listed too, without a name of the file.",
        options: RATE_AND_JSON,
        examples: &["interfaces", "interfaces --rate"],
        ..LEAF
    },
    Command {
        name: "gateway",
        action: Action::Gateway,
        summary: "forwarding, masquerade, routes and connection tracking",
        about: "Connections are counted since the rules were last loaded, what was dropped since the machine started.",
        options: RATE_AND_JSON,
        examples: &["gateway", "gateway --rate"],
        ..LEAF
    },
    Command {
        name: "connections",
        action: Action::Connections,
        summary: "connections that the kernel balances now",
        options: &[
            Choice {
                name: LIMIT,
                summary: "list at most N (default 50)",
                takes: Takes::Number(0, 1_000_000, ""),
            },
            JSON_CHOICE,
        ],
        examples: &["connections", "connections --limit 1000 --json"],
        ..LEAF
    },
    reach::LINK,
    reach::ARP,
    reach::ROUTE,
    reach::PROBE,
    reach::PING,
    reach::TRACE,
    reach::CAPTURE,
    Command {
        name: "top",
        action: Action::Top,
        summary: "a live view of how busy services, links and the machine are",
        about: "q or Ctrl-C leaves. Arrows and pages move the marker, Enter shows the servers of the service under it, \
                Esc goes back. c, p, i, o, a and n sort by new connections, packets, bytes in, bytes out, active \
                connections or name. + and - change the pace, Ctrl-L draws the screen anew. Rates of services are the \
                average of four seconds at least, because the kernel adds its counters up every two; `-` is a rate that \
                is not known yet. With --once, --count or --json, or into a pipe, it prints instead, first when rates are \
                known; of several JSON documents each is one line.",
        arguments: &[NAME],
        options: &[
            Choice {
                name: INTERVAL,
                summary: "seconds between two readings (default 2s)",
                takes: Takes::Number(1, 3_600, "s"),
            },
            Choice {
                name: COUNT,
                summary: "print N times, once per interval, then end",
                takes: Takes::Number(1, 1_000_000, ""),
            },
            Choice {
                name: ONCE,
                summary: "print one text and end",
                takes: Takes::Nothing,
            },
            JSON_CHOICE,
        ],
        examples: &[
            "top",
            "top nginx",
            "top --once",
            "top --json --interval 1s --count 60",
        ],
        ..LEAF
    },
    Command {
        name: "log",
        action: Action::Log,
        summary: "messages of the appliance and warnings of the kernel",
        about: "Read from the kernel's log, so it works without the agent. Times are UTC. Kernel messages below \
                `warning` are shown with --all only.",
        options: &[
            Choice {
                name: FOLLOW,
                summary: "go on with new messages until Ctrl-C",
                takes: Takes::Nothing,
            },
            Choice {
                name: LAST,
                summary: "show the last N messages (default 50)",
                takes: Takes::Number(0, 1_000_000, ""),
            },
            Choice {
                name: ALL,
                summary: "show every message of the kernel",
                takes: Takes::Nothing,
            },
            JSON_CHOICE,
        ],
        examples: &["log", "log --last 200", "log --follow --last 0"],
        ..LEAF
    },
    Command {
        name: "config",
        summary: "show, check, replace or apply lb.toml",
        children: config::CONFIG,
        ..LEAF
    },
    Command {
        name: "console",
        summary: "the password of the consoles, and when they lock",
        children: console::CONSOLE,
        ..LEAF
    },
    Command {
        name: "import",
        summary: "another balancer's configuration as lb.toml",
        children: import::IMPORT,
        ..LEAF
    },
    Command {
        name: "explain",
        action: Action::Explain,
        summary: "what a key of lb.toml means, or what becomes of a packet",
        about: "KEY is the path of a key or table, such as `virtual_server.check.interval`, or the end of one, such as \
                `interval`: of several, all are listed. keepalived's words are known too. Without KEY the tables are listed. It \
                works without the agent. ADDRESS:PORT or ADDRESS:PORT/PROTOCOL in its place is the first packet of a new connection \
                from CLIENT, or from somebody beyond all networks of lb.toml: which rule lets it in or drops it, which service it \
                meets, which servers may be chosen and why others may not, whose address they see, and the way out. It sends nothing.",
        arguments: &[
            Argument {
                name: "KEY|ADDRESS:PORT",
                values: Values::Keys,
                many: false,
                needed: false,
            },
            Argument {
                name: "CLIENT",
                values: Values::Servers,
                many: false,
                needed: false,
            },
        ],
        options: JSON_ONLY,
        examples: &[
            "explain",
            "explain interval",
            "explain virtual_server.persistence",
            "explain 192.168.0.1:30080",
            "explain 172.16.0.11:53/udp 192.168.0.10",
        ],
        ..LEAF
    },
    Command {
        name: "support-bundle",
        action: Action::SupportBundle,
        summary: "all that somebody who helps needs, as one archive",
        about: "Status, services, checks, doctor, events, log, interfaces, counters, the configuration and its history list, the \
                kernel's rules, IPVS table, settings, neighbours and routes, as a .tar.gz. It comes as base64 between two lines, \
                1 MiB at most, with its SHA-256 and the command that turns it back; --disk writes it to the disk labelled LBSEED instead. Secrets are left out: values of `headers`, \
                `send` and `client_key`, private keys, hashes of passwords, and all comments of lb.toml. It does show addresses, \
                names and what your network looks like. It works without the agent, with less in it. Ctrl-C ends it.",
        options: &[
            Choice {
                name: LIST,
                summary: "show what would be in it, and send nothing",
                takes: Takes::Nothing,
            },
            Choice {
                name: DISK,
                summary: "write it to the disk labelled LBSEED",
                takes: Takes::Nothing,
            },
            JSON_CHOICE,
        ],
        examples: &["support-bundle", "support-bundle --disk", "support-bundle --list"],
        ..LEAF
    },
    Command {
        name: "version",
        action: Action::Version,
        summary: "versions of the appliance and its kernel, and the slot",
        options: JSON_ONLY,
        examples: &["version"],
        ..LEAF
    },
    Command {
        name: "reboot",
        action: Action::Reboot,
        summary: "restart the machine",
        about: "The agent is stopped, /config is unmounted and the machine restarts. Connections through the \
                appliance are interrupted. At a terminal you are asked first. There is no abbreviation.",
        options: &[config::YES_CHOICE],
        examples: &["reboot", "reboot --yes"],
        whole: true,
        ..LEAF
    },
    Command {
        name: "poweroff",
        action: Action::PowerOff,
        summary: "switch the machine off",
        about: "As `reboot`, but the machine stays off. There is no abbreviation.",
        options: &[config::YES_CHOICE],
        examples: &["poweroff", "poweroff --yes"],
        whole: true,
        ..LEAF
    },
    Command {
        name: "setup",
        action: Action::Setup,
        summary: "asks for a first configuration, step by step",
        about: "Interfaces, addresses, the gateway and a first service: a few questions, each judged as it is answered. `back` goes to the question \
                before. At the end it shows lb.toml and what it changes, and puts it in force after a `yes`. All else is for `config edit` and \
                `config set`.",
        examples: &["setup"],
        whole: true,
        ..LEAF
    },
    Command {
        name: "factory-reset",
        action: Action::FactoryReset,
        summary: "delete what /config holds and restart as new; asks first",
        about: "Deletes lb.toml, the history, what is set aside, the events, certificates and keys, and the copy outside the \
                config volume, after the word `reset` was typed, and restarts the machine. It comes back without a configuration, or with the one \
                of a seed. After a power cut in the middle the next boot goes on. There is no abbreviation.",
        options: &[Choice {
            name: KEEP_IDENTITY,
            summary: "certificates and keys stay",
            takes: Takes::Nothing,
        }],
        examples: &["factory-reset", "factory-reset --keep-identity"],
        whole: true,
        ..LEAF
    },
    Command {
        name: "resize",
        action: Action::Resize,
        summary: "ask the terminal for its size",
        about: "A serial line does not tell when the window changes. This asks the terminal; one that does not \
                answer is taken as 80 columns and 24 lines.",
        examples: &["resize"],
        ..LEAF
    },
    Command {
        name: "clear",
        action: Action::Clear,
        summary: "clear the screen",
        examples: &["clear"],
        ..LEAF
    },
    Command {
        name: "help",
        action: Action::Help,
        summary: "this list, or all about one command",
        arguments: &[Argument {
            name: "COMMAND",
            values: Values::Commands,
            many: true,
            needed: false,
        }],
        examples: &["help", "help config put"],
        ..LEAF
    },
    Command {
        name: "exit",
        action: Action::Exit,
        summary: "leave",
        whole: true,
        hidden: true,
        ..LEAF
    },
    Command {
        name: "quit",
        action: Action::Exit,
        summary: "leave",
        whole: true,
        hidden: true,
        ..LEAF
    },
    Command {
        name: "logout",
        action: Action::Exit,
        summary: "leave",
        whole: true,
        hidden: true,
        ..LEAF
    },
];
