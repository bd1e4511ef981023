//! `import`: another balancer's configuration, from a file or pasted, as lb.toml with remarks. Works without the agent, and
//! changes nothing. Must not: understand what is imported.

use std::io::Write;
use std::path::{Path, PathBuf};

use lb_core::import::{self, Imported, Included, Severity};

use super::configure::read_config;
use super::execute::{Context, Verdict};
use super::failure::Failure;
use super::parse::Invocation;
use super::put::{self, Received};
use super::render::{self, some};
use super::tree::Action;

/// A pasted text has no name of its own; files of this kind have these.
const KEEPALIVED: &str = "keepalived.conf";
const HAPROXY: &str = "haproxy.cfg";
/// In the place of a file: the text is pasted.
const PASTE: &str = "-";

pub fn run(invocation: &Invocation, context: &mut Context<'_>) -> Result<Verdict, Failure> {
    let file = invocation.arguments.first().filter(|file| *file != PASTE);
    let bytes = match file {
        Some(file) => read_config(Path::new(file))?,
        None => pasted(invocation.json(), context)?,
    };
    let text = String::from_utf8_lossy(&bytes);
    let name = |usual: &str| {
        let name = file.and_then(|file| Path::new(file).file_name());
        name.map_or_else(|| usual.to_owned(), |name| name.to_string_lossy().into_owned())
    };
    let imported = match invocation.command.action {
        Action::ImportHaproxy => import::haproxy(&name(HAPROXY), &text),
        _ => {
            let name = name(KEEPALIVED);
            let home = file.map(|file| Path::new(file).parent().unwrap_or(Path::new("")).to_owned());
            import::keepalived(&name, &text, &mut |from, pattern| {
                let home = home.as_ref()?;
                let place = if from == name {
                    home.clone()
                } else {
                    directory_of(Path::new(from))
                };
                Some(included(&place, pattern))
            })
        }
    };
    show(&imported, invocation.json(), context)?;
    Ok(if imported.toml.is_empty() {
        Verdict::Bad
    } else {
        Verdict::Good
    })
}

fn pasted(json: bool, context: &mut Context<'_>) -> Result<Vec<u8>, Failure> {
    let say: Option<&mut dyn Write> = if json { None } else { Some(&mut *context.remarks) };
    match put::receive(put::CONFIGURATION, context.input, context.interrupt, say)
        .map_err(Failure::Terminal)?
    {
        Received::Text(text) => Ok(text),
        Received::TooLong(bytes) => Err(Failure::TooLong(bytes)),
        Received::GivenUp => Err(Failure::GivenUp),
    }
}

fn directory_of(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).to_owned()
}

/// The files that fit to a pattern, in the order of their names; only the last part of a path may have `*` and `?`.
fn included(place: &Path, pattern: &str) -> Vec<Included> {
    let path = place.join(pattern);
    let (directory, pattern) = match path.file_name() {
        Some(name) => (directory_of(&path), name.to_string_lossy().into_owned()),
        None => return Vec::new(),
    };
    let directory = if directory.as_os_str().is_empty() {
        PathBuf::from(".")
    } else {
        directory
    };
    let Ok(entries) = std::fs::read_dir(&directory) else {
        return Vec::new();
    };
    let names = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| import::matches(&pattern, name)).collect();
    names.sort();
    let read = |name: String| {
        let path = directory.join(name);
        let bytes = read_config(&path).ok()?;
        Some(Included {
            name: path.display().to_string(),
            text: String::from_utf8_lossy(&bytes).into_owned(),
        })
    };
    names.into_iter().filter_map(read).collect()
}

/// The text, and then what there is to say of it: on a terminal both, one after the other.
fn show(imported: &Imported, json: bool, context: &mut Context<'_>) -> Result<(), Failure> {
    if json {
        return context.print_json(imported).map(drop);
    }
    context.print(&imported.toml)?;
    let remarks = render::import(imported, &context.screen);
    let decide = imported
        .remarks
        .iter()
        .filter(|remark| remark.severity == Severity::Fault)
        .count();
    let end = match imported.toml.is_empty() {
        true => String::new(),
        false => format!(
            "{} asked for. Nothing was changed; `config put` takes the file.\n",
            some(decide, "decision")
        ),
    };
    let gap = if context.terminal && !imported.toml.is_empty() {
        "\n"
    } else {
        ""
    };
    context
        .remarks
        .write_all(format!("{gap}{remarks}{end}").as_bytes())
        .and_then(|()| context.remarks.flush())
        .map_err(Failure::Output)
}
