//! IPVS_CMD_* (include/uapi/linux/ip_vs.h). A number that is not known survives as it is.

/// What a message asks or tells. Answers to GET come as the NEW or SET of the same thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    NewService,
    SetService,
    DelService,
    GetService,
    NewDest,
    SetDest,
    DelDest,
    GetDest,
    SetConfig,
    GetConfig,
    SetInfo,
    GetInfo,
    /// Empties the whole table. Named so that it is recognised; there is no request for it.
    Flush,
    /// The sync daemon's commands, ZERO, and whatever comes later.
    Other(u8),
}

const NUMBERS: [(Command, u8); 13] = [
    (Command::NewService, 1),
    (Command::SetService, 2),
    (Command::DelService, 3),
    (Command::GetService, 4),
    (Command::NewDest, 5),
    (Command::SetDest, 6),
    (Command::DelDest, 7),
    (Command::GetDest, 8),
    (Command::SetConfig, 12),
    (Command::GetConfig, 13),
    (Command::SetInfo, 14),
    (Command::GetInfo, 15),
    (Command::Flush, 17),
];

impl From<u8> for Command {
    fn from(number: u8) -> Command {
        NUMBERS
            .into_iter()
            .find(|(_, n)| *n == number)
            .map_or(Command::Other(number), |(command, _)| command)
    }
}

impl From<Command> for u8 {
    fn from(command: Command) -> u8 {
        match command {
            Command::Other(number) => number,
            known => NUMBERS
                .into_iter()
                .find(|(c, _)| *c == known)
                .map(|(_, number)| number)
                .expect("every command but Other has a number"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_survives() {
        for number in 0..=u8::MAX {
            assert_eq!(u8::from(Command::from(number)), number);
        }
        assert_eq!(Command::from(8), Command::GetDest);
        assert_eq!(Command::from(16), Command::Other(16));
    }
}
