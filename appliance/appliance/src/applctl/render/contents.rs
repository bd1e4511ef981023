//! What is in a bundle, as a table. Must not: know where it came from.

use super::table::{Cell, heads, line, widths};
use super::text::{Screen, wrap};
use super::units::bytes;

/// Names, what they are, and bytes.
pub fn contents(files: &[(&str, &str, usize)], screen: &Screen) -> String {
    let rows: Vec<Vec<Cell>> = files
        .iter()
        .map(|(name, _, length)| vec![Cell::plain(*name), Cell::right(bytes(*length as u64))])
        .collect();
    let Some(first) = rows.first() else {
        return String::new();
    };
    let heads = heads(&["FILE", "SIZE"], first);
    let columns = widths(rows.iter().map(Vec::as_slice).chain([heads.as_slice()]));
    let indent: usize = columns.iter().sum::<usize>() + 2 * columns.len();
    let mut text = format!("{}\n", line(&heads, &columns, screen).trim_end());
    for (row, (_, about, _)) in rows.iter().zip(files) {
        let about = wrap(about, screen.width.saturating_sub(indent), indent);
        text.push_str(&format!("{}  {about}\n", line(row, &columns, screen)));
    }
    let all: usize = files.iter().map(|(_, _, length)| length).sum();
    let sentence = format!(
        "{} before they are compressed. Secrets of lb.toml are left out of all of them; `support-bundle` sends them.",
        bytes(all as u64)
    );
    text + &format!("\n{}\n", wrap(&sentence, screen.width, 0))
}
