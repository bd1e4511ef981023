//! The files of the config volume as a table. Must not: know which may be removed.

use lb_core::control::{FileReport, FilesReport};
use lb_core::date;

use super::table::{Cell, heads, line, total, widths};
use super::text::{Screen, Tone, bullets, clean, wrap};
use super::units::bytes;

pub fn files(report: &FilesReport, screen: &Screen) -> String {
    let mut text = report.removed.as_ref().map_or(String::new(), |name| {
        let sentence = format!("{} is removed, and stays so after a power cut.", clean(name));
        format!("{}\n", wrap(&sentence, screen.width, 0))
    });
    text.push_str(&table(&report.files, screen));
    text.push_str(&bullets(&report.problems, Tone::Doubtful, screen));
    text
}

fn table(files: &[FileReport], screen: &Screen) -> String {
    if files.is_empty() {
        return "There is no file on the config volume.\n".to_owned();
    }
    let rows: Vec<Vec<Cell>> = files.iter().map(fields).collect();
    let head = heads(&["NAME", "SIZE", "WRITTEN", "USED BY"], &rows[0]);
    let columns = widths([&head].into_iter().chain(&rows).map(Vec::as_slice));
    // The last column goes on in lines of its own where it is long.
    let before = total(&columns[..3]) + 2;
    if before + 16 > screen.width {
        return files.iter().map(|file| narrow(file, screen)).collect();
    }
    let mut text = format!("{}\n", line(&head, &columns, screen));
    for (file, row) in files.iter().zip(&rows) {
        let short = line(&row[..3], &columns[..3], screen);
        let gap = " ".repeat(before.saturating_sub(total_of(row, &columns)));
        let uses = wrap(&used(file), screen.width - before, before);
        text.push_str(&format!("{short}{gap}{uses}\n"));
    }
    text
}

/// How wide the first three cells are as they stand in the line.
fn total_of(row: &[Cell], columns: &[usize]) -> usize {
    let written = super::text::width(&row[2].text);
    total(&columns[..2]) + 2 + written
}

fn narrow(file: &FileReport, screen: &Screen) -> String {
    let cells = fields(file);
    let sentence = format!(
        "{}: {}, {}, {}",
        cells[0].text,
        cells[1].text,
        cells[2].text,
        used(file)
    );
    format!("{}\n", wrap(&sentence, screen.width, 2))
}

fn fields(file: &FileReport) -> Vec<Cell> {
    let written = file.modified_unix_s.map(|at| date::second(date::of_unix(at)));
    vec![
        Cell::plain(clean(&file.name)),
        Cell::right(bytes(file.bytes)),
        Cell::plain(written.unwrap_or_else(|| "-".to_owned())),
        Cell::plain(""),
    ]
}

fn used(file: &FileReport) -> String {
    match (&file.own, file.used_by.as_slice()) {
        (Some(own), _) => format!("the appliance: {}", clean(own)),
        (None, []) => "unused".to_owned(),
        (None, some) => clean(&some.join("; ")).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, own: Option<&str>, used_by: &[&str]) -> FileReport {
        FileReport {
            name: name.to_owned(),
            bytes: 1_234,
            modified_unix_s: Some(1_795_000_000),
            own: own.map(str::to_owned),
            used_by: used_by.iter().map(|used| (*used).to_owned()).collect(),
        }
    }

    #[test]
    fn each_has_its_use_and_no_line_is_too_wide() {
        let long = [
            "lb.toml: ca of service web (line 12)",
            "lb.toml: ca of service kube-apiserver (line 120)",
        ];
        let report = FilesReport {
            files: vec![
                file("ca.pem", None, &long),
                file("lb.toml", Some("the configuration"), &[]),
                file("old.pem", None, &[]),
            ],
            removed: Some("older.pem".to_owned()),
            problems: vec![],
        };
        for columns in [40, 80, 200] {
            let text = files(&report, &Screen::terminal(columns, false));
            assert!(text.starts_with("older.pem is removed"), "{text}");
            assert!(text.lines().all(|line| line.chars().count() <= columns), "{text}");
            let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
            for part in ["unused", "the appliance: the configuration", "(line 120)"] {
                assert!(flat.contains(part), "{columns}: {text}");
            }
        }
        let text = files(&report, &Screen::terminal(80, false));
        let column = |name: &str, use_: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            line.find(use_).unwrap()
        };
        assert_eq!(column("ca.pem", "lb.toml"), column("old.pem", "unused"));
        assert_eq!(column("NAME", "USED BY"), column("old.pem", "unused"));
    }
}
