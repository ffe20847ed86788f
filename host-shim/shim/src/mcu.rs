//! Where a card's firmware runs.

use crate::attached::AttachedMcu;
use crate::symbols::{Symbols, Texts};
use godwit_log::LogReader;
use godwit_regs::window::{BOARDS, Board, MPS2_AN386, QEMU_VIRT_RV32, QEMU_VIRT_RV64};
use godwit_sys::{ImageFile, QemuStart};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

/// What a card's firmware runs on.
#[derive(Clone, Debug, Default)]
pub enum Mcu {
    /// This process.
    #[default]
    Native,
    /// A microcontroller that QEMU emulates.
    Qemu(QemuMcu),
    /// A microcontroller that somebody else runs.
    Attached(AttachedMcu),
}

/// A board that QEMU emulates, and what it starts with.
#[derive(Clone, Debug)]
pub struct QemuMcu {
    pub(crate) board: QemuBoard,
    pub(crate) program: Program,
    pub(crate) log: Arc<LogSource>,
    pub(crate) lengths: Option<CallLengths>,
}

/// Instructions of each call to a microcontroller but those of its power-ons, in order. Copies are
/// of one list, which goes on in every card that is made with one of them.
#[derive(Clone, Debug, Default)]
pub struct CallLengths(Arc<Mutex<Vec<u32>>>);

impl CallLengths {
    /// All so far.
    pub fn so_far(&self) -> Vec<u32> {
        self.list().clone()
    }

    pub(crate) fn note(&self, instructions: u32) {
        self.list().push(instructions);
    }

    fn list(&self) -> MutexGuard<'_, Vec<u32>> {
        self.0.lock().unwrap_or_else(|held| held.into_inner())
    }
}

/// What the log of a firmware is read by.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogSource {
    /// The texts of the image; `None`: it comes out of a flash.
    pub(crate) texts: Option<Arc<Texts>>,
    /// Those of images that may be in the flash.
    pub(crate) symbols: Vec<Symbols>,
    /// Whether anybody wants the lines while the firmware runs.
    pub(crate) is_live: bool,
}

/// How a firmware is made to end, to see what becomes of its vGPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// The microcontroller loses its power: nothing more is written, and nothing is said.
    Cut,
    /// The core meets an instruction that it does not know.
    Trap,
    /// The core goes round in a loop, and the firmware's own does not turn any more.
    Hang,
    /// The stack grows into its guard.
    StackOverflow,
}

impl Mishap {
    /// What reports call it, as they call a loss of that cause.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cut => "cut",
            Self::Trap => "trap",
            Self::Hang => "stalled",
            Self::StackOverflow => "stack overflow",
        }
    }
}

/// A mishap, and when: after so many instructions of the first call whose number, counted from
/// the power-on of the card, is this or later. A call with fewer instructions lets it wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MishapAt {
    /// What happens.
    pub mishap: Mishap,
    /// The call.
    pub call: u32,
    /// Instructions from the core's wake-up on.
    pub instructions: u32,
}

/// What a board starts with.
#[derive(Clone, Debug)]
pub(crate) enum Program {
    Image(Arc<ImageFile>),
    Flash(PathBuf),
}

impl QemuMcu {
    /// This image on this board.
    pub fn new(board: QemuBoard, image: Arc<ImageFile>) -> Self {
        let texts = Some(Arc::new(Texts::of(image.clone())));
        let log = Arc::new(LogSource { texts, ..LogSource::default() });
        Self { board, program: Program::Image(image), log, lengths: None }
    }

    /// What boots from this flash file; the board has a flash.
    pub fn with_flash(board: QemuBoard, flash: PathBuf) -> Self {
        Self { board, program: Program::Flash(flash), log: Arc::default(), lengths: None }
    }

    /// The same, and the length of each call is noted here.
    #[must_use]
    pub fn with_call_lengths(self, lengths: CallLengths) -> Self {
        Self { lengths: Some(lengths), ..self }
    }

    /// The same image, and its log is read: take it with [`crate::Card::take_log`]. The reader is
    /// one for this image.
    #[must_use]
    pub fn with_log(self, reader: LogReader) -> Self {
        let texts = match &self.program {
            Program::Image(image) => Some(Arc::new(Texts::of(image.clone()).read_by(reader))),
            Program::Flash(_) => None,
        };
        let log = Arc::new(LogSource { texts, symbols: Vec::new(), is_live: true });
        Self { log, ..self }
    }

