//! Numbers that the device releases into the guest's memory: each must come once, and in order.
//!
//! Number `n` is written to slot `n % SLOTS`. When it is seen there the guest writes its complement
//! in its place, so that a number which comes a second time shows when the slot is used next.

use crate::guest::Guest;
use std::io;

/// Slots, of 4 bytes each.
pub(crate) const SLOTS: u32 = 256;

/// See the module.
#[derive(Debug)]
pub(crate) struct Completions {
    /// Where the slots begin in the guest's memory.
    at: u64,
    /// Numbers that were seen, which are all up to this one.
    seen: u32,
}

impl Completions {
    pub(crate) fn new(at: u64) -> Self {
        Self { at, seen: 0 }
    }

    pub(crate) fn seen(&self) -> u32 {
        self.seen
    }

    /// Where number `n` is written.
    pub(crate) fn place(&self, number: u32) -> u64 {
        self.at + u64::from(number % SLOTS) * 4
    }

    fn read(&self, guest: &mut impl Guest, number: u32) -> io::Result<u32> {
        let mut word = [0; 4];
        guest.dma_read(self.place(number), &mut word)?;
        Ok(u32::from_le_bytes(word))
    }

    /// Takes note of the next number, which is awaited; what is wrong with it goes to `errors`.
    pub(crate) fn take(
        &mut self,
        guest: &mut impl Guest,
        errors: &mut Vec<String>,
    ) -> io::Result<()> {
        let number = self.seen + 1;
        let found = self.read(guest, number)?;
        if found != number {
            errors.push(format!("completion {number} is missing: there is {found:#x}"));
        }
        guest.dma_write(self.place(number), &(!number).to_le_bytes())?;
        self.seen = number;
        Ok(())
    }

    /// Checks that nothing has come a second time since it was seen.
    pub(crate) fn check(&self, guest: &mut impl Guest, errors: &mut Vec<String>) -> io::Result<()> {
        let first = self.seen.saturating_sub(SLOTS - 1).max(1);
        for number in first..=self.seen {
            let found = self.read(guest, number)?;
            if found != !number {
                errors.push(format!("completion {number} came again: there is {found:#x}"));
                guest.dma_write(self.place(number), &(!number).to_le_bytes())?;
            }
        }
        Ok(())
    }
}
