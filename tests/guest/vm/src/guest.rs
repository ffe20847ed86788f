//! What the rounds need of the machine that they run in.

use godwit_guest::Bars;
use std::io;
use std::time::Duration;

/// See the module.
pub trait Guest: Bars {
    /// Waits for an interrupt of the device, of whatever vector. `false`: none came in that time.
    ///
    /// # Errors
    ///
    /// When the system cannot wait.
    fn wait(&mut self, most: Duration) -> io::Result<bool>;

    /// How often a vector was raised so far, wrapping: it has counted up when [`Self::wait`] tells.
    ///
    /// # Errors
    ///
    /// When the system does not tell.
    fn interrupts(&mut self, vector: u8) -> io::Result<u32>;

    /// The bus address of the memory that the device reaches: 4 MiB at least.
    fn bus(&self) -> u64;

    /// Reads that memory.
    ///
    /// # Errors
    ///
    /// When the range is not in it.
    fn dma_read(&mut self, at: u64, into: &mut [u8]) -> io::Result<()>;

    /// Writes that memory.
    ///
    /// # Errors
    ///
    /// When the range is not in it.
    fn dma_write(&mut self, at: u64, from: &[u8]) -> io::Result<()>;
}
