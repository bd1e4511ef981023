//! Remarks on what was imported, as a numbered list. Must not: show the lb.toml that was made; that is not wrapped.

use lb_core::import::{Imported, Severity};

use super::text::{Screen, Tone, clean, wrap};

pub fn import(imported: &Imported, screen: &Screen) -> String {
    let mut text = String::new();
    let digits = imported.remarks.len().to_string().len();
    for (index, remark) in imported.remarks.iter().enumerate() {
        let tone = match remark.severity {
            Severity::Fault => Tone::Bad,
            Severity::NotTakenOver => Tone::Doubtful,
            Severity::Differs => Tone::Plain,
        };
        let number = format!("{:>digits$}. ", index + 1);
        let place = match remark.line {
            Some(line) => format!("{} line {line}", remark.file),
            None => remark.file.clone(),
        };
        let sentence = clean(&format!("{place}: {}: {}", remark.severity, remark.message)).into_owned();
        let indent = number.len();
        let lines = wrap(&sentence, screen.width.saturating_sub(indent), indent);
        text.push_str(&format!("{}{lines}\n", screen.paint(tone, &number)));
    }
    text
}
