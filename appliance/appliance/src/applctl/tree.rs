//! The command tree as data. Parsing, help, completion, hints and usage errors are all made from it, so that they cannot
//! disagree. Must not: carry anything out.

/// What a command does once its words are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Status,
    Services,
    CheckNow,
    Drain,
    Undrain,
    Drains,
    Events,
    Checks,
    Doctor,
    Interfaces,
    Gateway,
    Connections,
    Link,
    Capture,
    Arp,
    Route,
    Probe,
    Ping,
    Trace,
    Top,
    Log,
    ConfigShow,
    ConfigCheck,
    ConfigEdit,
    ConfigSet,
    ConfigAdd,
    ConfigDelete,
    ConfigPut,
    ConfigExport,
    ConfigImport,
    ConfigApply,
    ImportKeepalived,
    ImportHaproxy,
    Explain,
    ConfigConfirm,
    ConfigAbort,
    ConfigDiff,
    ConfigHistory,
    ConfigFiles,
    ConfigRemove,
    ConfigRollback,
    SupportBundle,
    Version,
    Reboot,
    PowerOff,
    FactoryReset,
    ConsolePassword,
    ConsoleIdle,
    ConsoleLock,
    Setup,
    Help,
    Clear,
    Resize,
    Exit,
    /// Only a prefix of other commands.
    Group,
}

#[derive(Debug)]
pub struct Command {
    pub name: &'static str,
    pub action: Action,
    /// One line, without a full stop.
    pub summary: &'static str,
    /// Paragraphs; empty where the summary says it all.
    pub about: &'static str,
    pub arguments: &'static [Argument],
    pub options: &'static [Choice],
    pub examples: &'static [&'static str],
    pub children: &'static [Command],
    /// Must be written out: what cannot be undone has no abbreviation.
    pub whole: bool,
    /// Left out of lists.
    pub hidden: bool,
}

#[derive(Debug, Clone, Copy)]
pub struct Argument {
    pub name: &'static str,
    pub values: Values,
    /// May be given more than once.
    pub many: bool,
    /// The command means nothing without it.
    pub needed: bool,
}

/// Where the possible values of an argument come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// Names of services, known to the agent.
    Services,
    /// Servers of services, and their addresses.
    Servers,
    /// Both.
    Known,
    /// Keys of lb.toml.
    Keys,
    /// What lb.toml holds: `virtual_server.nginx.scheduler`.
    Path,
    /// What the key of that path takes.
    Value,
    /// `KEY=VALUE` of a table of that path.
    Assignments,
    /// Names of interfaces.
    Interfaces,
    /// Names of interfaces, and words of a filter.
    Captured,
    /// Services, interfaces and servers.
    Reach,
    /// Services, and types of check.
    Probed,
    /// `KEY=` of a check.
    CheckKeys,
    /// What can be done with the password.
    Password,
    /// `10m`.
    Time,
    /// Words of this tree.
    Commands,
    File,
    /// Files of the config volume that can be removed.
    Removable,
    /// Texts that are kept: numbers of the history, and words.
    Kept,
}

impl Values {
    /// Whether one of them may need quotes.
    pub fn may_have_blanks(self) -> bool {
        use Values::{Captured, Commands, Interfaces, Kept, Password, Servers, Time};
        !matches!(
            self,
            Captured | Commands | Interfaces | Kept | Password | Servers | Time
        )
    }
}

/// An option of a command.
#[derive(Debug)]
pub struct Choice {
    pub name: &'static str,
    pub summary: &'static str,
    pub takes: Takes,
}

/// What stands behind an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// It is a plain switch.
    Nothing,
    /// From, to, and what it counts, which may stand behind it: `2s`. Empty: nothing may.
    Number(u64, u64, &'static str),
    /// With its unit, from and to these many seconds: `2m`.
    Time(u64, u64),
    /// Words, in quotes if there are several.
    Text,
}

impl Takes {
    /// As it is shown behind the option; empty for a plain switch.
    pub fn word(self) -> &'static str {
        match self {
            Takes::Nothing => "",
            Takes::Number(..) => " N",
            Takes::Time(..) => " TIME",
            Takes::Text => " TEXT",
        }
    }
}

