//! The compiled images.

use godwit_regs::window::{MPS2_AN386, QEMU_VIRT_RV32, QEMU_VIRT_RV64};

macro_rules! include_elf {
    ($name:literal) => {
        include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".elf"))
    };
}

/// Every board with its image, which is empty where it was not built.
const IMAGES: [(&str, &[u8]); 3] = [
    (QEMU_VIRT_RV64.name, include_elf!("qemu-virt-rv64")),
    (QEMU_VIRT_RV32.name, include_elf!("qemu-virt-rv32")),
    (MPS2_AN386.name, include_elf!("mps2-an386")),
];

/// The image of a board, an ELF file; `None` where it was not built.
pub fn image(board: &str) -> Option<&'static [u8]> {
    let (_, elf) = IMAGES.iter().find(|(name, _)| *name == board)?;
    (!elf.is_empty()).then_some(*elf)
}

macro_rules! include_boot {
    ($name:literal) => {
        include_bytes!(concat!(env!("OUT_DIR"), "/", $name, "-boot.bin"))
    };
}

/// Every board with its boot stage, which is empty where there is none.
const BOOT_STAGES: [(&str, &[u8]); 3] = [
    (QEMU_VIRT_RV64.name, include_boot!("qemu-virt-rv64")),
    (QEMU_VIRT_RV32.name, include_boot!("qemu-virt-rv32")),
    (MPS2_AN386.name, include_boot!("mps2-an386")),
];

/// The boot stage of a board, as it lies in the flash; `None` where it was not built.
pub fn boot_stage(board: &str) -> Option<&'static [u8]> {
    let (_, bytes) = BOOT_STAGES.iter().find(|(name, _)| *name == board)?;
    (!bytes.is_empty()).then_some(*bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_board_has_an_image() {
        let elf = image(QEMU_VIRT_RV64.name).expect("it is always built");
        assert!(elf.starts_with(b"\x7fELF"));
        assert_eq!(image("no-such-board"), None);
        assert!(boot_stage(QEMU_VIRT_RV64.name).is_some());
    }
}
