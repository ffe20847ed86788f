//! Why there is no answer, and what to do about it.

use super::client::{LINE_BYTES_MAX, printable};
use crate::remote::Failure;
use crate::units::exact_size;
use godwit_control::Ask;
use godwit_shim::TransportError;
use std::io::{self, ErrorKind};
use std::time::Duration;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    /// Nobody is there.
    #[error("{address} cannot be reached: {error}")]
    Unreachable {
        /// Where.
        address: String,
        /// Why.
        error: TransportError,
    },
    /// Somebody is there, who does not speak TLS.
    #[error("{address} {}", instead(.error))]
    NoTls {
        /// Where.
        address: String,
        /// What came of it.
        error: TransportError,
    },
    /// It would be heard on the way.
    #[error("{0}")]
    Plaintext(TransportError),
    /// A certificate or a key that is none.
    #[error("{0}")]
    Files(TransportError),
    /// The question cannot be said, or the answer not be heard.
    #[error("the connection to the server is lost: {0}")]
    Lost(io::Error),
    /// One end does not accept the other.
    #[error("the server is spoken with no more: {0}")]
    Tls(TransportError),
    /// It does not hear plaintext.
    #[error("the server speaks TLS alone, and was asked without")]
    SpeaksTls,
    /// The server has gone.
    #[error("the server has closed the connection before its answer was whole")]
    Closed,
    /// The server, or the way to it, is gone, and so is what was followed.
    #[error("the server has closed the connection: nothing more is heard of what happens")]
    Ended,
    /// The server says nothing.
    #[error("the server has said nothing for {0:?}")]
    Silent(Duration),
    /// The server says too much.
    #[error("the server says a line of more than {}", exact_size(LINE_BYTES_MAX as u64))]
    TooLong,
    /// What it says is no answer.
    #[error("what the server says cannot be understood: {0}")]
    Garbage(String),
}

impl ControlError {
    /// What to do about it. `ask`: what was asked, if it came to that.
    fn help(&self, ask: Option<&Ask>) -> &'static str {
        match self {
            Self::Unreachable { error: TransportError::Io(error), .. }
                if error.kind() == ErrorKind::PermissionDenied =>
            {
                "the server's user and root may ask; it can name others in `users` of \
                 `[control]`, with a `socket` in a folder that they may enter"
            }
            Self::Unreachable { error: TransportError::Tls(_), .. } => {
                "the authority of `--tls-ca` must have signed the server's certificate, which \
                 must be valid now"
            }
            Self::Unreachable { .. } => {
                "is `godwit serve` running? `--connect` names its socket `ctl`"
            }
            Self::NoTls { .. } => {
                "is it the port of `listen` in `[control]`? Where that has `insecure_plaintext`, \
                 leave out `--tls-cert`, `--tls-key` and `--tls-ca`, which the environment may set"
            }
            Self::Plaintext(_) => {
                "name them: `--tls-cert`, `--tls-key` and `--tls-ca`; or `--insecure-plaintext`"
            }
            Self::SpeaksTls => "name a certificate: `--tls-cert`, `--tls-key` and `--tls-ca`",
            Self::Files(_) => "`--tls-cert`, `--tls-key` and `--tls-ca` name PEM files",
            Self::Tls(_) => {
                "the authority of the server's `tls_ca` must have signed `--tls-cert`, which must \
                 be valid now, and be for clients"
            }
            Self::Ended => {
                "ask again when it serves; `--after` shows what has happened behind a number"
            }
            Self::Lost(_) | Self::Closed | Self::Silent(_) if ask.is_none_or(changes) => {
                "whether it was done is not known: `godwit ctl list` and `godwit ctl events` tell"
            }
            Self::Lost(_) | Self::Closed | Self::Silent(_) => {
                "nothing was to be changed: see that `godwit serve` runs, and ask again"
            }
            Self::TooLong | Self::Garbage(_) => {
                "is it the control socket of a `godwit serve` of this version?"
            }
        }
    }

    /// How the command ends that has asked this, or was about to.
    pub(super) fn failure(&self, ask: Option<&Ask>) -> Failure {
        let text = format!("{}\nhelp: {}", printable(&self.to_string()), self.help(ask));
        match self {
            Self::Unreachable { .. } | Self::NoTls { .. } | Self::Plaintext(_) | Self::Files(_) => {
                Failure::Mistake(text)
            }
            _ => Failure::Refused(text),
        }
    }
}

/// What somebody does who does not speak TLS.
fn instead(error: &TransportError) -> String {
    match error {
        TransportError::Silent(time) => format!("has not begun to speak TLS for {time:?}"),
        _ => "answers with something else than TLS".to_owned(),
    }
}

/// Whether a server that is asked this may do something.
fn changes(ask: &Ask) -> bool {
    match ask {
        Ask::List {} | Ask::Show { .. } | Ask::Hosts {} | Ask::Host { .. } | Ask::Events(_) => {
            false
        }
        Ask::Create(_)
        | Ask::Destroy { .. }
        | Ask::Policy(_)
        | Ask::Share(_)
        | Ask::Suspend(_)
        | Ask::Resume(_)
        | Ask::Migrate(_)
        | Ask::Evacuate(_)
        | Ask::Resolve { .. }
        | Ask::Receive(_) => true,
    }
}
