//! Why a connection ends.

use godwit_sys::FDS_MAX;
use godwit_vfio_proto::WireError;
use std::io;

/// See the module.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Cut {
    /// The peer has closed it.
    #[error("the peer has closed the connection")]
    Closed,
    /// The socket.
    #[error("the connection broke: {0}")]
    Socket(#[from] io::Error),
    /// What came is no message, so nothing after it can be understood.
    #[error("the peer breaks the protocol: {0}")]
    Protocol(#[from] WireError),
    /// Descriptors that came with the parts of one header.
    #[error("the peer sends more than {FDS_MAX} file descriptors with one message")]
    Descriptors,
    /// The first message is another.
    #[error("the peer begins with command {0}, and not with VERSION")]
    NoVersion(u16),
    /// There is no first message.
    #[error("the peer has said nothing for {0} seconds")]
    Silent(u64),
}
