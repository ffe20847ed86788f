//! What crosses the boundary: handles, structures, numbers.
//!
//! A structure begins with its size in bytes, as its user knows it: one that was compiled with an
//! older header is shorter, and one with a newer is longer. What is `reserved` is 0.

use std::ffi::c_char;

/// The version of this interface: the first 16 bits change when a program has to, the last 16
/// when something is added.
pub const GODWIT_ABI_VERSION: u32 = 1;

/// A card. 0 is none.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// A number that is of use to this library only.
    pub raw: u64,
}

/// A vGPU of a card. 0 is none.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vgpu {
    /// A number that is of use to this library only.
    pub raw: u64,
}

/// How large a simulated card is, and where its firmware runs.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct DeviceConfig {
    /// `sizeof(godwit_device_config)`.
    pub struct_size: u32,
    /// Version of what the card writes into contexts, from 1; 0: the usual one, 1. A state moves
    /// between cards that have the same.
    pub context_layout: u32,
    /// Bytes of framebuffer for vGPUs: a multiple of 4096, from 4096 to 2^40.
    pub fb_bytes: u64,
    /// Bytes of BAR for their apertures: the same.
    pub bar_bytes: u64,
    /// Bytes of memory for their channels' contexts: a multiple of 4096, from 4096 to 2^36.
    pub context_bytes: u64,
    /// What its timer shows at first, in nanoseconds, up to 2^62.
    pub start_ns: u64,
    /// `GODWIT_TRANSPORT_*`.
    pub transport: u32,
    /// For `GODWIT_TRANSPORT_WINDOW`: how long the firmware may take to come up, and to answer, in
    /// milliseconds of the host's own clock, up to 600000; 0: 10000. Otherwise 0.
    pub patience_ms: u32,
    /// For `GODWIT_TRANSPORT_WINDOW`: the window's first byte in its file, a multiple of 4096 (for
    /// QEMU's `virt` machine 0x100000). Otherwise 0.
    pub window_at: u64,
    /// For `GODWIT_TRANSPORT_WINDOW`: path of the file that the window is in. Otherwise NULL.
    pub window_path: *const c_char,
    /// For `GODWIT_TRANSPORT_WINDOW`: path of the UNIX socket at which the microcontroller's serial
    /// port listens; NULL: its firmware looks by itself. Otherwise NULL.
    pub line_path: *const c_char,
}

/// The card's firmware runs in this process.
pub const GODWIT_TRANSPORT_PROCESS: u32 = 0;
/// The card's firmware runs on a microcontroller that somebody else runs, and is reached through a
/// window of 524288 bytes in a file: see WINDOWS.
pub const GODWIT_TRANSPORT_WINDOW: u32 = 1;

impl Default for DeviceConfig {
    fn default() -> Self {
        let none = std::ptr::null();
        Self {
            struct_size: 0,
            context_layout: 0,
            fb_bytes: 0,
            bar_bytes: 0,
            context_bytes: 0,
            start_ns: 0,
            transport: GODWIT_TRANSPORT_PROCESS,
            patience_ms: 0,
            window_at: 0,
            window_path: none,
            line_path: none,
        }
    }
}

/// What a vGPU is to be.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct VgpuConfig {
    /// `sizeof(godwit_vgpu_config)`.
    pub struct_size: u32,
    /// Channels, 1 to 2048.
    pub channel_count: u32,
    /// Bytes of its framebuffer: a multiple of 4096, from 4096 to 2^40.
    pub fb_bytes: u64,
    /// Bytes of its aperture, BAR2: a multiple of 4096, from 4096 to `fb_bytes`.
    pub bar_bytes: u64,
    /// Bytes of a channel's context: a multiple of 4096, from 4096 to 2^24. A thread takes 272.
    pub context_bytes: u32,
    /// See `godwit_share`; 0: 1.
    pub weight: u32,
    /// See `godwit_share`.
    pub part: u32,
    /// See `godwit_share`.
    pub cap: u32,
    /// Its own id, which it keeps wherever it goes; all 0: a random one.
    pub uuid: [u8; 16],
}

