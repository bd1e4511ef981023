//! Damages an input in ways that keep much of its structure: words, lines and parts of other inputs in the place of its own.
//! Must not: read anything, or depend on anything but the numbers that it is given.

use std::ops::Range;

use fastrand::Rng;

use crate::words::{NUMBERS, dictionary};

/// Longer inputs are cut: a run is about what is read, not about how much.
const LONGEST: usize = 64 << 10;
/// Damages of one input, at most.
const MOST_CHANGES: usize = 8;

#[derive(Debug)]
pub struct Mutation {
    entries: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
}

impl Mutation {
    pub fn new(entries: Vec<Vec<u8>>) -> Mutation {
        let words = dictionary(&entries);
        Mutation { entries, words }
    }

    pub fn entries(&self) -> &[Vec<u8>] {
        &self.entries
    }

    /// One entry, damaged once or a few times.
    pub fn input(&self, random: &mut Rng) -> Vec<u8> {
        let mut input = self.entry(random).to_vec();
        let mut changes = 1;
        while changes < MOST_CHANGES && random.u8(..) < 150 {
            changes += 1;
        }
        for _ in 0..changes {
            self.change(&mut input, random);
        }
        input.truncate(LONGEST);
        input
    }

    /// The shorter of two: a damage in it is nearer to what it damages, and more inputs fit into an hour.
    fn entry(&self, random: &mut Rng) -> &[u8] {
        let mut any = || random.choice(&self.entries).map_or(&[][..], Vec::as_slice);
        let (one, other) = (any(), any());
        if one.len() <= other.len() { one } else { other }
    }

    fn word(&self, random: &mut Rng) -> &[u8] {
        random.choice(&self.words).map_or(&[], Vec::as_slice)
    }

    fn change(&self, input: &mut Vec<u8>, random: &mut Rng) {
        match random.u8(0..20) {
            0 => bytes(input, random),
            1 => {
                let cut = span(input.len(), random);
                input.drain(cut);
            }
            2 | 3 => self.splice(input, random),
            4 => repeat_line(input, random),
            5 => {
                let line = line(input, random);
                input.drain(line);
            }
            6 => move_line(input, random),
            7 | 8 => {
                let other = self.entry(random);
                let other = &other[line(other, random)];
                let at = line(input, random).start;
                input.splice(at..at, other.iter().copied());
            }
            9..=12 => {
                let place = token(input, random);
                input.splice(place, self.word(random).iter().copied());
            }
            13 | 14 => {
                let place = token(input, random);
                let at = if random.bool() { place.start } else { place.end };
                input.splice(at..at, self.word(random).iter().copied());
            }
            15 | 16 => {
                let other = input[token(input, random)].to_vec();
                let place = token(input, random);
                input.splice(place, other);
            }
            _ => number(input, random),
        }
    }

    /// The beginning of this input, and the end of another one.
    fn splice(&self, input: &mut Vec<u8>, random: &mut Rng) {
        let other = self.entry(random);
        let (end, begin) = match random.bool() {
            true => (line(input, random).start, line(other, random).start),
            false => (random.usize(..=input.len()), random.usize(..=other.len())),
        };
        input.truncate(end);
        input.extend_from_slice(&other[begin..]);
    }
}

fn bytes(input: &mut Vec<u8>, random: &mut Rng) {
    let at = random.usize(..=input.len());
    match random.u8(0..3) {
        0 if at < input.len() => input[at] ^= 1 << random.u8(0..8),
        1 if at < input.len() => input[at] = random.u8(..),
        _ => {
            let new: Vec<u8> = (0..random.usize(1..8)).map(|_| random.u8(..)).collect();
            input.splice(at..at, new);
        }
    }
}

/// A part, short more often than long.
fn span(length: usize, random: &mut Rng) -> Range<usize> {
    let start = random.usize(..=length);
    let most = if random.u8(0..8) == 0 { length } else { 12 };
    start..(start + random.usize(..=most)).min(length)
}

/// A line with its end.
fn line(input: &[u8], random: &mut Rng) -> Range<usize> {
    let at = random.usize(..=input.len());
    let before = input[..at].iter().rposition(|byte| *byte == b'\n');
    let after = input[at..].iter().position(|byte| *byte == b'\n');
    before.map_or(0, |newline| newline + 1)..after.map_or(input.len(), |newline| at + newline + 1)
}

fn repeat_line(input: &mut Vec<u8>, random: &mut Rng) {
    let line = line(input, random);
    let times = if random.u8(0..16) == 0 {
        random.usize(1..100)
    } else {
        1
    };
    let repeated = input[line.clone()].repeat(times);
    input.splice(line.end..line.end, repeated);
    input.truncate(LONGEST);
}

fn move_line(input: &mut Vec<u8>, random: &mut Rng) {
    let moved = line(input, random);
    let moved: Vec<u8> = input.drain(moved).collect();
    let at = line(input, random).start;
    input.splice(at..at, moved);
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-.:/%".contains(&byte) || byte >= 0x80
}

/// A word at or behind some place; what is between words where there is none.
fn token(input: &[u8], random: &mut Rng) -> Range<usize> {
    run_of(input, random, is_word)
}

fn run_of(input: &[u8], random: &mut Rng, inside: fn(u8) -> bool) -> Range<usize> {
    let at = random.usize(..=input.len());
    let Some(first) = input[at..].iter().position(|byte| inside(*byte)) else {
        return at..at;
    };
    let first = at + first;
    let start = input[..first].iter().rposition(|byte| !inside(*byte));
    let length = input[first..].iter().position(|byte| !inside(*byte));
    start.map_or(0, |before| before + 1)..length.map_or(input.len(), |length| first + length)
}

fn number(input: &mut Vec<u8>, random: &mut Rng) {
    let place = run_of(input, random, |byte| byte.is_ascii_digit());
    let new = random.choice(NUMBERS).unwrap_or("0");
    input.splice(place, new.bytes());
}
