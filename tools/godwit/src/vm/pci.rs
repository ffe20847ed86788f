//! What QEMU keeps of a vfio-user function and does not migrate: the addresses of its BARs, its
//! command register and its MSI-X table. The server's configuration space has all but the table,
//! which the source's QEMU has.
//!
//! At the destination the configuration space is written by QEMU's monitor, through the ports by
//! which every PC reaches it, and the table by the vGPU's server, as a write of the device.

use super::machine::Machine;
use super::qmp::{Qmp, QmpError};
use godwit_server::{Client, ClientError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Ports of the configuration mechanism #1 of PCI.
const ADDRESS: u16 = 0xcf8;
const DATA: u16 = 0xcfc;
/// The command register's memory and bus master.
const COMMAND_ON: u16 = 0x0006;
/// Offsets in the configuration space.
const COMMAND: u8 = 0x04;
const CACHE_LINE: u8 = 0x0c;
const BARS: u8 = 0x10;
const CAPABILITIES: u8 = 0x34;
const INTERRUPT_LINE: u8 = 0x3c;
const FIRST_CAPABILITY: u8 = 0x40;
const CAP_MSIX: u8 = 0x11;
/// Where the last may begin.
const LAST_CAPABILITY: u8 = 0xf4;
const LAST_BAR: u32 = 5;
/// Of MSI-X's control word: all vectors are masked.
const FUNCTION_MASK: u16 = 0x4000;
const CONFIG_BYTES: u32 = 256;
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
    Server(#[from] ClientError),
    #[error("{0}")]
    Other(String),
}

fn other<T>(why: impl Into<String>) -> Result<T, PciError> {
    Err(PciError::Other(why.into()))
}

impl Function {
    /// That of a vGPU of a machine. What a guest that runs changes in the meantime may be missing.
    pub(super) fn read(machine: &mut Machine) -> Result<Self, PciError> {
        let config = read_config(&mut machine.server)?;
        Self::with_table(config, &mut machine.qmp)
    }

    /// That with this configuration space.
    pub(super) fn with_table(config: Vec<u8>, qmp: &mut Qmp) -> Result<Self, PciError> {
        let mut function = Self { config, table: Vec::new() };
        function.check()?;
        if let Some(table) = function.msix_table()? {
            let (wanted, at) = (table.entries * ENTRY_WORDS, table.address);
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

    /// Whether it can be one: what others have written may be anything.
    pub(super) fn check(&self) -> Result<(), PciError> {
        if self.config.len() != CONFIG_BYTES as usize {
            let bytes = self.config.len();
            return other(format!("a configuration space has {CONFIG_BYTES} bytes, not {bytes}"));
        }
        let wanted = self.msix_table()?.map_or(0, |table| table.entries * ENTRY_WORDS);
        if !self.table.is_empty() && self.table.len() != wanted {
            let words = self.table.len();
            return other(format!("the MSI-X table has {wanted} words, and not {words}"));
        }
        Ok(())
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
                // What is nearer to the end has no room.
                FIRST_CAPABILITY..=LAST_CAPABILITY if at.is_multiple_of(4) => {
                    if self.byte(at) == CAP_MSIX {
                        return Ok(at);
                    }
                    at = self.byte(at + 1);
                }
                _ => break,
            }
        }
        other("the vGPU's function has no MSI-X")
    }

    /// The table, if it is there now: if the guest has switched on the function's memory.
    fn msix_table(&self) -> Result<Option<Table>, PciError> {
        let at = self.msix()?;
        let entries = usize::from(self.word16(at + 2) & 0x7ff) + 1;
        let place = self.word32(at + 4);
        let (region, offset) = (place & 7, place & !7);
        let bar = BARS + 4 * region as u8;
        let (low, is_wide) = (self.word32(bar), self.word32(bar) & 6 == 4);
        if region > LAST_BAR - u32::from(is_wide) {
            return other(format!("the MSI-X table is in BAR {region}, which a function has not"));
        }
        let high = if is_wide { u64::from(self.word32(bar + 4)) << 32 } else { 0 };
        let base = u64::from(low & !0xf) | high;
        if self.word16(COMMAND) & 2 == 0 || base == 0 {
            return Ok(None);
        }
        Ok(Some(Table { entries, address: base + u64::from(offset), region, offset }))
    }

    /// Gives it to a vGPU of a machine whose processors stand still. `false`: it is behind a bridge
    /// and is not reached before the machine has its state, which has the bridge's number.
    pub(super) fn write(&self, machine: &mut Machine, has_state: bool) -> Result<bool, PciError> {
        let place = match places(&mut machine.qmp)?.as_slice() {
            [one] if has_state || !one.is_behind_bridge => *one,
            // A bridge without a number shows nothing of what is behind it.
            [] | [_] if !has_state => return Ok(false),
            all => {
                let count = all.len();
                return other(format!("the machine has {count} functions of a vGPU, and not one"));
            }
        };
        let saved = machine.qmp.port(ADDRESS)?;
        let mut config = Config { qmp: &mut machine.qmp, place };
        for bar in (BARS..BARS + 24).step_by(4) {
            config.write32(bar, self.word32(bar))?;
        }
        for at in [CACHE_LINE, INTERRUPT_LINE] {
            config.write8(at, self.byte(at))?;
        }
        let msix = self.msix()?;
        // The other capabilities: what is read-only in them stays as it is.
        for at in (FIRST_CAPABILITY..msix).step_by(4) {
            config.write32(at, self.word32(at))?;
        }
        let (command, control) = (self.word16(COMMAND), self.word16(msix + 2));
        if let Some(Table { region, offset, .. }) = self.msix_table()? {
            // The table is written by the device itself. All of it is masked meanwhile: QEMU tells
            // the hypervisor where a vector goes when it is unmasked.
            config.write16(COMMAND, command | COMMAND_ON)?;
            config.write16(msix + 2, control | FUNCTION_MASK)?;
            let bytes: Vec<u8> = self.table.iter().flat_map(|word| word.to_le_bytes()).collect();
            machine.server.write_region(region, offset.into(), &bytes)?;
        }
        let mut config = Config { qmp: &mut machine.qmp, place };
        config.write16(msix + 2, control)?;
        config.write16(COMMAND, command)?;
        machine.qmp.set_port(ADDRESS, saved, 'w')?;
        Ok(true)
    }
}

/// Reads the first 256 bytes of the configuration space.
pub(super) fn read_config(server: &mut Client) -> Result<Vec<u8>, ClientError> {
    server.read_config(0, CONFIG_BYTES)
}

/// Where the MSI-X table is.
struct Table {
    entries: usize,
    /// In the machine's memory.
    address: u64,
    /// In the function: the BAR, and the place in it.
    region: u32,
    offset: u32,
}

/// Where a function is in a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    bus: u8,
    slot: u8,
    function: u8,
    is_behind_bridge: bool,
}

