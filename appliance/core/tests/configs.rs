//! Every file of tests/configs: the good ones give a configuration, the bad ones exactly the text beside them.
//! UPDATE_GOLDEN=1 writes that text anew; read the difference before it is committed.

use std::fs;
use std::path::{Path, PathBuf};

use lb_core::config::{self, Faults};

fn files(kind: &str) -> Vec<PathBuf> {
    lb_configs::files(kind, "toml").expect("they can be listed")
}

/// What `applctl config check` would show.
fn rendered(path: &Path) -> Result<String, Faults> {
    let bytes = fs::read(path).expect("the file was listed");
    match config::parse_bytes(&bytes) {
        Ok(config) => Ok(config::warnings(&config)
            .iter()
            .map(|w| format!("warning: {w}\n"))
            .collect()),
        Err(faults) => Err(faults),
    }
}

#[test]
fn good_files_are_good() {
    let files = files("good");
    assert!(!files.is_empty());
    for path in files {
        if let Err(faults) = rendered(&path) {
            let text = fs::read_to_string(&path).unwrap();
            panic!("{}\n{}", path.display(), faults.render("lb.toml", &text));
        }
    }
}

#[test]
fn bad_files_say_what_is_wrong() {
    let files = files("bad");
    assert!(files.len() >= 120, "{} bad files", files.len());
    let mut wrong = Vec::new();
    for path in files {
        let Err(faults) = rendered(&path) else {
            wrong.push(format!("{}: accepted", path.display()));
            continue;
        };
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        let found = faults.render("lb.toml", &text);
        let expected_path = path.with_extension("expected");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&expected_path, &found).unwrap();
        }
        let expected = fs::read_to_string(&expected_path).unwrap_or_default();
        if found != expected {
            wrong.push(format!(
                "{}\n--- expected\n{expected}--- found\n{found}",
                path.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_expectation_is_left_over() {
    for path in lb_configs::files("bad", "expected").unwrap() {
        assert!(
            path.with_extension("toml").exists(),
            "{} has no .toml",
            path.display()
        );
    }
}

#[test]
fn the_sample_of_the_image_is_the_scenario() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |path: &str| fs::read(root.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    let sample = config::parse_bytes(&read("overlay/usr/share/lb/lb.toml.sample"));
    let scenario = config::parse_bytes(&read("tests/configs/good/scenario.toml"));
    assert_eq!(sample, scenario);
    assert!(sample.is_ok());
}
