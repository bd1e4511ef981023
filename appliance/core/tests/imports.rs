//! Every file of tests/configs/import: what becomes of it is the lb.toml and the remarks beside it, and that lb.toml has no
//! faults. UPDATE_GOLDEN=1 writes both anew; read the difference before it is committed. What real files they stand for is in
//! the table of tests/configs/import/README.md.

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
fn configurations_of_keepalived_become_what_is_beside_them() {
    judge("keepalived", "conf", 40);
}

#[test]
fn configurations_of_haproxy_become_what_is_beside_them() {
    judge("haproxy", "cfg", 27);
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

/// The rows of the table: source, what it has, the input here, what was found.
fn real_ones() -> Vec<Vec<String>> {
    let path = directory("README.md");
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let rows = text.lines().skip_while(|line| !line.starts_with("|---"));
    let rows = rows.skip(1).take_while(|line| line.starts_with('|'));
    let cells = |line: &str| {
        line.trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    rows.map(cells).collect()
}

#[test]
fn real_configurations_have_an_input() {
    let rows = real_ones();
    let mut sources = std::collections::BTreeSet::new();
    for row in &rows {
        let [source, facts, input, found] = row.as_slice() else {
            panic!("a row has four cells: {row:?}");
        };
        assert!(![facts, found].iter().any(|cell| cell.is_empty()), "{row:?}");
        // A page, or a repository with a path or a number in it.
        let in_repository = source
            .split_once(' ')
            .is_some_and(|(name, path)| name.contains('/') && !path.is_empty());
        assert!(source.starts_with("http") || in_repository, "{source}");
        assert!(sources.insert(source), "{source} is there twice");
        let input = input.trim_matches('`');
        let path = directory(input);
        let kind = path.extension().and_then(|extension| extension.to_str());
        assert!(matches!(kind, Some("conf" | "cfg")), "{input} is no input");
        for path in [
            path.clone(),
            path.with_extension("toml"),
            path.with_extension("remarks"),
        ] {
            assert!(path.is_file(), "{} of {source} is missing", path.display());
        }
    }
    for program in ["`keepalived/", "`haproxy/"] {
        let count = rows.iter().filter(|row| row[2].starts_with(program)).count();
        assert!(count >= 15, "{count} for {program}");
    }
    assert!(rows.len() >= 30, "{} real configurations", rows.len());
}
