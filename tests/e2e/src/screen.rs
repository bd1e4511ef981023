//! What the serial line's screen shows: parts of it, and screens that are kept as golden texts in `screens/STORY/NAME.txt`. There each row is a line, as
//! a person sees it, and what no two runs have in common is marked ([`marks`]). UPDATE_GOLDEN=1 writes anew those that differ; the difference is then to be read.
//! Must not: know what is meant to be there.

mod marks;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lb_lab::vm::Console;
use lb_lab::{LabError, Result};
use similar::{ChangeTag, TextDiff};

/// A screen that does not change for so long is finished, unless the golden text says something else.
const STILL: Duration = Duration::from_millis(400);
/// The same when there is nothing to compare with: an emulated machine may pause in the middle of a screen.
const STILL_ANEW: Duration = Duration::from_secs(3);
/// For the screen to become what it is to be.
const LIMIT: Duration = Duration::from_secs(30);

/// From the last line on that begins so.
pub fn since<'s>(screen: &'s str, beginning: &str) -> &'s str {
    find(screen, beginning).unwrap_or(screen)
}

fn find<'s>(screen: &'s str, beginning: &str) -> Option<&'s str> {
    let starts = screen
        .match_indices(beginning)
        .map(|(at, _)| at)
        .filter(|at| *at == 0 || screen[..*at].ends_with('\n'));
    starts.last().map(|at| &screen[at..])
}

/// Waits until the screen, from the last line on that begins so, is the golden text of this name (`STORY/NAME`) and stands still. The whole screen begins with nothing.
pub fn is_as_kept(console: &Console, name: &str, beginning: &str) -> Result<()> {
    let path = place().join(format!("{name}.txt"));
    let golden = read(&path)?;
    let anew = std::env::var_os("UPDATE_GOLDEN").is_some();
    let still = if anew { STILL_ANEW } else { STILL };
    let started = Instant::now();
    loop {
        let screen = console.still_screen(still, LIMIT)?;
        let part = if beginning.is_empty() {
            Some(screen.as_str())
        } else {
            find(&screen, beginning)
        };
        let shown = part.map(|part| marks::set(part) + "\n");
        match &shown {
            Some(shown) if marks::same(shown, &golden) => return Ok(()),
            Some(shown) if anew => return write(&path, shown),
            _ if started.elapsed() > LIMIT => {
                return Err(differs(name, &golden, &shown.unwrap_or(screen), beginning));
            }
            _ => std::thread::sleep(still),
        }
    }
}

/// Where the golden texts are.
fn place() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("screens")
}

/// One that was never written is empty.
fn read(path: &Path) -> Result<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        other => other.map_err(LabError::io(format!("read {}", path.display()))),
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    let directory = path.parent().unwrap_or(path);
    fs::create_dir_all(directory)
        .and_then(|()| fs::write(path, text))
        .map_err(LabError::io(format!("write {}", path.display())))
}

/// Both texts as one: `-` is before a line that was expected and is not there, `+` before one that is there instead.
fn differs(name: &str, golden: &str, shown: &str, beginning: &str) -> LabError {
    let difference = TextDiff::from_lines(golden, shown);
    let lines = difference.iter_all_changes().map(|change| {
        let sign = match change.tag() {
            ChangeTag::Delete => '-',
            ChangeTag::Insert => '+',
            ChangeTag::Equal => ' ',
        };
        format!("{sign} {}\n", change.value().trim_end_matches('\n'))
    });
    let lines: String = lines.collect();
    let part = if beginning.is_empty() {
        String::new()
    } else {
        format!(", from the last line on that begins with `{beginning}`")
    };
    LabError::Unexpected(format!(
        "the screen{part} is not as in tests/e2e/screens/{name}.txt (-), but (+):\n{lines}if that is right, UPDATE_GOLDEN=1 writes the file anew"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_that_begins_so_is_where_it_starts() {
        let screen = "lb> setup\nno\nsay lb> setup\nlb> setup\nyes";
        assert_eq!(since(screen, "lb> setup"), "lb> setup\nyes");
        assert_eq!(since(screen, "say"), "say lb> setup\nlb> setup\nyes");
        assert_eq!(since(screen, "status"), screen);
    }

    #[test]
    fn a_difference_shows_both_texts() {
        let failure = differs("a/b", "one\ntwo\n", "one\nzwei\n", "").to_string();
        let told = "the screen is not as in tests/e2e/screens/a/b.txt (-), but (+):\n  one\n- two\n+ zwei\n";
        assert!(failure.starts_with(told), "{failure}");
        assert!(failure.contains("UPDATE_GOLDEN=1"), "{failure}");
    }

    /// Each golden text, by its name.
    fn kept() -> Vec<(String, String)> {
        let mut all = Vec::new();
        for story in fs::read_dir(place()).unwrap() {
            let story = story.unwrap();
            for screen in fs::read_dir(story.path()).unwrap() {
                let path = screen.unwrap().path();
                let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
                let name = format!("{}/{stem}", story.file_name().to_string_lossy());
                all.push((name, fs::read_to_string(path).unwrap()));
            }
        }
        assert!(!all.is_empty(), "the golden texts are missing");
        all
    }

    /// All that is written in the files of a directory and of those below it.
    fn sources(directory: &Path) -> String {
        let entries = fs::read_dir(directory).unwrap();
        let texts = entries.map(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path)
            } else {
                fs::read_to_string(path).unwrap()
            }
        });
        texts.collect()
    }

    #[test]
    fn every_golden_text_is_looked_at_by_a_story() {
        let stories = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stories"));
        for (name, _) in kept() {
            assert!(
                stories.contains(&format!("\"{name}\"")),
                "no story looks at {name}: remove it"
            );
        }
    }

    #[test]
    fn every_golden_text_is_a_screen_and_says_something() {
        for (name, text) in kept() {
            assert!(
                text.lines().count() <= 24 && text.lines().all(|line| line.chars().count() <= 80),
                "{name}"
            );
            // A hash of the history is a dozen marks, so they may be many; but not more than the letters that are compared.
            let letters = text.chars().filter(|c| c.is_alphanumeric()).count();
            let marks = text.matches('%').count();
            assert!(
                letters > 20 && marks < letters,
                "{name}: {marks} marks and {letters} letters"
            );
        }
    }
}
