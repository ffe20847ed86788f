//! What an attacker says: everything that a client may, and the same with something wrong.

use godwit_vfio_proto::{
    Capabilities, Command, DmaFlags, DmaMap, DmaRange, DmaUnmap, FeatureCall, HEADER_BYTES, Header,
    IrqAction, IrqData, LogReport, RegionAccess, Request, SetIrqs, Version, Writes, irq, region,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// Numbers at which something ends.
const EDGES: [u64; 20] = [
    0,
    1,
    3,
    4,
    15,
    16,
    4095,
    4096,
    4097,
    0xffff,
    1 << 16,
    (1 << 20) - 1,
    1 << 20,
    (1 << 20) + 1,
    1 << 31,
    u32::MAX as u64,
    1 << 32,
    1 << 63,
    u64::MAX - 4095,
    u64::MAX,
];

/// The first message of a client that keeps the rules.
pub(crate) fn version() -> Request<'static> {
    let capabilities = Capabilities { max_msg_fds: Some(16), ..Capabilities::NONE };
    Request::Version(Version { major: 0, minor: 1, capabilities })
}

/// Chances from a seed.
pub(crate) struct Chance(ChaCha8Rng);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A number below another.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0.next_u64() % end
    }

    /// One time in so many.
    pub(crate) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    pub(crate) fn bytes(&mut self, count: u64) -> Vec<u8> {
        let mut bytes = vec![0; count as usize];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// A number that is likely to be next to a limit.
    fn edge(&mut self) -> u64 {
        match self.below(3) {
            0 => self.pick(&EDGES),
            1 => self.below(1 << 17),
            _ => self.0.next_u64(),
        }
    }
}

