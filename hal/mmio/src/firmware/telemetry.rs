//! The ring of switches.

use super::Mmio;
use crate::words::Words;
use godwit_hal::Telemetry;
use godwit_regs::bits::halves;
use godwit_regs::map::{SwitchEntry, switch, telemetry};
use godwit_regs::switch_entry;
use godwit_types::Switch;

impl<W: Words, L, R> Telemetry for Mmio<W, L, R> {
    fn record(&mut self, what: &Switch) {
        let words = &self.words;
        let number = words.read(telemetry::put()).wrapping_add(1);
        let entry = SwitchEntry::of(number);
        // Whoever reads the older switch that was here sees that it is not whole any more.
        words.publish(switch::number(entry), number.wrapping_sub(1));
        let (at_lo, at_hi) = halves(what.at_ns);
        words.write(switch::what(entry), switch_entry::encode_what(what));
        words.write(switch::at_lo(entry), at_lo);
        words.write(switch::at_hi(entry), at_hi);
        words.write(switch::run(entry), what.run_ns);
        words.write(switch::slice(entry), what.slice_ns);
        words.write(switch::preempt(entry), what.preempt_ns);
        words.write(switch::debt(entry), what.debt_ns);
        words.publish(switch::number(entry), number);
        words.publish(telemetry::put(), number);
    }
}
