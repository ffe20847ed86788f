//! Where a card's firmware runs.

use godwit_regs::window::{BOARDS, Board, MPS2_AN386, QEMU_VIRT_RV32, QEMU_VIRT_RV64};
use godwit_sys::{ImageFile, QemuStart};
use std::path::PathBuf;
use std::sync::Arc;

/// What a card's firmware runs on.
#[derive(Clone, Debug, Default)]
pub enum Mcu {
    /// This process.
    #[default]
    Native,
    /// A microcontroller that QEMU emulates.
    Qemu(QemuMcu),
}

/// A board that QEMU emulates, and what it starts with.
#[derive(Clone, Debug)]
pub struct QemuMcu {
    pub(crate) board: QemuBoard,
    program: Program,
}

/// What a board starts with.
#[derive(Clone, Debug)]
enum Program {
    Image(Arc<ImageFile>),
    Flash(PathBuf),
}

impl QemuMcu {
    /// This image on this board.
    pub const fn new(board: QemuBoard, image: Arc<ImageFile>) -> Self {
        Self { board, program: Program::Image(image) }
    }

    /// What boots from this flash file; the board has a flash.
    pub const fn with_flash(board: QemuBoard, flash: PathBuf) -> Self {
        Self { board, program: Program::Flash(flash) }
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
}

impl QemuBoard {
    /// Every board that QEMU emulates.
    pub const ALL: [Self; BOARDS.len()] = [
        Self {
            board: QEMU_VIRT_RV64,
            program: "qemu-system-riscv64",
            package: "qemu-system-misc",
            machine: "virt",
        },
        Self {
            board: QEMU_VIRT_RV32,
            program: "qemu-system-riscv32",
            package: "qemu-system-misc",
            machine: "virt",
        },
        Self {
            board: MPS2_AN386,
            program: "qemu-system-arm",
            package: "qemu-system-arm",
            machine: "mps2-an386",
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
