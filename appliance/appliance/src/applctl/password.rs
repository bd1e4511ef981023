//! `console password`, `console idle` and `console lock`: sets, changes and removes the password of the consoles, and says when they lock. The hash is
//! written here, not by the agent: it must work without one, and nothing else has to know it. Must not: show a password, or take one from a script.

use std::error::Error;
use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use lb_agent::{Store, StoreError};
use lb_core::console::lock::{Attempt, IDLE, IDLE_DEFAULT, Lock};
use lb_core::console::password::{FILE, MODE, Record, SALT_BYTES, Stored, judge};
use lb_core::control::{ConsoleNews, ConsoleReport, Response, VolumeState, span_in_words};
use lb_core::suggest::nearest;
use lb_init::password_file::PasswordFile;
use zeroize::Zeroizing;

use super::execute::{Context, Verdict, answer};
use super::failure::Failure;
use super::input::{QUIET, Typing};
use super::lock::{self, Reader, Secret};
use super::parse::{Invocation, UsageError};

pub const WORDS: [&str; 2] = ["set", "remove"];
/// Somebody who has gone away has not said it.
const PATIENCE: Duration = Duration::from_secs(60);
const NOTHING: &str = "nothing was changed";

/// `console password [set|remove]`.
pub fn password(invocation: &Invocation, context: &mut Context<'_>) -> Result<Verdict, Failure> {
    let word = invocation.arguments.first().map(String::as_str);
    match word {
        None => show(invocation.json(), context),
        Some("set") => set(invocation, context),
        Some("remove") => remove(invocation, context),
        Some(word) => Err(Failure::Usage(UsageError::UnknownChild {
            path: invocation.path.clone(),
            near: nearest(word, WORDS.iter().copied()),
            word: word.to_owned(),
            known: WORDS.to_vec(),
        })),
    }
}

/// `console idle [TIME]`.
pub fn idle(invocation: &Invocation, context: &mut Context<'_>) -> Result<Verdict, Failure> {
    let Some(word) = invocation.arguments.first() else {
        return show(invocation.json(), context);
    };
    let idle = lb_core::config::time(word).filter(|time| IDLE.contains(time));
    let idle = idle.ok_or_else(|| {
        Failure::Usage(UsageError::BadTime {
            option: "console idle",
            word: word.clone(),
            low: IDLE.start().as_secs(),
            high: IDLE.end().as_secs(),
        })
    })?;
    let Stored::Set(record) = stored(context) else {
        return Err(Failure::Refused(format!(
            "{NOTHING}: there is no password that can be used, so no console locks by itself; `console password set` sets one"
        )));
    };
    let record = record.with_idle(Duration::from_secs(idle.as_secs()));
    let unsure = write(&record, context)?;
    let seconds = record.idle().as_secs();
    lock::tell(&context.places.socket, context.who, ConsoleNews::Idle { seconds });
    let told = format!(
        "OK. A console locks after {} without a key.{unsure}",
        span_in_words(seconds)
    );
    done(&told, invocation, context)
}

/// `console lock`: the next prompt is the lock.
pub fn lock_now(context: &mut Context<'_>) -> Result<Verdict, Failure> {
    if context.input.guard().is_none() {
        return Err(Failure::NoConsole);
    }
    if stored(context) == Stored::None {
        return Err(Failure::Refused(
            "without a password nothing locks; `console password set` sets one".to_owned(),
        ));
    }
    if let Some(guard) = context.input.guard() {
        guard.lock();
    }
    Ok(Verdict::Good)
}

fn show(json: bool, context: &mut Context<'_>) -> Result<Verdict, Failure> {
    let report = match store(context).read(FILE) {
        Err(error) => ConsoleReport::unreadable(error.kind().to_string(), Some(&stored(context))),
        Ok(_) => ConsoleReport::of(&stored(context)),
    };
    answer(Response::Console(report), json, context)
}

