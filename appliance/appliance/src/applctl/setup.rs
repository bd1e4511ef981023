//! `setup`: asks the few things that a first lb.toml needs, shows what comes of them, and puts it in force when it is told to.
//! Must not: judge answers; `lb_core::setup` does.

use std::collections::BTreeMap;

use lb_core::control::{ConfigText, Request, Response, Terms};
use lb_core::setup::{Card, Setup};
use lb_kernel::NetworkView;

use super::ask;
use super::change::difference;
use super::configure::{may_change, show};
use super::execute::{Context, Verdict, answer};
use super::failure::Failure;
use super::put;
use super::render::{self, Tone, wrap};
use super::tree;

const FILE: &str = "lb.toml";

pub fn run(context: &mut Context<'_>) -> Result<Verdict, Failure> {
    may_change(context)?;
    let cards = cards(context)?;
    let before = match show(None, context) {
        Ok(Response::Config(ConfigText { text, .. })) => text,
        _ => String::new(),
    };
    context.print(&intro(&cards, &before, context.screen.width))?;
    let mut setup = Setup::new(cards);
    let mut refusals = 0;
    loop {
        // A cable that was put in meanwhile is shown before the next question.
        while let Some(question) = look(&mut setup, context)?.question() {
            let default = question
                .default
                .map_or(String::new(), |default| format!(" [{default}]"));
            say(&format!("{}{default}", question.text), context)?;
            context.print("> ")?;
            let Some(line) = ask::line(context, None)? else {
                return Err(Failure::GivenUp);
            };
            match setup.answer(&line) {
                Ok(()) => refusals = 0,
                Err(why) => {
                    refusals += 1;
                    say(&format!("Not yet: {why}.{}", ways_out(&line, refusals)), context)?;
                }
            }
        }
        let text = setup.text();
        let mut check = put::check(text.as_bytes(), FILE, context.places.config_directory());
        let warnings = std::mem::take(&mut check.warnings);
        let shown = Response::Diff(difference(&before, &text, check));
        context.print(&format!("\n{}", render::report(&shown, &context.screen)))?;
        notes(&warnings, setup.note(), context)?;
        match decide(context)? {
            Decision::Yes => return put_in_force(text, context),
            Decision::Back => drop(setup.answer("back")),
            Decision::No => {
                return Err(Failure::Refused(
                    "nothing was changed; typing `setup` starts the questions again".to_owned(),
                ));
            }
        }
    }
}

/// For who meant something else, or has forgotten the words of the head.
fn ways_out(line: &str, refusals: usize) -> String {
    const STUCK: usize = 3;
    let word = line.split_whitespace().next().unwrap_or_default();
    match tree::ROOT.child(word) {
        Some(command) => format!(
            " `{}` is a command: Ctrl-C gives up these questions, then the prompt takes it.",
            command.name
        ),
        // Its refusal has said that there is none.
        None if word == "back" => String::new(),
        None if word.is_empty() || refusals.is_multiple_of(STUCK) => {
            " `back` goes to the question before, and Ctrl-C gives up; nothing is changed so far.".to_owned()
        }
        None => String::new(),
    }
}

/// What is to be known about the text, apart from it.
fn notes(warnings: &[String], note: Option<String>, context: &mut Context<'_>) -> Result<(), Failure> {
    if !warnings.is_empty() || note.is_some() {
        context.print("\n")?;
    }
    context.print(&render::bullets(warnings, Tone::Doubtful, &context.screen))?;
    if let Some(note) = note {
        say(&note, context)?;
    }
    Ok(())
}

enum Decision {
    Yes,
    No,
    Back,
}

/// Asks until one of the three words comes.
fn decide(context: &mut Context<'_>) -> Result<Decision, Failure> {
    loop {
        say(
            "Put this in force, and keep it as /config/lb.toml? yes, no, or back",
            context,
        )?;
        context.print("> ")?;
        let Some(line) = ask::line(context, None)? else {
            return Err(Failure::GivenUp);
        };
        match line.trim().to_ascii_lowercase().as_str() {
            "yes" | "y" => return Ok(Decision::Yes),
            "no" | "n" => return Ok(Decision::No),
            "back" => return Ok(Decision::Back),
            _ => say("Not yet: yes, no or back, please.", context)?,
        };
    }
}

