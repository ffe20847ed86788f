//! What QEMU keeps of a vfio-user function and does not migrate: the addresses of its BARs, its
//! command register and its MSI-X table. The server's configuration space has all but the table,
//! which the source's QEMU has.

use super::qmp::{Qmp, QmpError};
use super::qtest::{Qtest, QtestError, Write};
use godwit_server::{Client, ClientError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Ports of the configuration mechanism #1 of PCI.
const ADDRESS: u16 = 0xcf8;
const DATA: u16 = 0xcfc;
/// Offsets in the configuration space.
const COMMAND: u8 = 0x04;
const CACHE_LINE: u8 = 0x0c;
const BARS: u8 = 0x10;
const CAPABILITIES: u8 = 0x34;
const INTERRUPT_LINE: u8 = 0x3c;
const FIRST_CAPABILITY: u8 = 0x40;
const CAP_MSIX: u8 = 0x11;
/// Words of an entry of the MSI-X table.
const ENTRY_WORDS: usize = 4;
/// Capabilities of a function, at most.
const CAPABILITIES_MAX: usize = 48;

/// What is carried over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Function {
    /// The first 256 bytes of the configuration space.
    config: Vec<u8>,
    /// The MSI-X table, in words.
    table: Vec<u32>,
}

/// Why it cannot be carried over.
#[derive(Debug, thiserror::Error)]
pub(super) enum PciError {
    #[error(transparent)]
    Qmp(#[from] QmpError),
    #[error(transparent)]
    Qtest(#[from] QtestError),
    #[error(transparent)]
    Server(#[from] ClientError),
    #[error("{0}")]
    Other(String),
}

fn other<T>(why: impl Into<String>) -> Result<T, PciError> {
    Err(PciError::Other(why.into()))
}

impl Function {
    /// That of a vGPU of a machine that stands still.
    pub(super) fn read(qmp: &mut Qmp, server: &mut Client) -> Result<Self, PciError> {
        let config = server.read_config(0, 256)?;
        let mut function = Self { config, table: Vec::new() };
        let (count, at) = function.msix_table()?;
        if let Some(at) = at {
            let wanted = count * ENTRY_WORDS;
            let text = qmp.monitor(&format!("xp /{wanted}wx {at:#x}"))?;
            let words = text.split_whitespace().filter(|word| word.starts_with("0x"));
            let words = words.map(|word| u32::from_str_radix(&word[2..], 16));
            function.table = words.collect::<Result<_, _>>().unwrap_or_default();
            if function.table.len() != wanted {
                return other(format!("the MSI-X table at {at:#x} cannot be read: {text}"));
            }
        }
        Ok(function)
    }

    fn byte(&self, at: u8) -> u8 {
        self.config.get(usize::from(at)).copied().unwrap_or(0)
    }

    fn word16(&self, at: u8) -> u16 {
        u16::from_le_bytes([self.byte(at), self.byte(at.wrapping_add(1))])
    }

    fn word32(&self, at: u8) -> u32 {
        u32::from(self.word16(at)) | u32::from(self.word16(at.wrapping_add(2))) << 16
    }

    /// Where the capability of MSI-X is.
    fn msix(&self) -> Result<u8, PciError> {
        let mut at = self.byte(CAPABILITIES);
        for _ in 0..CAPABILITIES_MAX {
            match at {
                0 => break,
                at if self.byte(at) == CAP_MSIX => return Ok(at),
                _ => at = self.byte(at.wrapping_add(1)),
            }
        }
        other("the vGPU's function has no MSI-X")
    }

    /// Vectors, and where their table is in the machine's memory; `None`: it is not there now,
    /// since the guest has not switched the function on.
    fn msix_table(&self) -> Result<(usize, Option<u64>), PciError> {
        let at = self.msix()?;
        let count = usize::from(self.word16(at + 2) & 0x7ff) + 1;
        let place = self.word32(at + 4);
        let bar = BARS + 4 * (place & 7) as u8;
        let (low, is_wide) = (self.word32(bar), self.word32(bar) & 6 == 4);
        let high = if is_wide { u64::from(self.word32(bar + 4)) << 32 } else { 0 };
        let base = u64::from(low & !0xf) | high;
        let on = self.word16(COMMAND) & 2 != 0 && base != 0;
        Ok((count, on.then_some(base + u64::from(place & !7))))
    }

    /// Gives it to a vGPU of a machine that has its memory and stands still.
    pub(super) fn write(&self, qmp: &mut Qmp, qtest: &mut Qtest) -> Result<(), PciError> {
        let (bus, slot, function) = place(qmp)?;
        let saved = qtest.port(ADDRESS)?;
        let select = |at: u8| {
            let place = u32::from(bus) << 16 | u32::from(slot) << 11 | u32::from(function) << 8;
            Write::Port32(ADDRESS, 1 << 31 | place | u32::from(at & !3))
        };
        let mut writes = Vec::new();
        for bar in (BARS..BARS + 24).step_by(4) {
            writes.extend([select(bar), Write::Port32(DATA, self.word32(bar))]);
        }
        for at in [CACHE_LINE, INTERRUPT_LINE] {
            writes.extend([select(at), Write::Port8(DATA, self.byte(at))]);
        }
        writes.extend([select(COMMAND), Write::Port16(DATA, self.word16(COMMAND))]);
        let msix = self.msix()?;
        // The other capabilities: what is read-only in them stays as it is.
        for at in (FIRST_CAPABILITY..msix).step_by(4) {
            writes.extend([select(at), Write::Port32(DATA, self.word32(at))]);
        }
        if let (_, Some(at)) = self.msix_table()? {
            let entries = (at..).step_by(4).zip(&self.table);
            writes.extend(entries.map(|(at, word)| Write::Memory32(at, *word)));
        }
        writes.extend([select(msix), Write::Port16(DATA + 2, self.word16(msix + 2))]);
        writes.push(Write::Port32(ADDRESS, saved));
        Ok(qtest.write(&writes)?)
    }
}

/// Bus, slot and function of the vGPU in a machine.
fn place(qmp: &mut Qmp) -> Result<(u8, u8, u8), PciError> {
    let said = qmp.ask("query-pci", json!({}))?;
    let mut found = Vec::new();
    for bus in said.as_array().into_iter().flatten() {
        find(bus, &mut found);
    }
    match found.as_slice() {
        [one] => Ok(*one),
        all => other(format!("the machine has {} functions of a vGPU, and not one", all.len())),
    }
}

/// Looks for vGPUs on a bus and behind its bridges.
fn find(bus: &Value, found: &mut Vec<(u8, u8, u8)>) {
    use godwit_regs::guest::{PCI_DEVICE, PCI_VENDOR};
    for device in bus.get("devices").and_then(Value::as_array).into_iter().flatten() {
        let number = |key: &str| device.get(key).and_then(Value::as_u64);
        let id = |key: &str| device.get("id").and_then(|id| id.get(key)).and_then(Value::as_u64);
        let is_ours =
            id("vendor") == Some(PCI_VENDOR.into()) && id("device") == Some(PCI_DEVICE.into());
        if is_ours {
            let place = ["bus", "slot", "function"]
                .map(|key| number(key).and_then(|number| u8::try_from(number).ok()).unwrap_or(0));
            found.push((place[0], place[1], place[2]));
        }
        if let Some(bridge) = device.get("pci_bridge") {
            find(bridge, found);
        }
    }
}
