//! The numbers of the header are those of the crates behind it: whoever changes one on either side
//! does not get past this.

use crate::types::{
    GODWIT_ABUSE_DOORBELLS, GODWIT_ABUSE_FAULTS, GODWIT_ABUSE_INTERRUPTS, GODWIT_ABUSE_RESETS,
    GODWIT_MEASURE_BAN, GODWIT_MEASURE_PAUSE, GODWIT_MEASURE_REPORT, GODWIT_MEASURE_SHORTEN,
    GODWIT_POLICY_BEST_EFFORT, GODWIT_POLICY_EQUAL_SHARE, GODWIT_POLICY_FIXED_SHARE,
    GODWIT_STATE_ERROR, GODWIT_STATE_PRE_COPY, GODWIT_STATE_PRE_COPY_P2P, GODWIT_STATE_RESUMING,
    GODWIT_STATE_RUNNING, GODWIT_STATE_RUNNING_P2P, GODWIT_STATE_STOP, GODWIT_STATE_STOP_COPY,
    Limits,
};
use godwit_regs::guest::BAR0_BYTES;
use godwit_regs::window::WINDOW_BYTES;
use godwit_shim::KEY_BYTES;
use godwit_shim::vfio::MigrationState;
use godwit_sim_gpu::{DMA_LOG_RANGES_MAX, DMA_WINDOWS_MAX, LOG_PAGE_BYTES_MAX};
use godwit_types::{
    Abuse, CHANNEL_COUNT, CONTEXT_BYTES_MAX, FB_BYTES_MAX, Limits as CardLimits, Measure,
    PAGE_BYTES, Policy, SLICE_FEW_VGPUS, SLICE_NS_FEW, SLICE_NS_MANY, SLICE_NS_MAX, SLICE_NS_MIN,
    Scheduling as CardScheduling, Share as CardShare, VECTOR_COUNT,
};

/// Holds at compile time that each constant is the number of a variant, and that all variants are
/// there.
macro_rules! same {
    ($of:ident: $($constant:ident = $variant:ident),+) => {
        $(const _: () = assert!($constant == $of::$variant as u32);)+
        /// One more variant is none of these, and does not compile.
        const _: fn($of) = |value| match value {
            $($of::$variant => {})+
        };
    };
}

same!(
    Policy: GODWIT_POLICY_BEST_EFFORT = BestEffort,
    GODWIT_POLICY_EQUAL_SHARE = EqualShare,
    GODWIT_POLICY_FIXED_SHARE = FixedShare
);
same!(
    Abuse: GODWIT_ABUSE_RESETS = Resets,
    GODWIT_ABUSE_FAULTS = Faults,
    GODWIT_ABUSE_DOORBELLS = Doorbells,
    GODWIT_ABUSE_INTERRUPTS = Interrupts
);
same!(
    Measure: GODWIT_MEASURE_REPORT = Report,
    GODWIT_MEASURE_SHORTEN = Shorten,
    GODWIT_MEASURE_BAN = Ban,
    GODWIT_MEASURE_PAUSE = Pause
);
same!(
    MigrationState: GODWIT_STATE_ERROR = Error,
    GODWIT_STATE_STOP = Stop,
    GODWIT_STATE_RUNNING = Running,
    GODWIT_STATE_STOP_COPY = StopCopy,
    GODWIT_STATE_RESUMING = Resuming,
    GODWIT_STATE_RUNNING_P2P = RunningP2p,
    GODWIT_STATE_PRE_COPY = PreCopy,
    GODWIT_STATE_PRE_COPY_P2P = PreCopyP2p
);

/// The header says "in the order of `GODWIT_ABUSE_*`" of these.
const _: () = {
    let Limits { count, measure, .. } = Limits {
        struct_size: 0,
        window_ms: 0,
        count: [0; Abuse::ALL.len()],
        measure: [0; Abuse::ALL.len()],
    };
    assert!(count.len() == measure.len());
};

// Numbers that comments of the header name.
const _: () = {
    assert!(PAGE_BYTES == 4096);
    assert!(FB_BYTES_MAX == 1 << 40);
    assert!(CONTEXT_BYTES_MAX == 1 << 24);
    assert!(CHANNEL_COUNT == 2048);
    assert!(VECTOR_COUNT == 32);
    assert!(BAR0_BYTES == 0x4_0000);
    assert!(WINDOW_BYTES == 524_288);
    assert!(KEY_BYTES == 32);
    assert!(DMA_WINDOWS_MAX == 256);
    assert!(DMA_LOG_RANGES_MAX == 64);
    assert!(LOG_PAGE_BYTES_MAX == 1 << 30);
    assert!(SLICE_NS_MIN == 1_000_000 && SLICE_NS_MAX == 30_000_000);
    assert!(SLICE_NS_FEW == 2_000_000 && SLICE_NS_MANY == 1_000_000 && SLICE_FEW_VGPUS == 8);
    assert!(CardScheduling::AVERAGING == 33 && CardScheduling::AVERAGING_MAX == 60);
    assert!(CardShare::WEIGHT_MAX == 100 && CardShare::WHOLE == 10_000);
    assert!(CardLimits::WINDOW_MS_MAX == 3_600_000);
};
