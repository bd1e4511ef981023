//! One HTTP check over plain connections, as a state that the sockets' readiness moves: no task, and no memory but the request's until an
//! answer comes in pieces. Must not: wait, or know what else is under way.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lb_core::check::{CheckKind, CheckParams, HttpCheck};
use lb_core::health::{Outcome, Told};
use rustix::event::epoll::EventFlags;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt};

use super::answer::Answer;
use super::http::{READ, Request};
use super::way::not_connected;
use super::{Progress, Stage, broken};

#[derive(Debug)]
pub(super) struct Asked {
    params: Arc<CheckParams>,
    target: SocketAddr,
    page: usize,
    /// Of the request; nothing: it was sent.
    unsent: Vec<u8>,
    answer: Answer,
}

/// What a check comes to.
#[derive(Debug)]
pub(super) enum Next {
    Wait,
    /// Another connection, for the next page.
    Connect,
    Over(Result<Told, Outcome>),
}

impl Asked {
    /// `None`: it is not asked over a plain connection.
    pub fn new(params: &Arc<CheckParams>, target: SocketAddr) -> Option<Asked> {
        let mut asked = Asked {
            params: params.clone(),
            target,
            page: 0,
            unsent: Vec::new(),
            answer: Answer::default(),
        };
        asked.unsent = asked.request()?.text();
        Some(asked)
    }

    fn http(&self) -> Option<&HttpCheck> {
        match &self.params.kind {
            CheckKind::Http(http) if http.tls.is_none() => Some(http),
            _ => None,
        }
    }

    fn request(&self) -> Option<Request<'_>> {
        let check = self.http()?;
        let page = check.pages.get(self.page)?;
        let target = self.target;
        Some(Request { check, page, target })
    }

    pub fn late(&self, timeout: Duration) -> Outcome {
        let progress = Progress::default();
        progress.is_at(match (self.unsent.is_empty(), &self.answer.head) {
            (false, _) => Stage::Connecting,
            (true, None) => Stage::Answer,
            (true, Some(_)) => Stage::Body,
        });
        progress.late(timeout)
    }

    /// The socket is ready for this.
    pub fn go_on(&mut self, socket: &OwnedFd, flags: EventFlags) -> Next {
        let done = self
            .send(socket, flags)
            .and_then(|()| self.receive(socket, flags));
        match done {
            Ok(None) => Next::Wait,
            Ok(Some(told)) => {
                if flags.contains(EventFlags::RDHUP) {
                    // The server has closed and hears nothing of it: a packet less, and no connection that is remembered for minutes.
                    let _ = sockopt::set_socket_linger(socket, Some(Duration::ZERO));
                }
                self.turn(told)
            }
            Err(outcome) => Next::Over(Err(outcome)),
        }
    }

    fn send(&mut self, socket: &OwnedFd, flags: EventFlags) -> Result<(), Outcome> {
        if self.unsent.is_empty() || !flags.intersects(EventFlags::OUT | EventFlags::ERR | EventFlags::HUP) {
            return Ok(());
        }
        match send(socket, &self.unsent, SendFlags::NOSIGNAL) {
            Ok(sent) if sent == self.unsent.len() => self.unsent = Vec::new(),
            Ok(sent) => drop(self.unsent.drain(..sent)),
            Err(Errno::AGAIN) => {}
            // Also of the connection that was not made.
            Err(errno) => return Err(not_connected(&errno.into())),
        }
        Ok(())
    }

    fn receive(&mut self, socket: &OwnedFd, flags: EventFlags) -> Result<Option<Told>, Outcome> {
        if !flags.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::ERR | EventFlags::HUP) {
            return Ok(None);
        }
        let mut buffer = [0; READ];
        loop {
            let length = match recv(socket, &mut buffer[..], RecvFlags::empty()) {
                Ok((length, _)) => length,
                Err(Errno::AGAIN) => return Ok(None),
                Err(errno) => return Err(broken(&io::Error::from(errno))),
            };
            let mut answer = std::mem::take(&mut self.answer);
            let request = self.request();
            let judged = request.map_or(Ok(Some(Told::Nothing)), |request| {
                request.judge(&mut answer, &buffer[..length])
            });
            self.answer = answer;
            if let Some(told) = judged? {
                return Ok(Some(told));
            }
            // What comes after a read that was not full is told anew; an end that is there already is not.
            if length < READ && !flags.contains(EventFlags::RDHUP) {
                return Ok(None);
            }
        }
    }

    /// To the next page, if there is one.
    fn turn(&mut self, told: Told) -> Next {
        self.page += 1;
        self.answer = Answer::default();
        match self.request().map(|request| request.text()) {
            Some(text) => {
                self.unsent = text;
                Next::Connect
            }
            None => Next::Over(Ok(told)),
        }
    }
}
