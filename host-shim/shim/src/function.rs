//! The guest's PCI function: BAR0 as the host shim serves it.

use crate::client::Client;
use godwit_regs::guest::{self, ChannelRegister, Place, status};
use godwit_types::{Engines, Gfid, GuestChannelId, Profile, RunlistId};
use godwit_wire::mailbox::{Command, Reject};
use godwit_wire::record;
use std::collections::BTreeMap;

/// Words of a channel that the guest writes before `Control`.
const WORDS: usize = 5;

/// A request of the guest that the firmware has not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    generation: u32,
    opens: bool,
    /// It was asked before a restart too, so what is asked may have been done already.
    again: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Channel {
    words: [u32; WORDS],
    status: u32,
    error: u32,
    control: u32,
    /// Number of the request that was asked last.
    asked_id: u32,
    asked: Option<Asked>,
}

/// The registers of one vGPU's function. The device's own state is the firmware's; here is
/// only what the guest wrote and what it was told.
#[derive(Debug)]
pub struct Function {
    profile: Profile,
    channels: BTreeMap<u16, Channel>,
}

fn word_index(register: ChannelRegister) -> Option<usize> {
    Some(match register {
        ChannelRegister::RingLo => 0,
        ChannelRegister::RingHi => 1,
        ChannelRegister::RingLog2 => 2,
        ChannelRegister::Tsg => 3,
        ChannelRegister::Engine => 4,
        ChannelRegister::Control | ChannelRegister::Status | ChannelRegister::Error => return None,
    })
}

impl Function {
    pub(crate) fn new(profile: Profile) -> Self {
        Self { profile, channels: BTreeMap::new() }
    }

    pub(crate) fn is_doorbell(&self, offset: u32) -> bool {
        guest::place(offset) == Place::Doorbell
    }

    /// What the guest reads at `offset`.
    pub(crate) fn read(&self, offset: u32, time_ns: u64) -> u32 {
        match guest::place(offset) {
            Place::Function(register) => self.read_function(register, time_ns),
            Place::Channel(id, register) => {
                let Some(channel) = self.channels.get(&id.raw()) else { return 0 };
                match register {
                    ChannelRegister::Control => channel.control,
                    ChannelRegister::Status => channel.status,
                    ChannelRegister::Error => channel.error,
                    _ => word_index(register).map_or(0, |index| channel.words[index]),
                }
            }
            Place::Doorbell | Place::Nothing => 0,
        }
    }

    fn read_function(&self, register: u32, time_ns: u64) -> u32 {
        let low = |value: u64| value as u32;
        let high = |value: u64| (value >> 32) as u32;
        match register {
            guest::ID => guest::ID_VALUE,
            guest::VERSION => guest::VERSION_VALUE,
            guest::CHANNELS => self.profile.channel_count.into(),
            guest::FB_LO => low(self.profile.fb_bytes),
            guest::FB_HI => high(self.profile.fb_bytes),
            guest::APERTURE_LO => low(self.profile.bar_bytes),
            guest::APERTURE_HI => high(self.profile.bar_bytes),
            guest::TIME_LO => low(time_ns),
            guest::TIME_HI => high(time_ns),
            guest::THREADS_MAX => self.profile.resident_threads(),
            _ => 0,
        }
    }

    /// The guest writes `value` at `offset`. What has no place, or is read-only, is dropped.
    pub(crate) fn write(
        &mut self,
        gfid: Gfid,
        generation: u32,
        offset: u32,
        value: u32,
        client: &mut Client,
    ) {
        let Place::Channel(id, register) = guest::place(offset) else { return };
        if id.raw() >= self.profile.channel_count {
            return;
        }
        let channel = self.channels.entry(id.raw()).or_default();
        match register {
            ChannelRegister::Control => {
                // One request at a time; the guest sees its end in `Status`.
                if channel.asked.is_none() {
                    let opens = value & 1 != 0;
                    channel.ask(gfid, generation, id, opens, false, client);
                }
            }
            ChannelRegister::Status | ChannelRegister::Error => {}
            _ => {
                if let Some(index) = word_index(register) {
                    channel.words[index] = value;
                }
            }
        }
    }

    /// Takes the answer to a request of the guest's. `false`: it is to none of ours.
    pub(crate) fn answered(&mut self, id: u32, answer: Result<(), Reject>) -> bool {
        let found = self
            .channels
            .values_mut()
            .find(|channel| channel.asked.is_some() && channel.asked_id == id);
        let Some(channel) = found else { return false };
        let Some(asked) = channel.asked.take() else { return false };
        match (asked.opens, answer) {
            (true, Ok(())) => channel.opened(),
            (true, Err(Reject::ChannelOpen)) if asked.again => channel.opened(),
            // The channel says itself that it is closed, when it is scrubbed.
            (false, Ok(())) => channel.asked = Some(asked),
            (false, Err(Reject::ChannelClosed)) => channel.closed(),
            (_, Err(_)) => channel.status = status::REFUSED,
        }
        true
    }

