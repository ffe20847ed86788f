//! A device as a front end has it.

/// The states, by the numbers that `enum vfio_device_mig_state` gives them.
pub mod state {
    /// A transition has failed half way.
    pub const ERROR: u32 = 0;
    /// It stands still.
    pub const STOP: u32 = 1;
    /// It runs.
    pub const RUNNING: u32 = 2;
    /// It stands still, and its state is read.
    pub const STOP_COPY: u32 = 3;
    /// It stands still, and its state is written.
    pub const RESUMING: u32 = 4;
    /// It runs, and reaches no peer.
    pub const RUNNING_P2P: u32 = 5;
    /// It runs, and its state is read.
    pub const PRE_COPY: u32 = 6;
    /// Both of these.
    pub const PRE_COPY_P2P: u32 = 7;

    /// All that can be asked for.
    pub const ASKED: [u32; 7] =
        [STOP, RUNNING, STOP_COPY, RESUMING, RUNNING_P2P, PRE_COPY, PRE_COPY_P2P];

    /// Whether the device runs.
    pub const fn runs(state: u32) -> bool {
        matches!(state, RUNNING | RUNNING_P2P | PRE_COPY | PRE_COPY_P2P)
    }

    /// Whether its state is read: the saving group, which shares one session.
    pub const fn saves(state: u32) -> bool {
        matches!(state, PRE_COPY | PRE_COPY_P2P | STOP_COPY)
    }

    /// What it is called.
    pub const fn name(state: u32) -> &'static str {
        match state {
            ERROR => "ERROR",
            STOP => "STOP",
            RUNNING => "RUNNING",
            STOP_COPY => "STOP_COPY",
            RESUMING => "RESUMING",
            RUNNING_P2P => "RUNNING_P2P",
            PRE_COPY => "PRE_COPY",
            PRE_COPY_P2P => "PRE_COPY_P2P",
            _ => "no state",
        }
    }
}

/// Error numbers that the rules name.
pub mod errno {
    /// What was asked for cannot be, or not now.
    pub const EINVAL: i32 = 22;
    /// There is no more data for now.
    pub const ENOMSG: i32 = 42;
}

/// What there is to be read before the device is stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrecopyInfo {
    /// Bytes that are to be read first.
    pub initial_bytes: u64,
    /// Bytes for what has changed since it was read.
    pub dirty_bytes: u64,
    /// `VFIO_PRECOPY_INFO_REINIT`: `initial_bytes` counts anew.
    pub reinit: bool,
}

/// Bus addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaRange {
    /// The first.
    pub iova: u64,
    /// How many.
    pub byte_count: u64,
}

/// A device that can be migrated. Errors are error numbers, positive.
pub trait Device {
    /// The state that it is in.
    fn state(&mut self) -> u32;

    /// Asks for another state, by its number.
    ///
    /// # Errors
    ///
    /// When it is not in that state then.
    fn set_state(&mut self, state: u32) -> Result<(), i32>;

    /// Reads the next bytes of its state; returns how many.
    ///
    /// # Errors
    ///
    /// [`errno::ENOMSG`] when there are none for now.
    fn read(&mut self, into: &mut [u8]) -> Result<usize, i32>;

    /// Writes the next bytes of a state; returns how many were taken.
    ///
    /// # Errors
    ///
    /// When they are not taken.
    fn write(&mut self, from: &[u8]) -> Result<usize, i32>;

    /// What there is to be read.
    ///
    /// # Errors
    ///
    /// [`errno::EINVAL`] but in PRE_COPY and PRE_COPY_P2P.
    fn precopy_info(&mut self) -> Result<PrecopyInfo, i32>;

    /// Bytes that would be read in STOP_COPY if it was stopped now, at most.
    ///
    /// # Errors
    ///
    /// None is expected.
    fn data_size(&mut self) -> Result<u64, i32>;

    /// Resets it.
    ///
    /// # Errors
    ///
    /// When it is not as new then.
    fn reset(&mut self) -> Result<(), i32>;

    /// Logs from now on what it writes of these ranges of guest memory, by pages of `page_bytes`
    /// or of another length, which is returned.
    ///
    /// # Errors
    ///
    /// When it does not.
    fn dma_log_start(&mut self, ranges: &[DmaRange], page_bytes: u64) -> Result<u64, i32>;

    /// Sets the bit of each page of `page_bytes` that was written since it was reported last: bit
    /// `n % 8` of byte `n / 8` for the `n`-th page of the range.
    ///
    /// # Errors
    ///
    /// When nothing can be said of the range: all of it counts as written.
    fn dma_log_report(
        &mut self,
        range: DmaRange,
        page_bytes: u64,
        bitmap: &mut [u8],
    ) -> Result<(), i32>;

    /// Logs no more.
    ///
    /// # Errors
    ///
    /// When it did not.
    fn dma_log_stop(&mut self) -> Result<(), i32>;
}
