//! Registers of the board itself.

/// One device register, by its address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Register<T> {
    at: *mut T,
}

impl<T: Copy> Register<T> {
    /// # Safety
    ///
    /// `address` is aligned and that of a device register of this width, and no access to it
    /// touches memory of the program.
    pub(crate) const unsafe fn new(address: usize) -> Self {
        Self { at: core::ptr::without_provenance_mut(address) }
    }

    /// Reads it.
    pub(crate) fn read(self) -> T {
        // SAFETY: a device register, aligned, by the promise to `new`.
        unsafe { self.at.read_volatile() }
    }

    /// Writes it.
    pub(crate) fn write(self, value: T) {
        // SAFETY: a device register, aligned, by the promise to `new`.
        unsafe { self.at.write_volatile(value) }
    }
}
