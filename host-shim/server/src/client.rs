//! The other end of a socket: for migration managers, and for whoever plays a virtual machine.

use godwit_sys::{recv_with_fds, send_with_fds};
use godwit_vfio_proto::{
    Capabilities, DeviceState, DmaAccess, DmaReply, FeatureAnswer, FeatureCall, HEADER_BYTES,
    Header, Limits, MessageKind, PrecopyInfo, RegionAccess, Reply, Request, Version, WireError,
    region,
};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long an answer may take: a server waits 4 s for the machine at most.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a command has no result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The socket.
    #[error("the vGPU's server cannot be reached: {0}")]
    Socket(#[from] io::Error),
    /// The socket, before anything of the command was sent: nothing of it is done.
    #[error("the vGPU's server cannot be reached: {0}")]
    Unsent(io::Error),
    /// What came is no answer.
    #[error("the vGPU's server breaks the protocol: {0}")]
    Protocol(#[from] WireError),
    /// The command failed.
    #[error("the vGPU's server refuses: {}", io::Error::from_raw_os_error(*.0))]
    Refused(i32),
    /// An answer of another kind than was asked for.
    #[error("the vGPU's server answers something else than was asked")]
    Other,
}

impl ClientError {
    /// The number of Linux of a command that failed, and `EIO` of everything else.
    pub fn errno(&self) -> i32 {
        match self {
            Self::Refused(errno) => *errno,
            _ => rustix::io::Errno::IO.raw_os_error(),
        }
    }
}

/// Does what the device wants of guest memory: the bytes of a read, none for a write; an error is a
/// number of Linux.
pub type Memory = Box<dyn FnMut(&DmaAccess<'_>) -> Result<Vec<u8>, i32> + Send>;

/// A connection to a vGPU's device that waits for each answer.
pub struct Client {
    stream: UnixStream,
    limits: Limits,
    last_id: u16,
    memory: Option<Memory>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl Client {
    /// Connects to a socket, and agrees on a version.
    ///
    /// # Errors
    ///
    /// When there is no server, or it does not agree.
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        Self::over(UnixStream::connect(path)?)
    }

    /// The same over a connection that is there.
    ///
    /// # Errors
    ///
    /// When there is no agreement.
    pub fn over(stream: UnixStream) -> Result<Self, ClientError> {
        let mut client = Self::without_version(stream)?;
        client.meet()?;
        Ok(client)
    }

    /// A connection on which nothing was said.
    ///
    /// # Errors
    ///
    /// When the system refuses a time limit.
    pub fn without_version(stream: UnixStream) -> Result<Self, ClientError> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, limits: Limits::default(), last_id: 0, memory: None })
    }

    /// Agrees on a version.
    ///
    /// # Errors
    ///
    /// When there is no agreement.
    pub fn meet(&mut self) -> Result<(), ClientError> {
        let capabilities = Capabilities {
            max_msg_fds: Some(self.limits.fds),
            max_data_xfer_size: Some(self.limits.data_bytes),
            ..Capabilities::NONE
        };
        let (major, minor) = Version::NEWEST;
        let version = Version { major, minor, capabilities };
        let takes = self.ask(&Request::Version(version), &[], |reply, _| match reply {
            Reply::Version(version) => Some(version.capabilities.limits()),
            _ => None,
        })?;
        let takes = takes.ok_or(ClientError::Other)?;
        self.limits.data_bytes = self.limits.data_bytes.min(takes.data_bytes);
        Ok(())
    }

    /// Answers the device's accesses to guest memory with this.
    pub fn set_memory(&mut self, memory: Memory) {
        self.memory = Some(memory);
    }

    /// The socket, to say what no client says.
    pub fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Bytes that are read or written at once.
    pub fn data_bytes(&self) -> u32 {
        self.limits.data_bytes
    }

    /// Asks, and hands the answer and its descriptors to `take`.
    ///
    /// # Errors
    ///
    /// When there is no answer, or it says that the command failed.
    pub fn ask<T>(
        &mut self,
        request: &Request<'_>,
        fds: &[BorrowedFd<'_>],
        take: impl FnOnce(Reply<'_>, Vec<OwnedFd>) -> T,
    ) -> Result<T, ClientError> {
        self.last_id = self.last_id.wrapping_add(1);
        let id = self.last_id;
        self.send(&request.encode(id), fds)?;
        loop {
            let (header, body, fds) = self.receive()?;
            match header.kind {
                MessageKind::Command { .. } => self.serve_memory(&header, &body)?,
                // What nobody waited for any more.
                MessageKind::Reply { .. }
                    if id.wrapping_sub(header.id) < 0x8000 && header.id != id => {}
                MessageKind::Reply { .. } if header.id != id => return Err(ClientError::Other),
                MessageKind::Reply { error: Some(errno) } => {
                    return Err(ClientError::Refused(errno.cast_signed()));
                }
                MessageKind::Reply { error: None } => {
                    return Ok(take(Reply::parse(request, &header, &body, &self.limits)?, fds));
                }
            }
        }
    }

    /// Answers what the device asks of guest memory, for so long.
    ///
    /// # Errors
    ///
    /// When the connection has ended.
    pub fn serve_for(&mut self, time: Duration) -> Result<(), ClientError> {
        let end = std::time::Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                break;
            }
            self.stream.set_read_timeout(Some(left))?;
            let mut first = [0; 1];
            let peeked = rustix::net::recv(&self.stream, &mut first, rustix::net::RecvFlags::PEEK);
            self.stream.set_read_timeout(Some(PATIENCE))?;
            match peeked.map_err(io::Error::from) {
                Ok((0, _)) => return Err(io::Error::from(ErrorKind::UnexpectedEof).into()),
                Ok(_) => {
                    let (header, body, _) = self.receive()?;
                    self.serve_memory(&header, &body)?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn serve_memory(&mut self, header: &Header, body: &[u8]) -> Result<(), ClientError> {
        let access = DmaAccess::parse(header, body, &self.limits)?;
        let done = match &mut self.memory {
            Some(memory) => memory(&access),
            None => Err(rustix::io::Errno::FAULT.raw_os_error()),
        };
        let message = match (done, access) {
            (Err(errno), _) => header.failure(errno).to_vec(),
            (Ok(data), DmaAccess::Read { iova, .. }) => {
                DmaReply::Read { iova, data: &data }.encode(header)
            }
            (Ok(_), DmaAccess::Write { iova, data }) => {
                let count = data.len() as u64;
                DmaReply::Written { iova, count }.encode(header)
            }
        };
        self.send(&message, &[])
    }

    fn send(&mut self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), ClientError> {
        let mut sent = 0;
        while sent < bytes.len() {
            let with = if sent == 0 { fds } else { &[] };
            match send_with_fds(self.stream.as_fd(), &bytes[sent..], with) {
                Ok(count) => sent += count,
                Err(error) if sent == 0 => return Err(ClientError::Unsent(error)),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<(Header, Vec<u8>, Vec<OwnedFd>), ClientError> {
        let mut fds = Vec::new();
        let mut head = [0; HEADER_BYTES];
        self.fill(&mut head, &mut fds)?;
        let header = Header::parse(&head, &self.limits)?;
        let mut body = vec![0; header.body_bytes()];
        self.fill(&mut body, &mut Vec::new())?;
        Ok((header, body, fds))
    }

    fn fill(&mut self, into: &mut [u8], fds: &mut Vec<OwnedFd>) -> io::Result<()> {
        let mut had = 0;
        while had < into.len() {
            match recv_with_fds(self.stream.as_fd(), &mut into[had..], fds) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => had += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Err(io::Error::new(ErrorKind::TimedOut, "there is no answer in time"));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// What a migration manager asks.
impl Client {
    fn feature<T>(
        &mut self,
        call: FeatureCall,
        take: impl FnOnce(FeatureAnswer<'_>) -> Option<T>,
    ) -> Result<T, ClientError> {
        let taken = self.ask(&Request::Feature(call), &[], |reply, _| match reply {
            Reply::Feature(_, answer) => take(answer),
            _ => None,
        })?;
        taken.ok_or(ClientError::Other)
    }

    /// Whether it is done.
    ///
    /// # Errors
    ///
    /// When it is not.
    pub fn call(&mut self, call: FeatureCall) -> Result<(), ClientError> {
        self.feature(call, |answer| (answer == FeatureAnswer::Done).then_some(()))
    }

    /// The vGPU's state of a migration.
    ///
    /// # Errors
    ///
    /// When it is not told.
    pub fn state(&mut self) -> Result<DeviceState, ClientError> {
        self.feature(FeatureCall::GetState, |answer| match answer {
            FeatureAnswer::State(state) => Some(state),
            _ => None,
        })
    }

    /// Brings the vGPU to another state, by its number in `include/uapi/linux/vfio.h`.
    ///
    /// # Errors
    ///
    /// When it does not come there.
    pub fn set_state(&mut self, state: DeviceState) -> Result<(), ClientError> {
        self.call(FeatureCall::SetState { state, data_fd: 0 })
    }

    /// What is to be read before a stop.
    ///
    /// # Errors
    ///
    /// When it is not told: in every state but PRE_COPY and PRE_COPY_P2P.
    pub fn precopy_info(&mut self) -> Result<PrecopyInfo, ClientError> {
        self.feature(FeatureCall::GetPrecopyInfo, |answer| match answer {
            FeatureAnswer::Precopy(info) => Some(info),
            _ => None,
        })
    }

    /// Bytes of the stop-and-copy part, at most.
    ///
    /// # Errors
    ///
    /// When it is not told.
    pub fn data_size(&mut self) -> Result<u64, ClientError> {
        self.feature(FeatureCall::GetDataSize, |answer| match answer {
            FeatureAnswer::DataSize(bytes) => Some(bytes),
            _ => None,
        })
    }

    /// What was written of guest memory, as a bitmap.
    ///
    /// # Errors
    ///
    /// When it is not told.
    pub fn log_report(
        &mut self,
        report: godwit_vfio_proto::LogReport,
    ) -> Result<Vec<u8>, ClientError> {
        self.feature(FeatureCall::LogReport(report), |answer| match answer {
            FeatureAnswer::Report(bitmap) => Some(bitmap.to_vec()),
            _ => None,
        })
    }

    /// The next bytes of the vGPU's state, up to so many: fewer are the end for now.
    ///
    /// # Errors
    ///
    /// When the state cannot be read.
    pub fn read_state(&mut self, most: u32) -> Result<Vec<u8>, ClientError> {
        let most = most.min(self.limits.data_bytes);
        let data = self.ask(&Request::MigDataRead(most), &[], |reply, _| match reply {
            Reply::MigData(data) => Some(data.to_vec()),
            _ => None,
        })?;
        data.ok_or(ClientError::Other)
    }

    /// Writes bytes of a vGPU's state.
    ///
    /// # Errors
    ///
    /// When they are not taken.
    pub fn write_state(&mut self, data: &[u8]) -> Result<(), ClientError> {
        for part in data.chunks(self.limits.data_bytes as usize) {
            self.ask(&Request::MigDataWrite(part), &[], |_, _| ())?;
        }
        Ok(())
    }

    /// Reads the configuration space.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn read_config(&mut self, offset: u64, count: u32) -> Result<Vec<u8>, ClientError> {
        let access = RegionAccess { region: region::CONFIG, offset, count };
        self.read_region(access)
    }

    /// Reads a region.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn read_region(&mut self, access: RegionAccess) -> Result<Vec<u8>, ClientError> {
        let data = self.ask(&Request::RegionRead(access), &[], |reply, _| match reply {
            Reply::RegionRead(_, data) => Some(data.to_vec()),
            _ => None,
        })?;
        data.ok_or(ClientError::Other)
    }

    /// Writes a region.
    ///
    /// # Errors
    ///
    /// When it is not written.
    pub fn write_region(
        &mut self,
        region: u32,
        offset: u64,
        data: &[u8],
    ) -> Result<(), ClientError> {
        let count = data.len() as u32;
        let access = RegionAccess { region, offset, count };
        self.ask(&Request::RegionWrite(access, data), &[], |_, _| ())
    }

    /// Resets the vGPU.
    ///
    /// # Errors
    ///
    /// When it is not as new then.
    pub fn reset(&mut self) -> Result<(), ClientError> {
        self.ask(&Request::Reset, &[], |_, _| ())
    }
}