fn set(invocation: &Invocation, context: &mut Context<'_>) -> Result<Verdict, Failure> {
    let before = readable(context)?;
    let mut asked = Asked::begin(context)?;
    if let Stored::Set(record) = &before {
        asked.present(record, context)?;
    }
    let password = asked.line("New password: ", context)?;
    judge(&password).map_err(|unfit| Failure::Refused(format!("{NOTHING}: {unfit}")))?;
    if asked.line("The same again: ", context)? != password {
        return Err(Failure::Refused(format!(
            "{NOTHING}: these were two different passwords"
        )));
    }
    let idle = before.idle().unwrap_or(IDLE_DEFAULT);
    let record = Record::new(&password, salt()?, idle);
    drop(password);
    is_still(&before, context)?;
    let unsure = write(&record, context)?;
    let news = match before {
        Stored::Set(_) => ConsoleNews::PasswordChanged,
        _ => ConsoleNews::PasswordSet,
    };
    lock::tell(&context.places.socket, context.who, news);
    let told = format!(
        "OK. Each console asks for it when it starts, and after {} without a key (`console idle`); `console lock` locks this one now. If it is forgotten, \
         `forget-password` in the boot menu removes it: Ctrl-O held down while the machine starts.{}{unsure}",
        span_in_words(record.idle().as_secs()),
        until_reboot(context)
    );
    done(&told, invocation, context)
}

fn remove(invocation: &Invocation, context: &mut Context<'_>) -> Result<Verdict, Failure> {
    let before = readable(context)?;
    match &before {
        // One that does not count may still be there.
        Stored::None if context.places.ignored_mark().exists() => {}
        Stored::None => return Err(Failure::Refused("there is no password to remove".to_owned())),
        // Whoever is at an open console may put right what opens none.
        Stored::Damaged(_) | Stored::Unreadable(_) => {}
        Stored::Set(record) => Asked::begin(context)?.present(record, context)?,
    }
    is_still(&before, context)?;
    let removed = store(context).remove(FILE);
    known_anew(context);
    let unsure = match removed {
        Ok(()) => String::new(),
        Err(error) if !store(context).path(FILE).exists() => unsure(&error),
        Err(error) => return Err(refused(&error)),
    };
    lock::tell(&context.places.socket, context.who, ConsoleNews::PasswordRemoved);
    done(
        &format!("OK. No console locks any more.{unsure}"),
        invocation,
        context,
    )
}

/// Two people may be at it, and one of them has taken the time to type.
fn is_still(before: &Stored, context: &mut Context<'_>) -> Result<(), Failure> {
    match stored(context) == *before {
        true => Ok(()),
        false => Err(Failure::Refused(format!(
            "{NOTHING}: the password was changed at another console meanwhile; try again with that one"
        ))),
    }
}

/// Questions whose answers are not shown.
struct Asked {
    reader: Reader,
}

impl Asked {
    fn begin(context: &mut Context<'_>) -> Result<Asked, Failure> {
        if !context.input.is_terminal() || !context.terminal {
            return Err(Failure::NoPasswordTerminal);
        }
        Ok(Asked {
            reader: Reader::default(),
        })
    }

    fn line(&mut self, question: &str, context: &mut Context<'_>) -> Result<Zeroizing<Vec<u8>>, Failure> {
        context
            .input
            .set_typing(Typing::Keys)
            .map_err(Failure::Terminal)?;
        context.print(question)?;
        let secret = self.reader.line(context.input, context.interrupt, Some(PATIENCE));
        let typing = context.input.set_typing(Typing::Command);
        context.print("\n")?;
        typing.map_err(Failure::Terminal)?;
        match secret.map_err(Failure::Terminal)? {
            Secret::Line(line) => Ok(line),
            Secret::GivenUp | Secret::Interrupted => Err(Failure::GivenUp),
            Secret::TimedOut => Err(Failure::Refused(format!(
                "{NOTHING}: nothing was typed for a minute"
            ))),
            Secret::Ended => Err(Failure::Output(io::Error::other("the terminal has gone"))),
        }
    }

