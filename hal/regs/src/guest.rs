//! The guest's view: BAR0 of the PCI function. BAR2 is the aperture and has no registers.

use godwit_types::{CHANNEL_COUNT, GuestChannelId};

/// `Vendor ID` of the PCI function: one that open projects share (pid.codes).
pub const PCI_VENDOR: u16 = 0x1209;
/// `Device ID` of the PCI function.
pub const PCI_DEVICE: u16 = 0x6d67;
/// `Class Code` of the PCI function: a 3D controller without a display (PCI Code and ID
/// Assignment Specification, base class 03h).
pub const PCI_CLASS: u32 = 0x03_0200;

/// Bytes of BAR0.
pub const BAR0_BYTES: u32 = 0x4_0000;
/// `ID`: read-only, "GDWV".
pub const ID: u32 = 0x0000;
/// What `ID` reads as.
pub const ID_VALUE: u32 = u32::from_le_bytes(*b"GDWV");
/// `VERSION` of this map: read-only.
pub const VERSION: u32 = 0x0004;
/// What `VERSION` reads as.
pub const VERSION_VALUE: u32 = 1;
/// `CHANNELS`: read-only, how many channels the vGPU has.
pub const CHANNELS: u32 = 0x0008;
/// `FB_LO`, `FB_HI`: read-only, bytes of the partition.
pub const FB_LO: u32 = 0x0010;
/// See [`FB_LO`].
pub const FB_HI: u32 = 0x0014;
/// `APERTURE_LO`, `APERTURE_HI`: read-only, bytes of BAR2, which shows the partition's start.
pub const APERTURE_LO: u32 = 0x0018;
/// See [`APERTURE_LO`].
pub const APERTURE_HI: u32 = 0x001c;
/// `TIME_LO`, `TIME_HI`: read-only, the guest's nanoseconds. Read high, low, high.
pub const TIME_LO: u32 = 0x0020;
/// See [`TIME_LO`].
pub const TIME_HI: u32 = 0x0024;
/// `THREADS_MAX`: read-only, threads that one block of a launch may have.
pub const THREADS_MAX: u32 = 0x0028;

/// First byte of the channel blocks.
pub const CHANNEL_BASE: u32 = 0x1_0000;
/// Bytes of one channel block.
pub const CHANNEL_STRIDE: u32 = 0x20;
/// First byte of the doorbell page: a write of a token, which is the channel's number, rings.
pub const DOORBELL: u32 = 0x3_0000;
/// Bit of a token that says that the latency of this work matters: once between two of its turns
/// the vGPU may run before others, and has the time less in the next.
pub const DOORBELL_URGENT: u32 = 1 << 31;
/// Bytes of the doorbell page; a write anywhere in it counts.
pub const DOORBELL_BYTES: u32 = 0x1000;

/// One register of a channel block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ChannelRegister {
    /// Ring base in the partition, low half.
    RingLo = 0x00,
    /// High half.
    RingHi = 0x04,
    /// Entries of the ring, as a power of two.
    RingLog2 = 0x08,
    /// Bits 15:0: time-slice group; its number is at most that of the channels. Bits 31:16: its
    /// grace period at the end of a slice, in units of 100 microseconds, at most 100: so long it
    /// may go on to the end of a launch or of a thread block, and pays for it later. The channels
    /// of a group have the same.
    Tsg = 0x0c,
    /// Engine: 0 compute, 1 copy.
    Engine = 0x10,
    /// Write 1: create the channel with the values above; write 0: destroy it. Reads as what
    /// was accepted.
    Control = 0x14,
    /// Read-only: 0 free, 1 idle or at work, 2 faulted, 3 the request was refused.
    Status = 0x18,
    /// Read-only: the fault's number (`ChannelFault`), or 0.
    Error = 0x1c,
}

/// `Status` of a channel.
pub mod status {
    /// No channel.
    pub const FREE: u32 = 0;
    /// The channel takes work.
    pub const READY: u32 = 1;
    /// The channel faulted.
    pub const FAULTED: u32 = 2;
    /// The last request was refused.
    pub const REFUSED: u32 = 3;
}

/// Where an access to BAR0 goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A register of the function.
    Function(u32),
    /// A register of a channel.
    Channel(GuestChannelId, ChannelRegister),
    /// The doorbell page.
    Doorbell,
    /// Nothing: reads as 0, writes are dropped.
    Nothing,
}

/// Finds what an aligned 32-bit access at `offset` means.
pub const fn place(offset: u32) -> Place {
    const CHANNELS_END: u32 =
        CHANNEL_BASE.wrapping_add(CHANNEL_STRIDE.wrapping_mul(CHANNEL_COUNT as u32));
    if offset < 0x1000 {
        return Place::Function(offset);
    }
    if offset >= DOORBELL && offset < DOORBELL.wrapping_add(DOORBELL_BYTES) {
        return Place::Doorbell;
    }
    if offset < CHANNEL_BASE || offset >= CHANNELS_END {
        return Place::Nothing;
    }
    let at = offset.wrapping_sub(CHANNEL_BASE);
    let register = match at % CHANNEL_STRIDE {
        0x00 => ChannelRegister::RingLo,
        0x04 => ChannelRegister::RingHi,
        0x08 => ChannelRegister::RingLog2,
        0x0c => ChannelRegister::Tsg,
        0x10 => ChannelRegister::Engine,
        0x14 => ChannelRegister::Control,
        0x18 => ChannelRegister::Status,
        _ => ChannelRegister::Error,
    };
    match GuestChannelId::new((at / CHANNEL_STRIDE) as u16) {
        Some(channel) => Place::Channel(channel, register),
        None => Place::Nothing,
    }
}

/// Offset of a channel's register.
pub const fn channel_offset(channel: GuestChannelId, register: ChannelRegister) -> u32 {
    CHANNEL_BASE
        .wrapping_add(CHANNEL_STRIDE.wrapping_mul(channel.raw() as u32))
        .wrapping_add(register as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_channel_register_is_found_where_it_is() {
        for raw in [0, 1, CHANNEL_COUNT - 1] {
            let channel = GuestChannelId::new(raw).unwrap();
            for register in [ChannelRegister::RingLo, ChannelRegister::Control] {
                let offset = channel_offset(channel, register);
                assert_eq!(place(offset), Place::Channel(channel, register));
            }
        }
        assert_eq!(place(DOORBELL + 0xffc), Place::Doorbell);
        assert_eq!(place(BAR0_BYTES - 4), Place::Nothing);
        assert_eq!(place(0x2000), Place::Nothing);
    }
}
