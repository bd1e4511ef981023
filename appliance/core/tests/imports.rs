//! Every file of tests/configs/import: what becomes of it is the lb.toml and the remarks beside it, and that lb.toml has no
//! faults. UPDATE_GOLDEN=1 writes both anew; read the difference before it is committed.

use std::fs;
use std::path::{Path, PathBuf};

use lb_core::config;
use lb_core::import::{self, Imported, Included};

fn directory(program: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/configs/import")
        .join(program)
}

fn with_extension(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|ext| ext == extension));
    files.sort();
    files
}

fn included(directory: &Path, pattern: &str) -> Vec<Included> {
    let (inner, pattern) = pattern.rsplit_once('/').unwrap_or(("", pattern));
    let Ok(entries) = fs::read_dir(directory.join(inner)) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .flatten()
        .map(|e| e.file_name().into_string().expect("names are ASCII"))
        .collect();
    names.retain(|name| import::matches(pattern, name));
    names.sort();
    let read = |name: String| Included {
        text: fs::read_to_string(directory.join(inner).join(&name)).expect("the file was listed"),
        name: if inner.is_empty() {
            name
        } else {
            format!("{inner}/{name}")
        },
    };
    names.into_iter().map(read).collect()
}

fn imported(program: &str, path: &Path) -> Imported {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .expect("the file was listed");
    let text = fs::read_to_string(path).expect("the file was listed");
    match program {
        "keepalived" => import::keepalived(name, &text, &mut |_, pattern| {
            Some(included(
                path.parent().expect("the file is in a directory"),
                pattern,
            ))
        }),
        _ => import::haproxy(name, &text),
    }
}

fn compare(path: &Path, found: &str, wrong: &mut Vec<String>) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path, found).expect("the repository can be written");
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    if expected != found {
        wrong.push(format!(
            "{}\n--- expected\n{expected}--- found\n{found}",
            path.display()
        ));
    }
}

fn judge(program: &str, extension: &str, least: usize) {
    let files = with_extension(&directory(program), extension);
    assert!(files.len() >= least, "{} files of {program}", files.len());
    let mut wrong = Vec::new();
    for path in files {
        let Imported { toml, remarks } = imported(program, &path);
        if let Err(faults) = config::parse(&toml) {
            wrong.push(format!("{}\n{}", path.display(), faults.render("lb.toml", &toml)));
        }
        let told = remarks
            .iter()
            .any(|remark| remark.message.starts_with("nothing could be produced"));
        assert_eq!(toml.is_empty(), told, "{}", path.display());
        let lines: String = remarks.iter().map(|remark| format!("{remark}\n")).collect();
        compare(&path.with_extension("toml"), &toml, &mut wrong);
        compare(&path.with_extension("remarks"), &lines, &mut wrong);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn keepalived() {
    judge("keepalived", "conf", 20);
}

#[test]
fn haproxy() {
    judge("haproxy", "cfg", 14);
}

#[test]
fn nothing_is_left_over() {
    for (program, extension) in [("keepalived", "conf"), ("haproxy", "cfg")] {
        let directory = directory(program);
        for path in ["toml", "remarks"]
            .iter()
            .flat_map(|ext| with_extension(&directory, ext))
        {
            let source = path.with_extension(extension);
            assert!(source.exists(), "{} has no {}", path.display(), source.display());
        }
    }
}