pub const JSON: &str = "--json";
pub const LIMIT: &str = "--limit";
pub const LAST: &str = "--last";
pub const FOLLOW: &str = "--follow";
pub const ALL: &str = "--all";
pub const RATE: &str = "--rate";
pub const TRAFFIC: &str = "--traffic";
pub const INTERVAL: &str = "--interval";
pub const COUNT: &str = "--count";
pub const SIZE: &str = "--size";
pub const KEEP_IDENTITY: &str = "--keep-identity";
pub const PORT: &str = "--port";
pub const ONCE: &str = "--once";
pub const DRY_RUN: &str = "--dry-run";
pub const YES: &str = "--yes";
pub const CONFIRM: &str = "--confirm";
pub const LIST: &str = "--list";
pub const SECONDS: &str = "--seconds";
pub const PCAP: &str = "--pcap";
pub const WHOLE: &str = "--whole";
pub const COMMENT: &str = "--comment";
pub const WITHOUT_KEYS: &str = "--without-keys";
pub const WITHOUT_REHEARSAL: &str = "--without-rehearsal";
pub const DISK: &str = "--disk";

const JSON_CHOICE: Choice = Choice {
    name: JSON,
    summary: "print one JSON document and nothing else",
    takes: Takes::Nothing,
};
const JSON_ONLY: &[Choice] = &[JSON_CHOICE];
const RATE_AND_JSON: &[Choice] = &[
    Choice {
        name: RATE,
        summary: "read the counters twice, 1 s apart, and show the rates",
        takes: Takes::Nothing,
    },
    JSON_CHOICE,
];

/// Lines that `log` shows without `--last`.
pub const LAST_DEFAULT: u64 = 50;
/// Connections that `connections` lists without `--limit`.
pub const LIMIT_DEFAULT: u64 = 50;
/// Events that `events` shows without `--last`.
pub const EVENTS_DEFAULT: u64 = 30;

/// A leaf without arguments or options, to be filled in.
const LEAF: Command = Command {
    name: "",
    action: Action::Group,
    summary: "",
    about: "",
    arguments: &[],
    options: &[],
    examples: &[],
    children: &[],
    whole: false,
    hidden: false,
};

mod commands;
mod console;
mod import;
mod purposes;
mod reach;

pub use purposes::{PURPOSES, Purpose};

/// The root's children are the commands.
pub static ROOT: Command = Command {
    children: commands::COMMANDS,
    ..LEAF
};

impl Command {
    /// The command that these words name, written out.
    pub fn child(&self, name: &str) -> Option<&'static Command> {
        self.children().iter().find(|c| c.name == name)
    }

    /// The children that `word` can stand for: the one with that name, or all that it abbreviates.
    pub fn matching(&self, word: &str) -> Vec<&'static Command> {
        match self.child(word) {
            Some(exact) => vec![exact],
            None => self
                .children()
                .iter()
                .filter(|c| !c.whole && !word.is_empty() && c.name.starts_with(word))
                .collect(),
        }
    }

    pub fn visible(&self) -> impl Iterator<Item = &'static Command> + use<> {
        self.children().iter().filter(|c| !c.hidden)
    }

    /// The tree is constant, so its branches outlive every borrow of a command.
    fn children(&self) -> &'static [Command] {
        self.children
    }

    pub fn choice(&self, name: &str) -> Option<&'static Choice> {
        self.options.iter().find(|o| o.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(command: &Command, seen: &mut dyn FnMut(&Command)) {
        for child in command.children {
            seen(child);
            walk(child, seen);
        }
    }

    #[test]
    fn every_command_is_described() {
        walk(&ROOT, &mut |c| {
            assert!(!c.name.is_empty() && !c.summary.is_empty(), "{c:?}");
            assert!(c.summary.len() <= 64, "{} does not fit the list", c.summary);
            assert!(!c.summary.ends_with('.'));
            assert_eq!(c.action == Action::Group, !c.children.is_empty(), "{}", c.name);
            assert!(
                c.hidden || c.action == Action::Group || !c.examples.is_empty(),
                "{}",
                c.name
            );
        });
    }

    #[test]
    fn reading_commands_offer_json() {
        walk(&ROOT, &mut |c| {
            let local = matches!(
                c.action,
                Action::Group
                    | Action::Reboot
                    | Action::PowerOff
                    | Action::FactoryReset
                    | Action::Setup
                    | Action::ConsoleLock
                    | Action::ConfigEdit
                    | Action::Help
                    | Action::Clear
                    | Action::Resize
                    | Action::Exit
            );
            assert_eq!(c.choice(JSON).is_some(), !local, "{}", c.name);
        });
    }

    #[test]
    fn abbreviations_stop_short_of_what_cannot_be_undone() {
        assert_eq!(ROOT.matching("serv")[0].name, "services");
        assert_eq!(ROOT.matching("con").len(), 3);
        assert!(ROOT.matching("power").is_empty());
        assert!(ROOT.matching("re").iter().all(|c| c.name == "resize"));
        assert_eq!(ROOT.matching("reboot").len(), 1);
        assert!(ROOT.matching("").is_empty());
    }
}
