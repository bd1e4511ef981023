//! What commands are for: the headings of `help`, which are those of the tables in docs/guide.md, section "The console".
//! Must not: describe a command.

/// A heading, and the commands below it.
#[derive(Debug)]
pub struct Purpose {
    pub heading: &'static str,
    pub commands: &'static [&'static str],
}

pub const PURPOSES: &[Purpose] = &[
    Purpose {
        heading: "What is there",
        commands: &[
            "status",
            "services",
            "checks",
            "check-now",
            "events",
            "interfaces",
            "gateway",
            "connections",
            "top",
            "doctor",
            "log",
            "version",
        ],
    },
    Purpose {
        heading: "Servers set aside",
        commands: &["drain", "undrain", "drains"],
    },
    Purpose {
        heading: "The configuration",
        commands: &["setup", "config", "import"],
    },
    Purpose {
        heading: "The network",
        commands: &[
            "explain", "probe", "ping", "trace", "route", "arp", "link", "capture",
        ],
    },
    Purpose {
        heading: "The machine",
        commands: &[
            "support-bundle",
            "console",
            "reboot",
            "poweroff",
            "factory-reset",
            "resize",
            "clear",
            "help",
        ],
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::super::ROOT;
    use super::*;

    #[test]
    fn each_visible_command_has_one_purpose() {
        let mut listed: Vec<&str> = PURPOSES
            .iter()
            .flat_map(|purpose| purpose.commands)
            .copied()
            .collect();
        let mut visible: Vec<&str> = ROOT.visible().map(|command| command.name).collect();
        listed.sort_unstable();
        visible.sort_unstable();
        assert_eq!(listed, visible);
    }

    /// The first words of the commands that a table names in its first column.
    fn named(table: &str) -> BTreeSet<&str> {
        let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
        let cells = rows.filter_map(|row| row.split(" | ").next());
        let quoted = cells.flat_map(|cell| cell.split("`, `"));
        quoted
            .map(|usage| {
                usage
                    .trim_matches('`')
                    .split([' ', '`'])
                    .next()
                    .unwrap_or_default()
            })
            .collect()
    }

    #[test]
    fn the_guide_has_the_same_tables() {
        let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide.md");
        let guide = std::fs::read_to_string(guide).unwrap();
        let section = guide.split_once("\n## The console\n").unwrap().1;
        for Purpose { heading, commands } in PURPOSES {
            let begin = format!("\n{heading}");
            let table = section
                .split_once(&begin)
                .unwrap_or_else(|| panic!("no {heading}"))
                .1;
            let table = table.split("\n\n").nth(1).unwrap();
            let expected: BTreeSet<&str> = commands.iter().copied().collect();
            let mut named = named(table);
            // It tells of keys as well as of packets, so that the guide has it twice.
            if *heading == "The configuration" {
                assert!(named.remove("explain"));
            }
            assert_eq!(named, expected, "{heading}");
        }
    }
}