fn put_in_force(text: String, context: &mut Context<'_>) -> Result<Verdict, Failure> {
    let terms = Terms {
        made: Some("setup".to_owned()),
        by: context.who.to_owned(),
        ..Terms::default()
    };
    let response = context.ask(&Request::ConfigPut { text, terms })?;
    let verdict = answer(response, false, context)?;
    say(
        "`status` and `services` show how it is; `config edit` and `config set` change it.",
        context,
    )?;
    Ok(verdict)
}

/// What has changed of the cards since they were shown, a row each.
fn look<'s>(setup: &'s mut Setup, context: &mut Context<'_>) -> Result<&'s Setup, Failure> {
    // An agent that starts anew just now is no reason to give up what was answered.
    let Ok(cards) = cards(context) else {
        return Ok(setup);
    };
    let changed = setup.see(cards);
    let width = context.screen.width;
    let rows: String = changed
        .iter()
        .map(|place| row(*place, setup.cards(), width))
        .collect();
    if !rows.is_empty() {
        context.print(&format!("Now:\n{rows}"))?;
    }
    Ok(setup)
}

fn cards(context: &Context<'_>) -> Result<Vec<Card>, Failure> {
    let Response::Interfaces(report) = context.ask(&Request::Interfaces)? else {
        return Err(Failure::Refused("the agent answered something else".to_owned()));
    };
    let speeds = speeds();
    let cards = report.interfaces.into_iter().filter_map(|interface| {
        let name = interface.link?;
        Some(Card {
            speed: speeds.get(&name).map(|megabits| render::speed(*megabits)),
            mac: interface.mac,
            state: interface.state,
            name,
        })
    });
    let mut cards: Vec<Card> = cards.collect();
    cards.sort_by(|one, other| one.name.cmp(&other.name));
    match cards.is_empty() {
        true => Err(Failure::Refused(
            "this machine has no network card that its kernel knows; give it one, and begin again".to_owned(),
        )),
        false => Ok(cards),
    }
}

/// Where the kernel says them; a choice can be made without.
fn speeds() -> BTreeMap<String, u32> {
    let links = NetworkView::open().and_then(|mut view| view.links());
    let links = links.into_iter().flat_map(|report| report.links);
    links
        .filter_map(|link| Some((link.link, link.speed_mbit?)))
        .collect()
}

fn say(text: &str, context: &mut Context<'_>) -> Result<Verdict, Failure> {
    let width = context.screen.width;
    context.print(&format!("{}\n", wrap(text, width, 0)))
}

fn intro(cards: &[Card], before: &str, width: usize) -> String {
    let what = "A few questions, and lb.toml is there. An empty line takes what stands in brackets; `back` goes to the question before, and \
                Ctrl-C gives up. Nothing is changed before the end.";
    let mut text = format!("{}\n", wrap(what, width, 0));
    if !before.trim().is_empty() {
        let replaced = "There is an lb.toml already: at the end this would take its place. `config edit` and `config set` change it instead.";
        text.push_str(&format!("{}\n", wrap(replaced, width, 0)));
    }
    text.push('\n');
    text.extend((0..cards.len()).map(|place| row(place, cards, width)));
    text.push('\n');
    text
}

fn row(place: usize, cards: &[Card], width: usize) -> String {
    let card = &cards[place];
    let mac = card.mac.as_deref().unwrap_or("no MAC address");
    let name = render::clean(&card.name);
    let number = place + 1;
    let row = format!("  {number}  {name}  {mac}  {}", card.cable());
    if row.chars().count() <= width {
        return row + "\n";
    }
    let rest = wrap(&format!("{name} {mac} {}", card.cable()), width - 5, 5);
    format!("  {number}  {rest}\n")
}
