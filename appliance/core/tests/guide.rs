//! The tables of keys in docs/guide.md, between `<!-- keys: TABLE -->` and `<!-- end of keys -->`, are what the registry says; a table of
//! checks names the type whose keys it lists. The lists of words between `<!-- words: KEY -->` and `<!-- end of words -->` are as well. UPDATE_GOLDEN=1 writes them anew; read the difference before it is committed.

use std::fs;
use std::path::{Path, PathBuf};

use lb_core::config::keys;
use lb_core::config::keys::{CHECK, Form, Key, Table, Unset, places};

const BEGIN: &str = "<!-- keys: ";
const END: &str = "<!-- end of keys -->\n";

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide.md")
}

fn table(path: &str) -> &'static Table {
    let named = places().into_iter().filter_map(|place| place.key.form.table());
    let mut all = named.chain([&keys::ROOT]);
    all.find(|table| table.path == path)
        .unwrap_or_else(|| panic!("no table {path:?}"))
}

/// As a header where that is how it is written.
fn name(table: &Table, key: &Key) -> String {
    let path = format!("{}.{}", table.path, key.name);
    let path = path.trim_start_matches('.');
    match key.form.table().map(|inner| inner.header) {
        Some(header) if header.trim_matches(['[', ']']) == path => format!("`{header}`"),
        _ => format!("`{}`", key.name),
    }
}

fn row(table: &Table, key: &'static Key, kind: &str) -> String {
    let name = name(table, key);
    let more = match key.see {
        Some(anchor) => format!("; see [below](#{anchor})"),
        None => String::new(),
    };
    let about = key.about_of(kind);
    let allowed = match key.form {
        _ if name.starts_with("`[") => String::new(),
        // An address, whatever else the key may hold.
        Form::Text { .. } if kind == "dns" && key.name == "expect" => "an address".to_owned(),
        _ => key.form.allowed(),
    };
    let usual = key.unset_of(kind).shown();
    let own = key
        .own_types()
        .filter(|of| !["udp", "dns", "agent"].contains(&of.word()));
    let own = own.filter_map(|of| Some(format!("{}: {}", of.word(), of.unset.as_ref().map(Unset::shown)?)));
    let default: Vec<String> = [usual]
        .into_iter()
        .filter(|said| !said.is_empty())
        .chain(own)
        .collect();
    let cells = [name, format!("{about}{more}"), allowed, default.join("; ")];
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
        .replace("|  |", "| |")
        .replace("|  |", "| |")
}

fn rows(marker: &str) -> String {
    let (path, kind) = marker.split_once(", type ").unwrap_or((marker, ""));
    let table = table(if path == "top level" { "" } else { path });
    let mut text = "| key | meaning | allowed | default |\n|---|---|---|---|\n".to_owned();
    let fits = |key: &&Key| match kind {
        "" => key.types().next().is_none() || table.path != CHECK.path,
        kind => key.types().any(|of| of == kind),
    };
    let mut count = 0;
    for key in table.keys().filter(fits) {
        text += &row(table, key, kind);
        count += 1;
    }
    assert!(count > 0, "{marker}");
    text
}

/// What each word of a key does.
fn words(path: &str) -> String {
    let all = places();
    let place = all.iter().find(|place| place.path == path);
    let meanings = place.unwrap_or_else(|| panic!("no key {path:?}")).key.meanings;
    assert!(!meanings.is_empty(), "{path}");
    let rows = meanings
        .iter()
        .map(|(word, about)| format!("| `\"{word}\"` | {about} |\n"));
    format!(
        "| {} | what it does |\n|---|---|\n",
        path.rsplit('.').next().unwrap_or(path)
    ) + &rows.collect::<String>()
}

/// The guide with its lists of words made anew.
fn with_words(guide: &str) -> String {
    const BEGIN: &str = "<!-- words: ";
    const END: &str = "<!-- end of words -->\n";
    let mut parts = guide.split(BEGIN);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (marker, rest) = part.split_once(" -->\n").expect("a marker ends");
        let (_, after) = rest.split_once(END).expect("a list ends");
        text += &format!("{BEGIN}{marker} -->\n{}{END}{after}", words(marker));
    }
    text
}