/// The configuration space of a function in a machine whose processors stand still.
struct Config<'a> {
    qmp: &'a mut Qmp,
    place: Place,
}

impl Config<'_> {
    fn select(&mut self, at: u8) -> Result<(), QmpError> {
        let Place { bus, slot, function, .. } = self.place;
        let place = u32::from(bus) << 16 | u32::from(slot) << 11 | u32::from(function) << 8;
        self.qmp.set_port(ADDRESS, 1 << 31 | place | u32::from(at & !3), 'w')
    }

    fn write32(&mut self, at: u8, value: u32) -> Result<(), QmpError> {
        self.select(at)?;
        self.qmp.set_port(DATA, value, 'w')
    }

    fn write16(&mut self, at: u8, value: u16) -> Result<(), QmpError> {
        self.select(at)?;
        self.qmp.set_port(DATA + u16::from(at & 2), value.into(), 'h')
    }

    fn write8(&mut self, at: u8, value: u8) -> Result<(), QmpError> {
        self.select(at)?;
        self.qmp.set_port(DATA + u16::from(at & 3), value.into(), 'b')
    }
}

/// Where vGPUs are in a machine.
fn places(qmp: &mut Qmp) -> Result<Vec<Place>, PciError> {
    let said = qmp.ask("query-pci", json!({}))?;
    let mut found = Vec::new();
    for bus in said.as_array().into_iter().flatten() {
        find(bus, false, &mut found);
    }
    Ok(found)
}

