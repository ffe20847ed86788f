//! The firmware's line to the host.

use crate::board::Uart;
use core::convert::Infallible;
use embedded_hal::digital::{ErrorType, OutputPin};
use godwit_mmio::{AttentionWord, MmioWords};

/// The attention line: a word for its level, and a byte over the UART each time it is driven
/// high, also if it was high before, since the host may have looked in between.
#[derive(Debug)]
pub(crate) struct Line {
    level: AttentionWord<MmioWords>,
    uart: Uart,
}

impl Line {
    pub(crate) const fn new(words: MmioWords, uart: Uart) -> Self {
        Self { level: AttentionWord::new(words), uart }
    }
}

impl ErrorType for Line {
    type Error = Infallible;
}

impl OutputPin for Line {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.level.set_low()
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.level.set_high()?;
        self.uart.ring();
        Ok(())
    }
}