    /// The same flash, and these are symbols of images that may boot from it: losses are told with
    /// the last lines of the log. Those that are not of the image that has booted are not used.
    #[must_use]
    pub fn with_symbols(self, symbols: Vec<Symbols>) -> Self {
        let log = Arc::new(LogSource { symbols, ..LogSource::default() });
        Self { log, ..self }
    }

    /// The same, and the log is read, too: take it with [`crate::Card::take_log`].
    #[must_use]
    pub fn with_symbols_and_log(self, symbols: Vec<Symbols>) -> Self {
        let log = Arc::new(LogSource { symbols, is_live: true, ..LogSource::default() });
        Self { log, ..self }
    }

    pub(crate) fn start(&self) -> QemuStart<'_> {
        match &self.program {
            Program::Image(image) => QemuStart::Kernel(image),
            Program::Flash(path) => QemuStart::Flash(path),
        }
    }
}

/// A board, and how QEMU is told to be it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QemuBoard {
    board: Board,
    pub(crate) program: &'static str,
    pub(crate) package: &'static str,
    pub(crate) machine: &'static str,
    pub(crate) core: &'static Core,
}

/// What the debugger must know of a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Core {
    /// The program counter's place among the registers.
    pub(crate) pc: usize,
    /// Bytes of a register.
    pub(crate) register_bytes: usize,
    /// An instruction that there is not.
    trap: &'static [u8],
    /// A jump to itself.
    hang: &'static [u8],
    /// Pushes zeros, for ever.
    overflow: &'static [u8],
    /// What waits for an interrupt.
    pub(crate) wait: &'static [u8],
}

impl Core {
    /// `c.addi sp, -16`, a store of zero at `sp`, `c.j -4`; only the store differs.
    const RV64: Self = Self {
        pc: 32,
        register_bytes: 8,
        trap: &[0x00, 0x00],
        hang: &[0x01, 0xa0],
        overflow: &[0x41, 0x11, 0x02, 0xe0, 0xf5, 0xbf],
        wait: &[0x73, 0x00, 0x50, 0x10],
    };
    const RV32: Self =
        Self { register_bytes: 4, overflow: &[0x41, 0x11, 0x02, 0xc0, 0xf5, 0xbf], ..Self::RV64 };
    /// `udf #0`; `b .`; `push {r0}`, `b .-2`.
    const CORTEX_M: Self = Self {
        pc: 15,
        register_bytes: 4,
        trap: &[0x00, 0xde],
        hang: &[0xfe, 0xe7],
        overflow: &[0x01, 0xb4, 0xfd, 0xe7],
        wait: &[0x30, 0xbf],
    };

    /// The code that makes this happen; `None`: no code does.
    pub(crate) const fn code(&self, mishap: Mishap) -> Option<&'static [u8]> {
        match mishap {
            Mishap::Cut => None,
            Mishap::Trap => Some(self.trap),
            Mishap::Hang => Some(self.hang),
            Mishap::StackOverflow => Some(self.overflow),
        }
    }
}

impl QemuBoard {
    /// Every board that QEMU emulates.
    pub const ALL: [Self; BOARDS.len()] = [
        Self {
            board: QEMU_VIRT_RV64,
            program: "qemu-system-riscv64",
            package: "qemu-system-misc",
            machine: "virt",
            core: &Core::RV64,
        },
        Self {
            board: QEMU_VIRT_RV32,
            program: "qemu-system-riscv32",
            package: "qemu-system-misc",
            machine: "virt",
            core: &Core::RV32,
        },
        Self {
            board: MPS2_AN386,
            program: "qemu-system-arm",
            package: "qemu-system-arm",
            machine: "mps2-an386",
            core: &Core::CORTEX_M,
        },
    ];

    /// The board of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.board.name == name)
    }

    /// The board itself.
    pub const fn board(&self) -> &Board {
        &self.board
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_board_has_its_qemu() {
        for board in BOARDS {
            assert_eq!(QemuBoard::named(board.name).map(|one| one.board), Some(board));
        }
    }
}
