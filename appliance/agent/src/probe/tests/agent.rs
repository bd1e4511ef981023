//! Agents, and servers that are none.

use std::sync::mpsc;

use lb_core::check::AgentCheck;
use lb_core::health::Told;

use super::*;

fn agent(send: Option<&str>) -> CheckKind {
    CheckKind::Agent(AgentCheck {
        send: send.map(str::to_owned),
    })
}

fn says(line: &'static [u8]) -> SocketAddr {
    serve(move |mut stream| {
        let _ = stream.write_all(line);
    })
}

#[test]
fn a_line_is_what_counts() {
    for (line, told) in [
        (&b"up\n"[..], Told::Nothing),
        (b"40%\nand more, which is not read\n", Told::Percent(40)),
        (b"drain", Told::Drain),
    ] {
        let result = run(says(line), &asks(agent(None)));
        assert_eq!((result.outcome, result.told), (Outcome::Pass, told));
    }
    let down = run(says(b"down # no disk\n"), &asks(agent(None)));
    assert_eq!(down.outcome, fail("its agent says down: \"no disk\""));
    // A server that keeps the connection open has said its line all the same.
    let open = serve(|mut stream| {
        let _ = stream.write_all(b"up\n");
        std::mem::forget(stream);
    });
    assert_eq!(run(open, &asks(agent(None))).outcome, Outcome::Pass);
}

#[test]
fn an_agent_is_asked_by_a_line() {
    let (told, hears) = mpsc::channel();
    let target = serve(move |mut stream| {
        let mut line = [0; 16];
        let length = stream.read(&mut line).unwrap();
        told.send(line[..length].to_vec()).unwrap();
        let _ = stream.write_all(b"up\n");
    });
    assert_eq!(
        run(target, &asks(agent(Some("how are you")))).outcome,
        Outcome::Pass
    );
    assert_eq!(hears.recv().unwrap(), b"how are you\n");
}

#[test]
fn a_server_that_means_harm_is_down_in_time() {
    let late = fail("connected, but no line within 500ms");
    assert_eq!(run(serve(std::mem::forget), &briefly(agent(None))).outcome, late);
    let trickles = serve(|mut stream| {
        while stream.write_all(b".").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    assert_eq!(run(trickles, &briefly(agent(None))).outcome, late);
    let endless = serve(|mut stream| while stream.write_all(&[b'.'; 4096]).is_ok() {});
    let garbage = fail(&format!(
        "its agent's answer makes no sense: \"{}\"...",
        ".".repeat(40)
    ));
    assert_eq!(run(endless, &asks(agent(None))).outcome, garbage);
    assert_eq!(
        run(says(b"\xff\xfe\x00\n"), &asks(agent(None))).outcome,
        fail("its agent's answer makes no sense: \"\\xff\\xfe\\x00\"")
    );
    assert_eq!(
        run(serve(drop), &asks(agent(None))).outcome,
        fail("its agent says nothing")
    );
    let resets = run(serve(|stream| socket_linger(&stream)), &asks(agent(None)));
    assert_eq!(resets.outcome, fail("connection reset"));
}
