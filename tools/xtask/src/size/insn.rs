//! Instructions of any core, reduced to what stack and calls depend on.

mod riscv;
mod thumb;

use anyhow::{Result, bail};
use capstone::{Capstone, RegId};
use object::Architecture;

/// A register, by the disassembler's number.
pub(crate) type Reg = RegId;

/// What a register is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expr {
    /// A constant.
    Const(u64),
    /// A register and a constant.
    Plus(Reg, i64),
    /// Two registers, added.
    Sum(Reg, Reg),
    /// The first register less the second.
    Less(Reg, Reg),
    /// A register, masked.
    And(Reg, i64),
    /// A register whose upper half is replaced.
    High(Reg, u16),
    /// A word of memory.
    Load { base: Reg, index: Option<Reg>, disp: i64, width: u8 },
    /// A return address that the function saved itself.
    Saved,
    /// Something made of two registers.
    From(Reg, Reg),
    /// Anything that is no address on the stack.
    Any,
}

/// A register that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Store {
    pub(crate) reg: Reg,
    pub(crate) base: Reg,
    pub(crate) disp: i64,
    /// Bytes.
    pub(crate) width: u8,
}

/// Where control may go from an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// To the next one.
    Next,
    /// Elsewhere only, for good.
    Jump(Goal),
    /// Elsewhere, or to the next one.
    Branch(u64),
    /// Into a function, and to the next one if that returns.
    Call(Goal),
    /// To the caller.
    Return,
    /// Nowhere: the core traps.
    Trap,
}

/// Where a jump or a call goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// To an address.
    At(u64),
    /// To what a register and a constant add up to.
    Register(Reg, i64),
    /// `origin` and twice an entry of the table of offsets that starts there.
    Offsets { origin: u64, width: u8 },
}

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Insn {
    pub(crate) at: u64,
    pub(crate) len: u64,
    /// The condition without which it is skipped. Two that differ in the lowest bit exclude
    /// each other.
    pub(crate) condition: Option<u8>,
    /// Registers that it sets, each from values before it.
    pub(crate) sets: Vec<(Reg, Expr)>,
    /// What it stores, on cores that put constants aside on the stack.
    pub(crate) store: Option<Store>,
    pub(crate) flow: Flow,
}

/// A core's instruction set.
pub(crate) struct Isa {
    disassembler: Capstone,
    decode: fn(&Capstone, &capstone::Insn<'_>) -> Insn,
    /// The stack pointer.
    pub(crate) sp: Reg,
    /// The register with the return address.
    pub(crate) link: Reg,
    /// A register that counts as 0 where it is read.
    pub(crate) zero: Reg,
    /// The register with the conditions, if there is one.
    pub(crate) flags: Option<Reg>,
    /// Whether a register keeps its value across a call.
    pub(crate) is_kept: fn(Reg) -> bool,
    /// Bytes of an address.
    pub(crate) word: u8,
    /// Bits of an address that say something else.
    pub(crate) address_mask: u64,
}

impl Isa {
    /// The instruction set of an image.
    pub(crate) fn of(architecture: Architecture) -> Result<Self> {
        match architecture {
            Architecture::Riscv64 => riscv::isa(8),
            Architecture::Riscv32 => riscv::isa(4),
            Architecture::Arm => thumb::isa(),
            other => bail!("{other:?} is none of the cores that are known here"),
        }
    }

    /// The instructions in some bytes. What is none is left out, and found where it is reached.
    pub(crate) fn decode(&self, bytes: &[u8], at: u64) -> Result<Vec<Insn>> {
        let found = self.disassembler.disasm_all(bytes, at)?;
        let is_code = |insn: &&capstone::Insn<'_>| insn.id().0 != 0;
        Ok(found.iter().filter(is_code).map(|i| (self.decode)(&self.disassembler, i)).collect())
    }

    /// Where a return address, a vector or a pointer to a function leads.
    pub(crate) fn address(&self, word: u64) -> u64 {
        let wide = if self.word == 8 { word } else { word & 0xffff_ffff };
        wide & self.address_mask
    }
}