    /// Asks again for what a restart of the firmware has made void.
    pub(crate) fn retry(&mut self, gfid: Gfid, generation: u32, client: &mut Client) {
        for (id, channel) in &mut self.channels {
            let Some(asked) = channel.asked else { continue };
            let Some(id) = GuestChannelId::new(*id) else { continue };
            if asked.generation != generation {
                channel.ask(gfid, generation, id, asked.opens, true, client);
            }
        }
    }

    pub(crate) fn faulted(&mut self, channel: u16, fault: u8) {
        let channel = self.channels.entry(channel).or_default();
        channel.status = status::FAULTED;
        channel.control = 1;
        channel.error = fault.into();
    }

    pub(crate) fn closed(&mut self, channel: u16) {
        if let Some(channel) = self.channels.get_mut(&channel) {
            channel.closed();
        }
    }

    /// Engines that the guest has channels on, or has asked for some.
    pub(crate) fn engines(&self) -> Engines {
        let open = self.channels.values().filter(|it| it.control == 1 || it.asked.is_some());
        let engines = open.filter_map(|channel| {
            let [.., engine] = channel.words;
            u8::try_from(engine).ok().and_then(RunlistId::new)
        });
        engines.fold(Engines::NONE, Engines::with)
    }

    /// What the device does not keep, for the state stream. The firmware has answered every
    /// request by the time that a vGPU is saved, since it takes them in order.
    pub(crate) fn save(&self) -> (record::Function, Vec<u8>) {
        let channel_count = self.channels.keys().max().map_or(0, |last| last + 1);
        let blank = Channel::default();
        let payload = (0..channel_count)
            .map(|id| self.channels.get(&id).unwrap_or(&blank))
            .flat_map(|channel| {
                let refused = u32::from(channel.status == status::REFUSED);
                channel.words.into_iter().chain([refused])
            })
            .flat_map(u32::to_le_bytes)
            .collect();
        (record::Function { channel_count }, payload)
    }

    /// Takes on what was saved, after the channels themselves. `None`: it does not fit this
    /// vGPU.
    pub(crate) fn restore(&mut self, record: record::Function, payload: &[u8]) -> Option<()> {
        const BYTES: usize = (WORDS + 1) * 4;
        if record.channel_count > self.profile.channel_count
            || payload.len() != usize::from(record.channel_count) * BYTES
        {
            return None;
        }
        for (id, bytes) in (0..record.channel_count).zip(payload.chunks_exact(BYTES)) {
            let mut words = bytes.chunks_exact(4).filter_map(|bytes| bytes.try_into().ok());
            let channel = self.channels.entry(id).or_default();
            for word in &mut channel.words {
                *word = u32::from_le_bytes(words.next()?);
            }
            if u32::from_le_bytes(words.next()?) != 0 {
                channel.status = status::REFUSED;
            }
        }
        Some(())
    }

    /// A channel came with the state stream.
    pub(crate) fn restored(&mut self, record: &record::Channel) {
        let channel = self.channels.entry(record.channel).or_default();
        channel.control = 1;
        channel.error = record.fault.into();
        channel.status = if record.fault == 0 { status::READY } else { status::FAULTED };
    }
}

impl Channel {
    fn opened(&mut self) {
        self.status = status::READY;
        self.control = 1;
        self.error = 0;
    }

    fn closed(&mut self) {
        self.status = status::FREE;
        self.control = 0;
        self.error = 0;
        self.asked = None;
    }

    fn ask(
        &mut self,
        gfid: Gfid,
        generation: u32,
        id: GuestChannelId,
        opens: bool,
        again: bool,
        client: &mut Client,
    ) {
        let command = if opens {
            let [ring_lo, ring_hi, log2, tsg, engine] = self.words;
            let (tsg, grace) = (tsg as u16, u8::try_from(tsg >> 16));
            let parsed = (u8::try_from(log2), grace, u8::try_from(engine));
            let (Ok(ring_log2), Ok(grace), Ok(runlist)) = parsed else {
                self.status = status::REFUSED;
                return;
            };
            let ring_base = u64::from(ring_hi) << 32 | u64::from(ring_lo);
            Command::OpenChannel { channel: id.raw(), tsg, runlist, ring_base, ring_log2, grace }
        } else {
            Command::CloseChannel { channel: id.raw() }
        };
        if self.status == status::REFUSED {
            self.status = status::FREE;
        }
        self.asked_id = client.send(gfid, command);
        self.asked = Some(Asked { generation, opens, again });
    }
}
