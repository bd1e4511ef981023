//! A line on the control socket: it is a request or it is refused, and a request is written as it was read. Of those with a text or
//! with words of a check, the text and the words are read as the agent would.
//! Must not: make inputs.

use std::io;

use lb_core::config;
use lb_core::control::Request;

use super::ensure;
use crate::corpus::{self, Entries};
use crate::run::Target;

pub const TARGET: Target = Target {
    name: "control",
    corpus,
    judge,
};

fn corpus() -> io::Result<Entries> {
    Ok(corpus::lines(&corpus::own("control")?))
}

fn judge(input: &[u8]) -> Result<(), String> {
    let Ok(request) = serde_json::from_slice::<Request>(input) else {
        return Ok(());
    };
    let written = serde_json::to_vec(&request).map_err(|error| format!("cannot be written: {error}"))?;
    let read: Request = serde_json::from_slice(&written)
        .map_err(|error| format!("written, it is refused: {error}\n{request:?}"))?;
    ensure(read == request, || {
        format!("written and read it is something else\n{request:?}\n{read:?}")
    })?;
    match request {
        Request::ConfigCheck { text: Some(text), .. } | Request::ConfigPut { text, .. } => {
            let _ = config::parse(&text).map_err(|faults| faults.render("lb.toml", &text));
        }
        Request::Probe { words, .. } => {
            if let [kind, server, words @ ..] = words.as_slice() {
                let _ = config::check_of_words(kind, server, words, None);
            }
        }
        _ => {}
    }
    Ok(())
}
