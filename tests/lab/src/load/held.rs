//! A server for more connections than there can be threads: it takes them, keeps them, and answers who asks.
//! Must not: close a connection of which nobody asked that.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::server::{Server, converse_once, listen};

/// Requests that are looked at together.
const EVENTS: usize = 256;

struct Hall {
    server: Server,
    epoll: OwnedFd,
    guests: Mutex<HashMap<u64, TcpStream>>,
}

/// Serves until it is killed.
pub fn serve(name: &str, addresses: &[SocketAddr]) -> io::Result<()> {
    allow_files()?;
    let hall = Arc::new(Hall {
        server: Server::new(name),
        epoll: epoll::create(CreateFlags::CLOEXEC)?,
        guests: Mutex::default(),
    });
    for (number, address) in addresses.iter().enumerate() {
        let (hall, listener) = (Arc::clone(&hall), listen(*address)?);
        thread::spawn(move || hall.let_in(&listener, (number as u64) << 32));
    }
    println!("ready");
    hall.attend()
}

/// As many files as this process may have.
pub fn allow_files() -> io::Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = maximum;
    Ok(setrlimit(Resource::Nofile, Rlimit { current, maximum })?)
}

impl Hall {
    fn guests(&self) -> MutexGuard<'_, HashMap<u64, TcpStream>> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn let_in(&self, listener: &TcpListener, mut number: u64) {
        loop {
            let Ok((stream, _)) = listener.accept() else {
                continue;
            };
            number += 1;
            let data = EventData::new_u64(number);
            if epoll::add(&self.epoll, stream.as_fd(), data, EventFlags::IN).is_ok() {
                self.guests().insert(number, stream);
            }
        }
    }

    fn attend(&self) -> io::Result<()> {
        let nothing = Event {
            flags: EventFlags::empty(),
            data: EventData::new_u64(0),
        };
        let mut events = [nothing; EVENTS];
        loop {
            let count = match epoll::wait(&self.epoll, &mut events, None) {
                Ok(count) => count,
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            for event in &events[..count] {
                let number = event.data.u64();
                let mut guests = self.guests();
                // One that was let in a moment ago may not be entered yet: its event comes again.
                if let Some(stream) = guests.get(&number)
                    && !converse_once(&self.server, stream).unwrap_or(false)
                {
                    guests.remove(&number);
                }
            }
        }
    }
}
