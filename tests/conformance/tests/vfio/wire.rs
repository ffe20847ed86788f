//! A vGPU behind a socket, as a migration manager has it.

use crate::device::ShimDevice;
use godwit_conformance::vfio::{Device, DmaRange, PrecopyInfo, errno, state};
use godwit_server::Who;
use godwit_shim::Host;
use godwit_vfio_proto::{
    Capabilities, FeatureAnswer, FeatureCall, HEADER_BYTES, Header, Limits, LogReport, MessageKind,
    Reply, Request, Version,
};
use std::cell::RefCell;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

/// Turns of the device without a byte either way: more, and it does not answer.
const TURNS_MAX: u32 = 1_000;

/// The device, the manager's end of the socket, and the host that both are on.
#[derive(Debug)]
pub(crate) struct WireDevice {
    host: Rc<RefCell<Host>>,
    device: godwit_server::Device,
    stream: UnixStream,
    last_id: u16,
}

fn range(range: DmaRange) -> godwit_vfio_proto::DmaRange {
    godwit_vfio_proto::DmaRange { iova: range.iova, length: range.byte_count }
}

impl WireDevice {
    /// Puts a socket in front of a vGPU.
    pub(crate) fn new(shim: ShimDevice, _: u32) -> Self {
        let ShimDevice { host, device } = shim;
        let (ours, theirs) = UnixStream::pair().expect("the system gives sockets");
        ours.set_nonblocking(true).expect("a socket need not wait");
        theirs.set_nonblocking(true).expect("a socket need not wait");
        let mut at = host.borrow_mut();
        let (gfid, uuid) = (device.gfid(), device.uuid());
        let device = godwit_server::Device::new(&mut at, "vgpu", gfid, uuid);
        let mut device = device.expect("it runs");
        device.attach(&mut at, Who::Manager, theirs);
        drop(at);
        let mut wire = Self { host, device, stream: ours, last_id: 0 };
        let capabilities = Capabilities::NONE;
        let version = Version { major: 0, minor: 1, capabilities };
        wire.ask(&Request::Version(version), |_| ()).expect("versions agree");
        wire
    }

    /// Asks, and lets the device work until it has answered.
    fn ask<T>(
        &mut self,
        request: &Request<'_>,
        take: impl FnOnce(Reply<'_>) -> T,
    ) -> Result<T, i32> {
        self.last_id = self.last_id.wrapping_add(1);
        let message = request.encode(self.last_id);
        let (mut sent, mut came, mut idle) = (0, Vec::new(), 0);
        loop {
            idle += 1;
            assert!(idle < TURNS_MAX, "there is no answer: {:?}", self.device.take_notes());
            if sent < message.len() {
                match self.stream.write(&message[sent..]) {
                    Ok(count) => (sent, idle) = (sent + count, 0),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                }
            }
            self.device.step(&mut self.host.borrow_mut());
            let mut part = [0; 1 << 16];
            match self.stream.read(&mut part) {
                Ok(count) => {
                    came.extend_from_slice(&part[..count]);
                    idle = 0;
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            let limits = Limits::default();
            let Some((head, body)) = came.split_first_chunk::<HEADER_BYTES>() else { continue };
            let header = Header::parse(head, &limits).expect("a header");
            if body.len() < header.body_bytes() {
                continue;
            }
            assert_eq!(header.id, self.last_id);
            return match header.kind {
                MessageKind::Reply { error: None } => {
                    Ok(take(Reply::parse(request, &header, body, &limits).expect("an answer")))
                }
                MessageKind::Reply { error: Some(errno) } => Err(errno.cast_signed()),
                kind => panic!("{kind:?} is no answer"),
            };
        }
    }

    fn call<T>(
        &mut self,
        call: FeatureCall,
        take: impl FnOnce(FeatureAnswer<'_>) -> T,
    ) -> Result<T, i32> {
        self.ask(&Request::Feature(call), |reply| match reply {
            Reply::Feature(_, answer) => take(answer),
            reply => panic!("{reply:?}"),
        })
    }

    fn done(&mut self, call: FeatureCall) -> Result<(), i32> {
        self.call(call, |answer| assert_eq!(answer, FeatureAnswer::Done))
    }
}

impl Device for WireDevice {
    fn state(&mut self) -> u32 {
        let state = self.call(FeatureCall::GetState, |answer| match answer {
            FeatureAnswer::State(state) => state,
            answer => panic!("{answer:?}"),
        });
        state.expect("the state is always told")
    }

    fn set_state(&mut self, state: u32) -> Result<(), i32> {
        self.done(FeatureCall::SetState { state, data_fd: 0 })
    }

    /// Over the wire no data and no data for now are the same.
    fn read(&mut self, into: &mut [u8]) -> Result<usize, i32> {
        let most = u32::try_from(into.len()).expect("a buffer of this suite");
        let count = self.ask(&Request::MigDataRead(most), |reply| match reply {
            Reply::MigData(data) => {
                into[..data.len()].copy_from_slice(data);
                data.len()
            }
            reply => panic!("{reply:?}"),
        })?;
        if count == 0 && most != 0 && state::runs(self.state()) {
            return Err(errno::ENOMSG);
        }
        Ok(count)
    }

    fn write(&mut self, from: &[u8]) -> Result<usize, i32> {
        self.ask(&Request::MigDataWrite(from), |_| ())?;
        Ok(from.len())
    }

    fn precopy_info(&mut self) -> Result<PrecopyInfo, i32> {
        self.call(FeatureCall::GetPrecopyInfo, |answer| match answer {
            FeatureAnswer::Precopy(info) => {
                let godwit_vfio_proto::PrecopyInfo { initial_bytes, dirty_bytes, reinit } = info;
                PrecopyInfo { initial_bytes, dirty_bytes, reinit }
            }
            answer => panic!("{answer:?}"),
        })
    }

    fn data_size(&mut self) -> Result<u64, i32> {
        self.call(FeatureCall::GetDataSize, |answer| match answer {
            FeatureAnswer::DataSize(bytes) => bytes,
            answer => panic!("{answer:?}"),
        })
    }

    fn reset(&mut self) -> Result<(), i32> {
        self.ask(&Request::Reset, |_| ())
    }

    /// Over the wire nobody is told of a page of another length.
    fn dma_log_start(&mut self, ranges: &[DmaRange], page_bytes: u64) -> Result<u64, i32> {
        let ranges = ranges.iter().copied().map(range).collect();
        self.done(FeatureCall::LogStart { page_bytes, ranges })?;
        Ok(page_bytes)
    }

    fn dma_log_report(
        &mut self,
        of: DmaRange,
        page_bytes: u64,
        bitmap: &mut [u8],
    ) -> Result<(), i32> {
        let report = LogReport { range: range(of), page_bytes };
        self.call(FeatureCall::LogReport(report), |answer| match answer {
            FeatureAnswer::Report(found) => {
                for (bits, found) in bitmap.iter_mut().zip(found) {
                    *bits |= found;
                }
            }
            answer => panic!("{answer:?}"),
        })
    }

    fn dma_log_stop(&mut self) -> Result<(), i32> {
        self.done(FeatureCall::LogStop)
    }
}