/// A whole message of a command that may be one of none.
pub(crate) fn message(command: u16, body: &[u8]) -> Vec<u8> {
    let header = Header::command(0, Command::Version, body.len() as u32);
    let mut bytes = header.encode().to_vec();
    bytes[2..4].copy_from_slice(&command.to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// The next message of an attacker, with how many descriptors it comes.
pub(crate) fn next(chance: &mut Chance) -> (Vec<u8>, usize) {
    let mut bytes = match chance.below(40) {
        0..4 => feature(chance),
        4..8 => answer(chance),
        8 => {
            let count = 16 + chance.below(200);
            chance.bytes(count)
        }
        _ => request(chance),
    };
    if chance.one_in(2) {
        mutate(chance, &mut bytes);
    }
    let fds = if chance.one_in(8) { chance.below(18) as usize } else { 0 };
    (bytes, fds)
}

/// Something that makes sense, or would with other numbers.
fn request(chance: &mut Chance) -> Vec<u8> {
    let id = chance.below(1 << 16) as u16;
    let page = chance.below(32) * 4096;
    match chance.below(14) {
        0 => version().encode(id),
        1 => Request::DmaMap(DmaMap {
            flags: DmaFlags::from_bits_truncate(chance.below(16) as u32),
            offset: chance.pick(&[0, page, 1]),
            iova: chance.pick(&[page, 1 << 32, u64::MAX - 4095, page + 1]),
            length: chance.pick(&[4096, page, 1 << 20, 1 << 40, 0]),
        })
        .encode(id),
        2 => Request::DmaUnmap(match chance.one_in(3) {
            true => DmaUnmap::All,
            false => DmaUnmap::One { iova: page, length: 4096 },
        })
        .encode(id),
        3 => Request::DeviceInfo.encode(id),
        4 => {
            let (index, room) = (chance.below(10) as u32, chance.edge() as u32);
            Request::RegionInfo { index, room }.encode(id)
        }
        5 => Request::IrqInfo(chance.below(6) as u32).encode(id),
        6 => set_irqs(chance, id),
        7 => Request::RegionRead(access(chance)).encode(id),
        8 => {
            let (access, count) = (access(chance), chance.pick(&[1, 2, 4, 8, 4096, 65536]));
            let data = chance.bytes(count);
            Request::RegionWrite(RegionAccess { count: count as u32, ..access }, &data).encode(id)
        }
        9 => {
            let mut entries = Vec::new();
            for _ in 0..chance.below(40) {
                let access = access(chance);
                let count = chance.below(9);
                Writes::push(&mut entries, access.region, access.offset, &chance.bytes(count));
            }
            Request::RegionWriteMulti(Writes::over(&entries)).encode(id)
        }
        10 => Request::Reset.encode(id),
        11 => Request::Feature(call(chance)).encode(id),
        12 => Request::MigDataRead(chance.pick(&[0, 1, 4096, 1 << 16, 1 << 20])).encode(id),
        _ => {
            let count = chance.pick(&[0, 1, 100, 4096, 1 << 16]);
            Request::MigDataWrite(&chance.bytes(count)).encode(id)
        }
    }
}

fn access(chance: &mut Chance) -> RegionAccess {
    let region = chance.pick(&[region::BAR0, 2, 4, region::CONFIG, region::ROM, 8, 9, u32::MAX]);
    let offset = if chance.one_in(4) { chance.edge() } else { chance.below(0x1000) & !3 };
    RegionAccess { region, offset, count: chance.pick(&[0, 1, 4, 8, 64, 4096, 1 << 20]) }
}

fn set_irqs(chance: &mut Chance, id: u16) -> Vec<u8> {
    let count = chance.pick(&[0, 1, 2, 16, 32, 33, 1 << 20, u32::MAX]);
    let bools = chance.bytes(u64::from(count.min(64)));
    let data = match chance.below(3) {
        0 => IrqData::None,
        1 => IrqData::Bool(&bools),
        _ => IrqData::Eventfd,
    };
    let action = chance.pick(&[IrqAction::Mask, IrqAction::Unmask, IrqAction::Trigger]);
    let index = chance.pick(&[irq::INTX, irq::MSIX, irq::MSIX, irq::ERR, irq::REQ, irq::COUNT]);
    let start = chance.pick(&[0, 1, 31, 32, u32::MAX]);
    Request::SetIrqs(SetIrqs { index, start, count, action, data }).encode(id)
}

fn call(chance: &mut Chance) -> FeatureCall {
    let iova = chance.below(8) * 4096;
    match chance.below(9) {
        0 => FeatureCall::GetMigration,
        1 => FeatureCall::GetState,
        2 | 3 => FeatureCall::SetState { state: chance.below(10) as u32, data_fd: 0 },
        4 => {
            let count = chance.pick(&[0u64, 1, 2, 64, 65]);
            let length = chance.pick(&[4096, 1 << 16, 1 << 50]);
            let range = |at| DmaRange { iova: iova + at * (1 << 20), length };
            let page_bytes = chance.pick(&[1, 4096, 1 << 20, 1 << 40]);
            FeatureCall::LogStart { page_bytes, ranges: (0..count).map(range).collect() }
        }
        5 => FeatureCall::LogStop,
        6 => {
            let length = chance.pick(&[4096, 1 << 16, 1 << 30, 1 << 50]);
            let range = DmaRange { iova, length };
            FeatureCall::LogReport(LogReport {
                range,
                page_bytes: chance.pick(&[1, 4096, 1 << 30]),
            })
        }
        7 => FeatureCall::GetDataSize,
        _ => FeatureCall::GetPrecopyInfo,
    }
}

/// A feature by its number, whether or not there is one, with flags that need not go together.
pub(crate) fn feature(chance: &mut Chance) -> Vec<u8> {
    let number = match chance.below(3) {
        0 => 0xf0d1,
        1 => chance.below(20) as u32,
        _ => chance.below(1 << 16) as u32,
    };
    let flags = number | (chance.below(16) as u32) << 16;
    let argsz = chance.pick(&[0, 8, 16, 32, u32::MAX]);
    let count = chance.pick(&[0, 1, 8, 16, 24, 200]);
    let body = [&argsz.to_le_bytes()[..], &flags.to_le_bytes(), &chance.bytes(count)].concat();
    message(Command::DeviceFeature as u16, &body)
}

/// An answer that nobody has asked for, or to what the device has asked of somebody else.
fn answer(chance: &mut Chance) -> Vec<u8> {
    let header = Header::command(chance.below(40) as u16, Command::DmaRead, 0);
    if chance.one_in(2) {
        return header.failure(5).to_vec();
    }
    let count = chance.below(64);
    let body = chance.bytes(count);
    [&header.answer(body.len() as u32).encode()[..], &body].concat()
}

/// Makes something of it wrong.
fn mutate(chance: &mut Chance, bytes: &mut Vec<u8>) {
    let len = bytes.len() as u64;
    match chance.below(24) {
        // The kind of message, of which most are none.
        0 => bytes[8..12].copy_from_slice(&(chance.below(64) as u32).to_le_bytes()),
        // A length that is not that of what is sent: what follows is taken for another thing.
        1 => {
            let size = chance.pick(&[0, 15, 16, len - 1, len + 1, len + 40, 1 << 20, u64::MAX]);
            bytes[4..8].copy_from_slice(&(size as u32).to_le_bytes());
        }
        2 => {
            let at = chance.below(len) as usize;
            bytes[at] ^= 1 << chance.below(8);
        }
        // No answer is wanted, or it has failed before it was asked.
        3..6 => bytes[8] |= chance.pick(&[1 << 4, 1 << 5]),
        6..9 => bytes[2..4].copy_from_slice(&(chance.below(24) as u16).to_le_bytes()),
        // A shorter or a longer body, of which the header knows.
        9..13 => {
            bytes.truncate((16 + chance.below(len - 15)) as usize);
            resize(bytes);
        }
        13..16 => {
            let count = chance.pick(&[1, 4, 64, 4096]);
            bytes.extend(chance.bytes(count));
            resize(bytes);
        }
        // A number of the body.
        _ if len > HEADER_BYTES as u64 => {
            let at = 16 + chance.below(len - 16) as usize / 4 * 4;
            let edge = chance.edge().to_le_bytes();
            let width = chance.pick(&[4, 8]).min(bytes.len() - at);
            bytes[at..at + width].copy_from_slice(&edge[..width]);
        }
        _ => {}
    }
}

fn resize(bytes: &mut [u8]) {
    let size = (bytes.len() as u32).to_le_bytes();
    bytes[4..8].copy_from_slice(&size);
}
