//! RISC-V with compressed instructions, 32 or 64 bits wide.

use anyhow::Result;
use capstone::Capstone;
use capstone::arch::DetailsArchInsn;
use capstone::arch::riscv::{ArchExtraMode, ArchMode, RiscVOperand, RiscVReg};
use capstone::prelude::{BuildsCapstone, BuildsCapstoneExtraMode};

use super::{Expr, Flow, Goal, Insn, Isa, Reg, Store};

const ZERO: Reg = reg(RiscVReg::RISCV_REG_ZERO);
const RA: Reg = reg(RiscVReg::RISCV_REG_RA);
const SP: Reg = reg(RiscVReg::RISCV_REG_SP);
/// The first and last of registers that functions keep, in two runs.
const KEPT: [(Reg, Reg); 2] = [
    (reg(RiscVReg::RISCV_REG_X8), reg(RiscVReg::RISCV_REG_X9)),
    (reg(RiscVReg::RISCV_REG_X18), reg(RiscVReg::RISCV_REG_X27)),
];

/// The long form of `unimp`, which is a write to a counter that cannot be written.
const UNIMP: [u8; 4] = [0x73, 0x10, 0x00, 0xc0];

const fn reg(raw: RiscVReg::Type) -> Reg {
    capstone::RegId(raw as u16)
}

pub(super) fn isa(word: u8) -> Result<Isa> {
    let mode = if word == 8 { ArchMode::RiscV64 } else { ArchMode::RiscV32 };
    let mut disassembler = Capstone::new()
        .riscv()
        .mode(mode)
        .extra_mode([ArchExtraMode::RiscVC].into_iter())
        .detail(true)
        .build()?;
    disassembler.set_skipdata(true)?;
    let is_kept =
        |r: Reg| r == SP || r == ZERO || KEPT.iter().any(|(a, b)| (a.0..=b.0).contains(&r.0));
    Ok(Isa {
        disassembler,
        decode,
        sp: SP,
        link: RA,
        zero: ZERO,
        flags: None,
        is_kept,
        word,
        address_mask: !0,
    })
}

/// What stands behind a mnemonic.
#[derive(Debug, Default)]
struct Operands {
    /// The instruction has two bytes.
    short: bool,
    regs: Vec<Reg>,
    imm: Option<i64>,
    /// Base and displacement.
    memory: Option<(Reg, i64)>,
}

impl Operands {
    fn of(disassembler: &Capstone, insn: &capstone::Insn<'_>) -> Self {
        let mut all = Self { short: insn.bytes().len() == 2, ..Self::default() };
        let Ok(detail) = disassembler.insn_detail(insn) else { return all };
        let detail = detail.arch_detail();
        for operand in detail.riscv().into_iter().flat_map(|d| d.operands()) {
            match operand {
                RiscVOperand::Reg(reg) => all.regs.push(reg),
                RiscVOperand::Imm(imm) => all.imm = Some(imm),
                RiscVOperand::Mem(mem) => all.memory = Some((mem.base(), mem.disp())),
                RiscVOperand::Invalid => {}
            }
        }
        all
    }

    fn reg(&self, at: usize) -> Reg {
        self.regs.get(at).copied().unwrap_or(ZERO)
    }

    fn imm(&self) -> i64 {
        self.imm.unwrap_or(0)
    }

    /// Base and displacement; compressed loads have them as two operands.
    fn address(&self) -> (Reg, i64) {
        self.memory.unwrap_or((self.reg(1), self.imm()))
    }
}

fn decode(disassembler: &Capstone, insn: &capstone::Insn<'_>) -> Insn {
    let operands = Operands::of(disassembler, insn);
    let full = insn.mnemonic().unwrap_or_default();
    let name = full.strip_prefix("c.").unwrap_or(full);
    let at = insn.address();
    let flow = if insn.bytes() == UNIMP { Flow::Trap } else { flow(name, at, &operands) };
    let mut sets = Vec::new();
    if writes(name) && !operands.regs.is_empty() {
        sets.push((operands.reg(0), expr(name, at, &operands)));
    }
    if let Flow::Call(_) = flow {
        sets.clear(); // the call itself forgets what it clobbers
    }
    sets.retain(|(reg, _)| *reg != ZERO);
    let store = store(name, &operands);
    Insn { at, len: insn.bytes().len() as u64, condition: None, sets, store, flow }
}