    /// Whoever passes an open console must not change what opens it.
    fn present(&mut self, record: &Record, context: &mut Context<'_>) -> Result<(), Failure> {
        let password = self.line("Present password: ", context)?;
        let outcome = match context.input.guard() {
            Some(guard) => guard.attempt(record, &password),
            None => {
                let mut lock = Lock::open(std::time::Instant::now());
                lock::attempt(&mut lock, record, &password, &context.places.socket, context.who)
            }
        };
        if !matches!(outcome, Attempt::Right { .. }) {
            // What follows was typed for the next questions, and is no command.
            context.input.discard_until_quiet(context.interrupt, QUIET);
        }
        match outcome {
            Attempt::Right { wrong: 0 } => Ok(()),
            Attempt::Right { wrong } => context.say(&lock::attempts(wrong)).map(drop),
            Attempt::Wrong { wait, .. } => Err(Failure::Refused(format!(
                "{NOTHING}: this is not the password; the next one is looked at in {} s",
                wait.as_secs()
            ))),
            Attempt::Early(left) => Err(Failure::Refused(format!(
                "{NOTHING}: after a wrong password the next one has to wait; {} s more",
                left.as_secs() + 1
            ))),
        }
    }
}

fn done(told: &str, invocation: &Invocation, context: &mut Context<'_>) -> Result<Verdict, Failure> {
    match invocation.json() {
        true => show(true, context),
        false => context.say(told),
    }
}

fn store(context: &Context<'_>) -> Store {
    Store::new(context.places.volume().to_owned())
}

fn stored(context: &mut Context<'_>) -> Stored {
    let mut of_nobody = PasswordFile::new(context.places.volume(), context.places.runtime());
    match context.input.guard() {
        Some(guard) => guard.stored(),
        None => of_nobody.stored().0,
    }
}

/// The present password is asked for before it is changed, and what it is has to be known for that.
fn readable(context: &mut Context<'_>) -> Result<Stored, Failure> {
    match stored(context) {
        Stored::Unreadable(why) => Err(Failure::Refused(format!(
            "{NOTHING}: the file with the password cannot be read ({why}); `log` tells of the disk, and `forget-password` in the boot menu takes the password away"
        ))),
        known => Ok(known),
    }
}

/// What is to be said when it is there, and may be lost with the power.
fn write(record: &Record, context: &mut Context<'_>) -> Result<String, Failure> {
    let fill = |file: &mut File| -> io::Result<()> {
        // Before there is something in it.
        file.set_permissions(Permissions::from_mode(MODE))?;
        file.write_all(record.text().as_bytes())
    };
    let written = store(context).write_by(FILE, fill);
    let is_there = store(context).holds(FILE, record.text().as_bytes());
    if written.is_ok() || is_there {
        // It counts again.
        let _ = std::fs::remove_file(context.places.ignored_mark());
    }
    known_anew(context);
    match written {
        Ok(()) => Ok(String::new()),
        Err(error) if is_there => Ok(unsure(&error)),
        Err(error) => Err(refused(&error)),
    }
}

fn known_anew(context: &mut Context<'_>) {
    if let Some(guard) = context.input.guard() {
        guard.forget();
    }
}

fn refused(error: &StoreError) -> Failure {
    Failure::Refused(format!("{NOTHING}: {}", chain(error)))
}

/// The names on the volume have changed, and the disk has not said that it has them.
fn unsure(error: &StoreError) -> String {
    format!(
        " After a power cut it may be as before: {}; `log` tells of the disk.",
        chain(error)
    )
}

fn chain(error: &StoreError) -> String {
    let cause = error.source().map_or(String::new(), |cause| format!(": {cause}"));
    format!("{error}{cause}")
}

/// A remark where /config is lost at a reboot.
fn until_reboot(context: &Context<'_>) -> &'static str {
    let volume = context.places.init().map(|init| init.config_volume.state);
    match volume {
        Some(VolumeState::Memory | VolumeState::NotMounted) => {
            " It lasts until the next reboot only, because the config volume is in memory."
        }
        _ => "",
    }
}

fn salt() -> Result<[u8; SALT_BYTES], Failure> {
    let mut salt = [0; SALT_BYTES];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut salt))
        .map_err(|source| Failure::File {
            path: "/dev/urandom".into(),
            source,
        })?;
    Ok(salt)
}
