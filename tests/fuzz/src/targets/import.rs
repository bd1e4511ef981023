//! Configurations of keepalived and HAProxy: what is made of one is an lb.toml without faults, or nothing, and that is told.
//! Must not: make inputs.

use std::io;

use lb_core::config;
use lb_core::import::{self, Imported, Included, Severity};

use super::{ensure, ensure_harmless};
use crate::corpus::{self, Entries};
use crate::run::Target;

pub const KEEPALIVED: Target = Target {
    name: "keepalived",
    corpus: || {
        let mut all = corpus::configs("import/keepalived", "conf")?;
        all.extend(corpus::configs("import/keepalived/include.d", "conf")?);
        all.extend(corpus::own("keepalived")?);
        Ok(all)
    },
    judge: |input| {
        let text = String::from_utf8_lossy(input);
        let mut left = MOST_INCLUDED;
        let mut include = |_: &str, pattern: &str| included(pattern, &text, &mut left);
        sound(&import::keepalived("keepalived.conf", &text, &mut include))
    },
};

pub const HAPROXY: Target = Target {
    name: "haproxy",
    corpus: haproxy_corpus,
    judge: |input| sound(&import::haproxy("haproxy.cfg", &String::from_utf8_lossy(input))),
};

/// A text that includes itself is read again so many times; without end it would only reach the importer's own limit, slowly.
const MOST_INCLUDED: usize = 3;
const OTHER: &str = "virtual_server 203.0.113.77 80 {\n  protocol TCP\n  real_server 198.51.100.77 80 {\n";

fn haproxy_corpus() -> io::Result<Entries> {
    let mut all = corpus::configs("import/haproxy", "cfg")?;
    all.extend(corpus::own("haproxy")?);
    Ok(all)
}

fn included(pattern: &str, text: &str, left: &mut usize) -> Option<Vec<Included>> {
    let file = |text: &str| {
        Some(vec![Included {
            name: "again.conf".to_owned(),
            text: text.to_owned(),
        }])
    };
    *left = left.checked_sub(1)?;
    match pattern.len() % 3 {
        0 => Some(Vec::new()),
        1 => file(OTHER),
        _ => file(text),
    }
}

fn sound(imported: &Imported) -> Result<(), String> {
    if let Err(faults) = config::parse(&imported.toml) {
        let told = faults.render("lb.toml", &imported.toml);
        return Err(format!("what is made has faults\n{told}\n{}", imported.toml));
    }
    let nothing = imported.remarks.iter().any(|remark| {
        remark.severity == Severity::Fault && remark.message.starts_with("nothing could be produced")
    });
    ensure(imported.toml.is_empty() == nothing, || {
        format!(
            "nothing is made and not told, or the other way round\n{:?}",
            imported.remarks
        )
    })?;
    for remark in &imported.remarks {
        ensure(remark.line != Some(0), || format!("a remark on line 0\n{remark}"))?;
        ensure_harmless(&remark.to_string(), "a remark")?;
    }
    Ok(())
}