fn flow(name: &str, at: u64, operands: &Operands) -> Flow {
    let there = at.wrapping_add_signed(operands.imm());
    match name {
        "j" => Flow::Jump(Goal::At(there)),
        "jal" if operands.regs.first().is_none_or(|link| *link == RA) => {
            Flow::Call(Goal::At(there))
        }
        "jal" if operands.reg(0) == ZERO => Flow::Jump(Goal::At(there)),
        // Another link register is for helpers that save registers, which is not used here:
        // a goal that nothing resolves.
        "jal" => Flow::Call(Goal::Register(ZERO, 0)),
        "ret" => Flow::Jump(Goal::Register(RA, 0)),
        "jr" => Flow::Jump(Goal::Register(operands.reg(0), operands.imm())),
        "jalr" => match operands.regs.as_slice() {
            [base] => Flow::Call(Goal::Register(*base, operands.imm())),
            [link, base] if *link == ZERO => Flow::Jump(Goal::Register(*base, operands.imm())),
            [link, base] if *link == RA => Flow::Call(Goal::Register(*base, operands.imm())),
            _ => Flow::Call(Goal::Register(ZERO, 0)),
        },
        "mret" | "sret" | "uret" => Flow::Return,
        "ebreak" | "ecall" | "unimp" => Flow::Trap,
        _ if is_branch(name) => Flow::Branch(there),
        _ => Flow::Next,
    }
}

/// What goes to memory, and where; an atomic instruction may write twice the word.
fn store(name: &str, operands: &Operands) -> Option<Store> {
    let width = match name {
        "sb" => 1,
        "sh" => 2,
        "sw" | "swsp" | "fsw" | "fswsp" => 4,
        "sd" | "sdsp" | "fsd" | "fsdsp" => 8,
        _ if name.starts_with("amo") || name.starts_with("sc.") => {
            let (base, disp) = operands.memory.unwrap_or((operands.reg(2), 0));
            return Some(Store { reg: operands.reg(1), base, disp, width: 8 });
        }
        _ => return None,
    };
    let (base, disp) = operands.address();
    Some(Store { reg: operands.reg(0), base, disp, width })
}

fn is_branch(name: &str) -> bool {
    let conditions = ["eq", "ne", "lt", "ge", "gt", "le"];
    name.strip_prefix('b').is_some_and(|rest| {
        conditions.iter().any(|c| rest.strip_prefix(c).is_some_and(|r| ["", "z", "u"].contains(&r)))
    })
}

/// Whether the first register is written: taken as true where it is not known.
fn writes(name: &str) -> bool {
    let stores = ["sb", "sh", "sw", "sd", "swsp", "sdsp", "fsw", "fsd", "fswsp", "fsdsp"];
    let control = ["csrw", "csrs", "csrc", "fence", "ecall"];
    !stores.contains(&name)
        && !control.contains(&name)
        && !is_branch(name)
        && !["j", "jr", "jal", "jalr", "ret"].contains(&name)
}

/// What the first register is set to.
fn expr(name: &str, at: u64, operands: &Operands) -> Expr {
    let (one, two, imm) = (operands.reg(1), operands.reg(2), operands.imm());
    let load = |width| {
        let (base, disp) = operands.address();
        Expr::Load { base, index: None, disp, width }
    };
    let pair = operands.regs.len() == 2;
    match name {
        "li" => Expr::Const(imm as u64),
        "lui" => Expr::Const(upper(imm)),
        "auipc" => Expr::Const(at.wrapping_add(upper(imm))),
        "mv" => Expr::Plus(one, 0),
        "addi" if operands.regs.len() == 1 => Expr::Plus(operands.reg(0), imm),
        "addi" | "addi4spn" => Expr::Plus(one, imm),
        "addi16sp" => Expr::Plus(SP, imm),
        "addiw" if operands.regs.len() == 1 => Expr::Plus(operands.reg(0), imm),
        "addiw" => Expr::Plus(one, imm),
        "add" if pair => Expr::Sum(operands.reg(0), one),
        "add" if two == ZERO => Expr::Plus(one, 0),
        "add" => Expr::Sum(one, two),
        "sub" if pair => Expr::Less(operands.reg(0), one),
        "sub" => Expr::Less(one, two),
        "andi" if operands.regs.len() == 1 => Expr::And(operands.reg(0), imm),
        "andi" => Expr::And(one, imm),
        "lw" | "lwu" | "lwsp" => load(4),
        "ld" | "ldsp" => load(8),
        "lb" | "lbu" | "lh" | "lhu" => Expr::Any,
        // Whether it is so: a number.
        "seqz" | "snez" | "sltz" | "sgtz" | "slt" | "sltu" | "slti" | "sltiu" => Expr::Any,
        _ => match operands.regs.as_slice() {
            // The short forms set a register from itself.
            [one, two] if operands.short => Expr::From(*one, *two),
            [_, one] => Expr::From(*one, *one),
            [_, one, two] => Expr::From(*one, *two),
            _ => Expr::Any,
        },
    }
}

/// Twenty bits, put above twelve zeros and extended by their sign.
fn upper(imm: i64) -> u64 {
    i64::from((imm << 12) as i32) as u64
}
