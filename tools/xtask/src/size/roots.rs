//! Where a core enters an image by itself, and what it puts on the stack when it does.

use anyhow::{Context, Result, bail};
use object::Architecture;

use super::image::Image;

/// Words that a Cortex-M with a floating-point unit saves when it takes an exception, with one
/// that may be needed to align the stack.
const CORTEX_M_FRAME_BYTES: u64 = 4 * (26 + 1);

/// What RISC-V start-up code enters its trap handler by.
const RISCV_TRAP: &str = "_start_trap";
/// Cortex-M's table of entry points.
const CORTEX_M_TABLE: &str = "__vector_table";

/// The entry points of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Roots {
    /// The start, which everything else interrupts.
    pub(crate) start: u64,
    /// What may interrupt: a level can interrupt the start and every level before it, and has
    /// one of its handlers on the stack at a time.
    pub(crate) levels: Vec<Level>,
}

/// Handlers none of which interrupts another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Level {
    pub(crate) name: &'static str,
    pub(crate) handlers: Vec<u64>,
    /// They handle an overflow of the stack, or what may interrupt that.
    pub(crate) is_fault: bool,
    /// Bytes that the core itself puts on the stack.
    pub(crate) frame_bytes: u64,
}

impl Roots {
    pub(crate) fn of(image: &Image) -> Result<Self> {
        match image.architecture {
            Architecture::Riscv32 | Architecture::Riscv64 => Self::riscv(image),
            Architecture::Arm => Self::cortex_m(image),
            other => bail!("{other:?}: it is not known how this core starts"),
        }
    }

    /// Every address at which the core may enter.
    pub(crate) fn all(&self) -> Vec<u64> {
        let handlers = self.levels.iter().flat_map(|level| level.handlers.iter().copied());
        [self.start].into_iter().chain(handlers).collect()
    }

    /// One handler takes all traps, saves registers itself, and interrupts stay disabled in it.
    fn riscv(image: &Image) -> Result<Self> {
        let trap = image.symbol(RISCV_TRAP).with_context(|| format!("no `{RISCV_TRAP}`"))?;
        let level = Level { name: "trap", handlers: vec![trap], is_fault: true, frame_bytes: 0 };
        Ok(Self { start: image.entry, levels: vec![level] })
    }

    /// Priorities are as after a reset: one for all but hard faults and the NMI.
    fn cortex_m(image: &Image) -> Result<Self> {
        let table =
            image.symbol(CORTEX_M_TABLE).with_context(|| format!("no `{CORTEX_M_TABLE}`"))?;
        let vector = |number: u64| image.constant(table + 4 * number, 4).map(|word| word & !1);
        let start = vector(1).context("the vector table is not constant")?;
        let mut rest = Vec::new();
        for number in 4.. {
            match vector(number) {
                // The table ends where code starts, or with what holds it.
                Some(at) if !image.is_code(table + 4 * number) => {
                    rest.extend((at != 0).then_some(at));
                }
                _ => break,
            }
        }
        rest.sort_unstable();
        rest.dedup();
        let level = |name, handlers| {
            let (is_fault, frame_bytes) = (name != "interrupt", CORTEX_M_FRAME_BYTES);
            Level { name, handlers, is_fault, frame_bytes }
        };
        let one = |number| vector(number).into_iter().collect();
        let levels =
            vec![level("interrupt", rest), level("hard fault", one(3)), level("NMI", one(2))];
        Ok(Self { start, levels })
    }
}
