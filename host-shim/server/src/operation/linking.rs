//! The way to another server: its control socket, which becomes a link.
//!
//! It is made by a thread of its own, since names are looked up and connections are made by calls
//! that wait.

use godwit_control::{Ask, Code, LINE_BYTES_MAX, Receive, Refusal, Told};
use godwit_shim::{LinkAddress, LinkPort, Protection, Socket, TransportError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::sync::mpsc::{self, TryRecvError};
use std::time::{Duration, Instant};

/// How long the other server may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How long a link that was lost is not made again.
const RETRY: Duration = Duration::from_millis(500);

/// Where a vGPU is sent.
#[derive(Clone, Debug)]
pub(crate) struct There {
    pub(crate) address: LinkAddress,
    pub(crate) protection: Protection,
    pub(crate) receive: Receive,
}

/// A link that may be lost and is made again.
#[derive(Debug)]
pub(crate) enum Link {
    /// It is being made.
    Coming(mpsc::Receiver<Result<LinkPort, Refusal>>),
    /// It is there.
    There(Box<LinkPort>),
    /// It is lost; since when.
    Lost(Instant),
}

impl Link {
    /// Begins to make it.
    pub(crate) fn new(there: &There) -> Self {
        let (done, coming) = mpsc::channel();
        let there = there.clone();
        let made = std::thread::Builder::new().name("link".into()).spawn(move || {
            // Whoever asked may be gone.
            let _ = done.send(there.connect());
        });
        match made {
            Ok(_) => Self::Coming(coming),
            Err(_) => Self::Lost(Instant::now()),
        }
    }

    /// Goes on making it. `Some`: it is there from now on, or could not be made.
    pub(crate) fn step(&mut self, there: &There) -> Option<Result<(), Refusal>> {
        match self {
            Self::There(_) => None,
            Self::Lost(since) => {
                if since.elapsed() > RETRY {
                    *self = Self::new(there);
                }
                None
            }
            Self::Coming(coming) => match coming.try_recv() {
                Err(TryRecvError::Empty) => None,
                Ok(Ok(port)) => {
                    *self = Self::There(Box::new(port));
                    Some(Ok(()))
                }
                Ok(Err(refusal)) => {
                    *self = Self::Lost(Instant::now());
                    Some(Err(refusal))
                }
                Err(TryRecvError::Disconnected) => {
                    *self = Self::Lost(Instant::now());
                    Some(Err(Refusal::new(Code::Failed, "no link can be made").help("try again")))
                }
            },
        }
    }

    pub(crate) fn port(&mut self) -> Option<&mut LinkPort> {
        match self {
            Self::There(port) => Some(port),
            Self::Coming(_) | Self::Lost(_) => None,
        }
    }
}

impl There {
    fn connect(&self) -> Result<LinkPort, Refusal> {
        let failed = |error: TransportError| {
            let why = format!("{}: {error}", self.address);
            let help = "is `godwit serve` running there, and may this server connect to it?";
            Refusal::new(Code::Failed, why).help(help)
        };
        let mut socket = Socket::connect(&self.address, &self.protection).map_err(failed)?;
        let mut line = serde_json::to_vec(&Ask::Receive(self.receive.clone())).unwrap_or_default();
        line.push(b'\n');
        let answer = ask(&mut socket, &line).map_err(failed)?;
        match serde_json::from_slice(&answer) {
            Ok(Told::Receiving(_)) => Ok(LinkPort::over(socket)),
            Ok(Told::Error(refusal)) => Err(Refusal {
                message: format!("{}: {}", self.address, refusal.message),
                ..refusal
            }),
            _ => {
                let why = format!("{} answers what is no answer", self.address);
                Err(Refusal::new(Code::Failed, why).help("is it a server's control socket?"))
            }
        }
    }
}

/// Says a line and waits for one. What follows it is not read.
fn ask(socket: &mut Socket, mut line: &[u8]) -> Result<Vec<u8>, TransportError> {
    let end = Instant::now() + ANSWER_MAX;
    let mut answer = Vec::new();
    loop {
        let sent = socket.send(line)?;
        line = &line[sent..];
        // A byte at a time: what follows the line is the link's.
        let mut byte = [0];
        while socket.receive(&mut byte)?.is_some() {
            if byte == *b"\n" {
                return Ok(answer);
            }
            answer.extend(byte);
            if answer.len() > LINE_BYTES_MAX {
                return Err(std::io::Error::other("its answer is too long").into());
            }
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(TransportError::Silent(ANSWER_MAX));
        }
        let mut flags = PollFlags::IN;
        flags.set(PollFlags::OUT, !line.is_empty() || socket.wants_write());
        let most = Timespec::try_from(left).map_err(std::io::Error::other)?;
        match poll(&mut [PollFd::new(&*socket, flags)], Some(&most)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(std::io::Error::from(error).into()),
        }
    }
}
