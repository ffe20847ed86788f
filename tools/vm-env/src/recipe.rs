//! What the folder is made of.

use godwit_regs::guest::{PCI_DEVICE, PCI_VENDOR};
use sha2::{Digest, Sha256};

/// The release of Debian that has the guest's kernel, and the one with a QEMU for it.
pub(crate) const SUITE: &str = "trixie";
pub(crate) const BACKPORTS: &str = "trixie-backports";

/// What the guest is made from, and what builds its module.
pub(crate) const GUEST_PACKAGES: [&str; 4] =
    ["busybox-static", "linux-image-cloud-amd64", "linux-headers-cloud-amd64", "xz-utils"];
pub(crate) const COMPILER_PACKAGES: [&str; 2] = ["gcc", "make"];

/// The QEMU.
pub(crate) const QEMU_PACKAGE: &str = "qemu-system-x86";

/// The module's sources, by file name.
pub(crate) const MODULE: [(&str, &str); 2] = [
    ("Kbuild", include_str!("../module/Kbuild")),
    ("godwit_uio.c", include_str!("../module/godwit_uio.c")),
];

/// The module of the kernel's own package that ours needs.
pub(crate) const UIO: &str = "kernel/drivers/uio/uio.ko.xz";

/// What else says how the folder is made: the steps themselves.
const STEPS: &str = include_str!("build.rs");

/// How to make a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recipe {
    /// The system's own QEMU will not do.
    pub(crate) with_qemu: bool,
}

impl Recipe {
    /// The flags that tell the module which device is ours.
    pub(crate) fn module_flags() -> String {
        format!("-DGODWIT_VENDOR={PCI_VENDOR:#06x} -DGODWIT_DEVICE={PCI_DEVICE:#06x} -Werror")
    }

    /// Names what comes out: the same for the same recipe, another for another.
    pub(crate) fn key(self) -> String {
        let mut hash = Sha256::new();
        let mut add = |text: &str| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        };
        add(&self.with_qemu.to_string());
        [SUITE, BACKPORTS, QEMU_PACKAGE, UIO, STEPS].into_iter().for_each(&mut add);
        GUEST_PACKAGES.into_iter().chain(COMPILER_PACKAGES).for_each(&mut add);
        MODULE.into_iter().flat_map(|(name, text)| [name, text]).for_each(&mut add);
        add(&Self::module_flags());
        hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_recipe_has_another_name() {
        let (with, without) = (Recipe { with_qemu: true }, Recipe { with_qemu: false });
        assert_eq!(with.key(), with.key());
        assert_eq!(with.key().len(), 16);
        assert_ne!(with.key(), without.key());
    }

    #[test]
    fn the_module_is_told_of_the_devices_numbers() {
        let expected = "-DGODWIT_VENDOR=0x1209 -DGODWIT_DEVICE=0x6d67 -Werror";
        assert_eq!(Recipe::module_flags(), expected);
    }
}