#[test]
fn the_guide_tells_what_every_word_does() {
    let guide = fs::read_to_string(path()).unwrap();
    for place in places().iter().filter(|place| !place.key.meanings.is_empty()) {
        let marker = format!("<!-- words: {} -->", place.path);
        assert!(guide.contains(&marker), "{marker}");
    }
}

/// The guide with its tables made anew, and how many there are.
fn made(guide: &str) -> (String, Vec<String>) {
    let guide = &with_words(guide);
    let mut parts = guide.split(BEGIN);
    let mut text = parts.next().unwrap_or_default().to_owned();
    let mut markers = Vec::new();
    for part in parts {
        let (marker, rest) = part.split_once(" -->\n").expect("a marker ends");
        let (_, after) = rest.split_once(END).expect("a table ends");
        text += &format!("{BEGIN}{marker} -->\n{}{END}{after}", rows(marker));
        markers.push(marker.to_owned());
    }
    (text, markers)
}

#[test]
fn the_guides_tables_are_those_of_the_registry() {
    let guide = fs::read_to_string(path()).unwrap();
    let (made, _) = made(&guide);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        // The other tests read it meanwhile.
        let anew = path().with_extension("anew");
        fs::write(&anew, &made).unwrap();
        fs::rename(anew, path()).unwrap();
        return;
    }
    let differs = guide.lines().zip(made.lines()).find(|(have, want)| have != want);
    assert!(guide == made, "UPDATE_GOLDEN=1 writes it: {differs:?}");
}

#[test]
fn the_guide_lists_every_key() {
    let guide = fs::read_to_string(path()).unwrap();
    let (_, markers) = made(&guide);
    for place in places() {
        let listed = markers.iter().any(|marker| {
            let (path, kind) = marker.split_once(", type ").unwrap_or((marker, ""));
            let path = if path == "top level" { "" } else { path };
            let types: Vec<&str> = place.key.types().collect();
            let fits = types.is_empty() || path != CHECK.path || types.contains(&kind);
            path == place.table.path && fits && (kind.is_empty() || types.contains(&kind))
        });
        // The tables within one example of the guide's text.
        let small = ["interface.match", "interface.routes"];
        let spoken_of = [
            &small[..],
            &["virtual_server.sorry_server", "virtual_server.check.urls"],
        ]
        .concat();
        assert!(listed || spoken_of.contains(&place.table.path), "{}", place.path);
    }
}

/// As GitHub makes them.
fn anchors(guide: &str) -> Vec<String> {
    let headings = guide.lines().filter(|line| line.starts_with('#'));
    let plain = |line: &str| {
        line.trim_start_matches('#')
            .trim()
            .to_lowercase()
            .replace(' ', "-")
    };
    let kept = |c: &char| c.is_alphanumeric() || *c == '-' || *c == '_';
    headings
        .map(|line| plain(line).chars().filter(kept).collect())
        .collect()
}

#[test]
fn what_the_registry_says_of_the_guide_is_so() {
    let guide = fs::read_to_string(path()).unwrap();
    let anchors = anchors(&guide);
    for place in places() {
        let there = place
            .key
            .see
            .is_none_or(|anchor| anchors.iter().any(|have| have == anchor));
        assert!(there, "{}: {:?}", place.path, place.key.see);
    }
    let preset = |name: &str| {
        let unset = CHECK.key(name).unwrap().unset_of("kube-apiserver");
        format!("`{name} = {}`", unset.written().unwrap())
    };
    let [path, interval, timeout, retry] = ["path", "interval", "timeout", "retry_interval"].map(preset);
    let sentence = format!("{path}, {interval}, {timeout} and {retry}");
    assert!(guide.contains(&sentence), "the guide does not say {sentence}");
}