/// Looks for vGPUs on a bus and behind its bridges.
fn find(bus: &Value, is_behind_bridge: bool, found: &mut Vec<Place>) {
    use godwit_regs::guest::{PCI_DEVICE, PCI_VENDOR};
    for device in bus.get("devices").and_then(Value::as_array).into_iter().flatten() {
        let number = |key: &str| {
            let number = device.get(key).and_then(Value::as_u64);
            number.and_then(|number| u8::try_from(number).ok()).unwrap_or(0)
        };
        let id = |key: &str| device.get("id").and_then(|id| id.get(key)).and_then(Value::as_u64);
        let is_ours =
            id("vendor") == Some(PCI_VENDOR.into()) && id("device") == Some(PCI_DEVICE.into());
        if is_ours {
            let [bus, slot, function] = ["bus", "slot", "function"].map(number);
            found.push(Place { bus, slot, function, is_behind_bridge });
        }
        if let Some(bridge) = device.get("pci_bridge") {
            find(bridge, true, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

    /// A function whose MSI-X table of 32 entries is at the beginning of BAR 4.
    fn function() -> Function {
        let mut config = vec![0; CONFIG_BYTES as usize];
        let mut put = |at: u8, bytes: &[u8]| {
            config[usize::from(at)..usize::from(at) + bytes.len()].copy_from_slice(bytes);
        };
        put(COMMAND, &[6, 0]);
        put(CAPABILITIES, &[0x40]);
        put(0x40, &[0x10, 0x80]);
        put(0x80, &[CAP_MSIX, 0, 31, 0x80, 4, 0, 0, 0]);
        put(BARS + 16, &0xfebc_0000_u32.to_le_bytes());
        Function { config, table: vec![0; 32 * ENTRY_WORDS] }
    }

    #[test]
    fn the_table_is_where_the_function_says() {
        let table = function().msix_table().unwrap().unwrap();
        assert_eq!((table.entries, table.address, table.region), (32, 0xfebc_0000, 4));
        let mut off = function();
        off.config[usize::from(COMMAND)] = 0;
        assert!(off.msix_table().unwrap().is_none(), "nobody has switched it on");
        function().check().unwrap();
    }

    #[test]
    fn what_is_no_function_is_refused() {
        let change = |at: u8, value: u8| {
            let mut function = function();
            function.config[usize::from(at)] = value;
            function.check().map_err(|error| error.to_string())
        };
        for (at, value) in [(CAPABILITIES, 0), (CAPABILITIES, 0x3c), (CAPABILITIES, 0x42)] {
            assert!(change(at, value).unwrap_err().contains("no MSI-X"), "{at} {value:#x}");
        }
        // A list without end, and one that leads to the last bytes.
        for next in [0x40, 0xf8, 0xff] {
            assert!(change(0x41, next).unwrap_err().contains("no MSI-X"), "{next:#x}");
        }
        for region in [6, 7] {
            assert!(change(0x84, region).unwrap_err().contains("which a function has not"));
        }
        assert!(change(0x82, 30).unwrap_err().contains("124 words, and not 128"));
        let mut short = function();
        short.config.pop();
        assert!(short.check().unwrap_err().to_string().contains("256 bytes, not 255"));
    }

    #[test]
    fn whatever_is_read_is_a_function_or_refused() {
        let mut chance = ChaCha8Rng::seed_from_u64(1);
        let (mut taken, mut refused) = (0, 0);
        for _ in 0..20_000 {
            let mut function = function();
            for _ in 0..1 + chance.next_u32() % 6 {
                let at = chance.next_u32() as usize % function.config.len();
                function.config[at] = chance.next_u32() as u8;
            }
            match function.check() {
                Ok(()) => taken += 1,
                Err(_) => refused += 1,
            }
        }
        assert!(taken > 1_000 && refused > 100, "{taken} are taken, {refused} refused");
    }
}