/// What a vGPU is.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct VgpuInfo {
    /// `sizeof(godwit_vgpu_info)`, set by the caller.
    pub struct_size: u32,
    /// Channels.
    pub channel_count: u32,
    /// Bytes of its framebuffer.
    pub fb_bytes: u64,
    /// Bytes of its aperture, BAR2.
    pub bar_bytes: u64,
    /// Bytes of a channel's context.
    pub context_bytes: u32,
    /// See `godwit_share`.
    pub weight: u32,
    /// See `godwit_share`.
    pub part: u32,
    /// See `godwit_share`.
    pub cap: u32,
    /// Its own id. After a state was written to it, that of the vGPU that the state is of.
    pub uuid: [u8; 16],
    /// Its state, `GODWIT_STATE_*`.
    pub state: u32,
    /// Its number on the card, from 1: where it sits, and not who it is.
    pub gfid: u32,
}

/// What a vGPU is due of the engines.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Share {
    /// `sizeof(godwit_share)`.
    pub struct_size: u32,
    /// Length of its turns relative to the others', 1 to 100.
    pub weight: u32,
    /// Its fixed part of each engine in ten-thousandths, up to 10000, for
    /// `GODWIT_POLICY_FIXED_SHARE`; 0: as much as it has of the framebuffer.
    pub part: u32,
    /// Up to so many ten-thousandths it may have of what others do not use, from `part` to 10000;
    /// 0: its part.
    pub cap: u32,
}

/// How a card's vGPUs take turns.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Scheduling {
    /// `sizeof(godwit_scheduling)`.
    pub struct_size: u32,
    /// `GODWIT_POLICY_*`.
    pub policy: u32,
    /// A turn of average length in nanoseconds, 1000000 to 30000000; 0: 2 ms among up to 8
    /// vGPUs, and 1 ms among more.
    pub slice_ns: u64,
    /// Over how many turns an overshoot is paid back, 1 to 60; 0: 33.
    pub averaging: u32,
    /// 0.
    pub reserved: u32,
}

/// Who has work takes turns; idle time goes to whoever has work.
pub const GODWIT_POLICY_BEST_EFFORT: u32 = 0;
/// Who runs takes turns; the turn of one without work is kept for it.
pub const GODWIT_POLICY_EQUAL_SHARE: u32 = 1;
/// Who runs has a fixed part.
pub const GODWIT_POLICY_FIXED_SHARE: u32 = 2;

/// How much of something is too much for a vGPU, in the order of `GODWIT_ABUSE_*`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// `sizeof(godwit_limits)`.
    pub struct_size: u32,
    /// Window in which it is counted, in milliseconds, 1 to 3600000.
    pub window_ms: u32,
    /// As often as this is allowed in a window; 0: any number.
    pub count: [u32; 4],
    /// What happens at the next time, `GODWIT_MEASURE_*`.
    pub measure: [u32; 4],
}

/// Engines that had to be reset while its work was on them.
pub const GODWIT_ABUSE_RESETS: u32 = 0;
/// Channels that faulted.
pub const GODWIT_ABUSE_FAULTS: u32 = 1;
/// Doorbells.
pub const GODWIT_ABUSE_DOORBELLS: u32 = 2;
/// Interrupts.
pub const GODWIT_ABUSE_INTERRUPTS: u32 = 3;

/// The host is told, as with every measure.
pub const GODWIT_MEASURE_REPORT: u32 = 0;
/// Its turns are half as long.
pub const GODWIT_MEASURE_SHORTEN: u32 = 1;
/// The channel is stopped, and no other can be opened.
pub const GODWIT_MEASURE_BAN: u32 = 2;
/// It has no turns.
pub const GODWIT_MEASURE_PAUSE: u32 = 3;

/// A transition failed half way; only a reset leads out of it.
pub const GODWIT_STATE_ERROR: u32 = 0;
/// It stands still.
pub const GODWIT_STATE_STOP: u32 = 1;
/// It runs.
pub const GODWIT_STATE_RUNNING: u32 = 2;
/// It stands still, and its state is read.
pub const GODWIT_STATE_STOP_COPY: u32 = 3;
/// It stands still, and its state is written.
pub const GODWIT_STATE_RESUMING: u32 = 4;
/// It runs, and reaches no peer.
pub const GODWIT_STATE_RUNNING_P2P: u32 = 5;
/// It runs, and its state is read.
pub const GODWIT_STATE_PRE_COPY: u32 = 6;
/// It runs, reaches no peer, and its state is read.
pub const GODWIT_STATE_PRE_COPY_P2P: u32 = 7;

/// What a reader has before it while the vGPU runs.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct PrecopyInfo {
    /// `sizeof(godwit_precopy_info)`, set by the caller.
    pub struct_size: u32,
    /// `GODWIT_PRECOPY_*`.
    pub flags: u32,
    /// Bytes that are to be read first, at most.
    pub initial_bytes: u64,
    /// Bytes that were written since, at most.
    pub dirty_bytes: u64,
}

/// `initial_bytes` counts again: what was read is sent once more. It is told once.
pub const GODWIT_PRECOPY_REINIT: u32 = 1;

/// Bus addresses that lead a vGPU to guest memory, or to another vGPU of its card.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct DmaWindow {
    /// `sizeof(godwit_dma_window)`.
    pub struct_size: u32,
    /// `GODWIT_DMA_*`: one of them at least.
    pub flags: u32,
    /// The first address: a multiple of 4096.
    pub iova: u64,
    /// How many: a multiple of 4096, and not 0.
    pub byte_count: u64,
    /// The first byte of what they lead to: a multiple of 4096.
    pub offset: u64,
    /// The memory file (memfd), sealed against shrinking; -1: `peer` counts. The library has a
    /// descriptor of its own when the call returns, and the caller keeps this one.
    pub fd: i32,
    /// 0.
    pub reserved: u32,
    /// Where `fd` is -1: the vGPU whose aperture it is; otherwise 0.
    pub peer: Vgpu,
}

/// The vGPU may read.
pub const GODWIT_DMA_READ: u32 = 1;
/// The vGPU may write.
pub const GODWIT_DMA_WRITE: u32 = 2;

/// Bus addresses that are logged.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct DmaRange {
    /// The first: a multiple of the page.
    pub iova: u64,
    /// How many: a multiple of the page, and not 0.
    pub byte_count: u64,
}

/// How a state file is written or read.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FileOptions {
    /// `sizeof(godwit_file_options)`.
    pub struct_size: u32,
    /// `GODWIT_FILE_*`.
    pub flags: u32,
    /// 32 bytes that the file is sealed with, which are read during the call; NULL: it is not
    /// sealed.
    pub key: *const u8,
}

/// For a resume: whether the file was resumed before is neither asked nor noted. Who says so sees
/// to it that one vGPU does not run twice.
pub const GODWIT_FILE_KEEP: u32 = 1;

impl Default for FileOptions {
    fn default() -> Self {
        Self { struct_size: 0, flags: 0, key: std::ptr::null() }
    }
}

/// Something that happened on a card.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// `sizeof(godwit_event)`, set by the caller.
    pub struct_size: u32,
    /// `GODWIT_EVENT_*`.
    pub kind: u32,
    /// When it was taken up, in nanoseconds of the card.
    pub at_ns: u64,
    /// Which vGPU it was, whose handle may have ended since; 0: none in particular.
    pub vgpu: Vgpu,
    /// `GODWIT_ABUSE_*`, for that kind.
    pub abuse: u32,
    /// `GODWIT_MEASURE_*`, for that kind.
    pub measure: u32,
    /// The same for people: UTF-8, cut where it is too long, with a zero at its end.
    pub text: [c_char; 256],
}

/// A vGPU has done too much of something.
pub const GODWIT_EVENT_ABUSE: u32 = 1;
/// The firmware was lost and started again, or came up without vGPUs; or it is behind a window, and
/// is gone.
pub const GODWIT_EVENT_FIRMWARE_LOST: u32 = 2;
/// An operator must know of this, though the call that it came from has succeeded.
pub const GODWIT_EVENT_NOTE: u32 = 3;

impl Default for Event {
    fn default() -> Self {
        let (vgpu, text) = (Vgpu { raw: 0 }, [0; 256]);
        Self { struct_size: 0, kind: 0, at_ns: 0, vgpu, abuse: 0, measure: 0, text }
    }
}

/// How long one call of `godwit_run` may let a card work, in its nanoseconds.
pub const GODWIT_RUN_NS_MAX: u64 = 1_000_000_000;
