//! Arm's Thumb-2, as Cortex-M cores have it.

use anyhow::Result;
use capstone::arch::DetailsArchInsn;
use capstone::arch::arm::{ArchExtraMode, ArchMode, ArmCC, ArmOperand, ArmOperandType, ArmReg};
use capstone::prelude::{BuildsCapstone, BuildsCapstoneExtraMode};
use capstone::{Capstone, InsnDetail};

use super::{Expr, Flow, Goal, Insn, Isa, Reg};

const SP: Reg = reg(ArmReg::ARM_REG_SP);
const LR: Reg = reg(ArmReg::ARM_REG_LR);
const PC: Reg = reg(ArmReg::ARM_REG_PC);
const FLAGS: Reg = reg(ArmReg::ARM_REG_CPSR);
const NONE: Reg = reg(ArmReg::ARM_REG_INVALID);
const KEPT: [Reg; 10] = [
    SP,
    PC,
    reg(ArmReg::ARM_REG_R4),
    reg(ArmReg::ARM_REG_R5),
    reg(ArmReg::ARM_REG_R6),
    reg(ArmReg::ARM_REG_R7),
    reg(ArmReg::ARM_REG_R8),
    reg(ArmReg::ARM_REG_R9),
    reg(ArmReg::ARM_REG_R10),
    reg(ArmReg::ARM_REG_R11),
];

const fn reg(raw: ArmReg::Type) -> Reg {
    capstone::RegId(raw as u16)
}

pub(super) fn isa() -> Result<Isa> {
    let mut disassembler = Capstone::new()
        .arm()
        .mode(ArchMode::Thumb)
        .extra_mode([ArchExtraMode::MClass].into_iter())
        .detail(true)
        .build()?;
    disassembler.set_skipdata(true)?;
    let is_kept = |reg: Reg| KEPT.contains(&reg);
    // Literals are at constant addresses, so the program counter counts as 0 in an address.
    // The lowest bit of a pointer to a function says that it is Thumb code.
    Ok(Isa {
        disassembler,
        decode,
        sp: SP,
        link: LR,
        zero: PC,
        flags: Some(FLAGS),
        is_kept,
        word: 4,
        address_mask: !1,
    })
}

fn decode(disassembler: &Capstone, insn: &capstone::Insn<'_>) -> Insn {
    let (at, len) = (insn.address(), insn.bytes().len() as u64);
    let nothing =
        Insn { at, len, condition: None, sets: Vec::new(), store: None, flow: Flow::Next };
    let Ok(detail) = disassembler.insn_detail(insn) else { return nothing };
    let arch = detail.arch_detail();
    let Some(arm) = arch.arm() else { return nothing };
    let operands: Vec<ArmOperand> = arm.operands().collect();
    let full = insn.mnemonic().unwrap_or_default();
    let conditional =
        !matches!(arm.cc(), ArmCC::ARM_CC_AL | ArmCC::ARM_CC_INVALID) && !full.starts_with("it");
    let name = Name::of(full, conditional);
    let flow = match flow(name, at, &operands) {
        Flow::Jump(Goal::At(goal)) if conditional => Flow::Branch(goal),
        flow => flow,
    };
    let mut sets = written(&detail, &operands);
    if let Flow::Call(_) = flow {
        sets.clear(); // the call itself forgets what it clobbers
    }
    // Not everything that moves the stack pointer says that it writes it.
    let by_base = arm.writeback() && (base(&operands) == SP || first(&operands) == SP);
    let by_name = name.is(&["push", "pop", "vpush", "vpop"]);
    let special = name.is(&["msr"]) && insn.op_str().is_some_and(|text| text.contains("sp"));
    if (by_base || by_name || special) && sets.iter().all(|(reg, _)| *reg != SP) {
        sets.push((SP, Expr::Any));
    }
    for (reg, expr) in &mut sets {
        *expr = value(name, *reg, at, &operands);
    }
    sets.retain(|(reg, _)| *reg != PC);
    // A branch is conditional by its flow. Conditions are numbered from 1, each beside its
    // opposite.
    let conditional = conditional && !matches!(flow, Flow::Branch(_));
    let condition = conditional.then(|| (arm.cc() as u8).wrapping_sub(1));
    // Tables are found from the program counter, never by an address that was put aside.
    Insn { at, len, condition, sets, store: None, flow }
}

/// A mnemonic without what says its width, its condition and whether it sets flags.
#[derive(Clone, Copy, Debug)]
struct Name<'a>(&'a str);

impl<'a> Name<'a> {
    fn of(full: &'a str, conditional: bool) -> Self {
        let narrow = full.split('.').next().unwrap_or(full);
        let cut = narrow.len().saturating_sub(2);
        Self(if conditional && cut > 0 { &narrow[..cut] } else { narrow })
    }

    fn is(self, names: &[&str]) -> bool {
        names.contains(&self.0)
    }
}

/// The registers that an instruction writes, named or not.
fn written(detail: &InsnDetail<'_>, operands: &[ArmOperand]) -> Vec<(Reg, Expr)> {
    let mut all: Vec<(Reg, Expr)> =
        detail.regs_write().iter().map(|reg| (*reg, Expr::Any)).collect();
    for operand in operands {
        let ArmOperandType::Reg(reg) = operand.op_type else { continue };
        let is_written = operand.access.is_some_and(|access| access.is_writable());
        if is_written && all.iter().all(|(known, _)| *known != reg) {
            all.push((reg, Expr::Any));
        }
    }
    all
}

fn flow(name: Name<'_>, at: u64, operands: &[ArmOperand]) -> Flow {
    let goal = operands.iter().rev().find_map(|operand| match operand.op_type {
        ArmOperandType::Imm(imm) => Some(u64::from(imm as u32)),
        _ => None,
    });
    let pops_pc = operands.iter().any(|o| o.op_type == ArmOperandType::Reg(PC));
    let origin = at.wrapping_add(4);
    match (name.0, goal) {
        ("bl" | "blx", Some(goal)) => Flow::Call(Goal::At(goal)),
        ("blx", None) => Flow::Call(Goal::Register(first(operands), 0)),
        ("b", Some(goal)) => Flow::Jump(Goal::At(goal)),
        ("cbz" | "cbnz", Some(goal)) => Flow::Branch(goal),
        ("bx", None) => Flow::Jump(Goal::Register(first(operands), 0)),
        ("tbb", _) => Flow::Jump(Goal::Offsets { origin, width: 1 }),
        ("tbh", _) => Flow::Jump(Goal::Offsets { origin, width: 2 }),
        ("udf" | "bkpt" | "svc" | "hlt", _) => Flow::Trap,
        ("pop", _) if pops_pc => Flow::Return,
        ("ldm", _) if pops_pc && first(operands) == SP => Flow::Return,
        // What it loads into the program counter was saved from the link register.
        ("ldr", _) if first(operands) == PC && base(operands) == SP => Flow::Return,
        ("mov", _) if first(operands) == PC => Flow::Jump(Goal::Register(second(operands), 0)),
        // What nothing resolves.
        ("ldm" | "ldmdb", _) if pops_pc => Flow::Jump(Goal::Register(NONE, 0)),
        ("ldr" | "add", _) if first(operands) == PC => Flow::Jump(Goal::Register(NONE, 0)),
        _ => Flow::Next,
    }
}

fn first(operands: &[ArmOperand]) -> Reg {
    match operands.first().map(|o| &o.op_type) {
        Some(ArmOperandType::Reg(reg)) => *reg,
        _ => NONE,
    }
}

/// Whether it loads from the stack.
fn by_stack(operands: &[ArmOperand]) -> bool {
    first(operands) == SP || base(operands) == SP
}

fn second(operands: &[ArmOperand]) -> Reg {
    first(operands.get(1..).unwrap_or_default())
}

fn base(operands: &[ArmOperand]) -> Reg {
    let memory = operands.iter().find_map(|operand| match &operand.op_type {
        ArmOperandType::Mem(memory) => Some(memory.base()),
        _ => None,
    });
    memory.unwrap_or(NONE)
}

/// What a register is set to.
fn value(name: Name<'_>, written: Reg, at: u64, operands: &[ArmOperand]) -> Expr {
    if written == SP
        && let Some(moved) = stack_move(name, operands)
    {
        return Expr::Plus(SP, moved);
    }
    if written == LR && (name.is(&["pop"]) || (name.is(&["ldm", "ldr"]) && by_stack(operands))) {
        return Expr::Saved;
    }
    if first(operands) != written {
        return Expr::Any;
    }
    if let (true, Some(load)) = (name.is(&["ldr"]), load(at, operands)) {
        return load;
    }
    let types: Vec<&ArmOperandType> = operands.iter().map(|o| &o.op_type).collect();
    use ArmOperandType::{Imm, Reg as R};
    let (adds, subs) = (["add", "adds", "addw"], ["sub", "subs", "subw"]);
    // A shifted operand is more than it says.
    if operands.iter().any(|o| o.shift != capstone::arch::arm::ArmShift::Invalid) {
        return match types.as_slice() {
            [R(_), R(one), R(_)] if name.is(&adds) => Expr::Sum(*one, NONE),
            _ => Expr::Any,
        };
    }
    match types.as_slice() {
        // From the word that the program counter is in, which is ahead.
        [R(_), R(PC), Imm(imm)] if name.is(&adds) => {
            Expr::Const((at.wrapping_add(4) & !3).wrapping_add_signed(i64::from(*imm)))
        }
        [R(_), R(PC), Imm(imm)] if name.is(&subs) => {
            Expr::Const((at.wrapping_add(4) & !3).wrapping_add_signed(-i64::from(*imm)))
        }
        [R(_), Imm(imm)] if name.is(&["mov", "movs", "movw"]) => {
            Expr::Const(u64::from(*imm as u32))
        }
        [R(reg), Imm(imm)] if name.is(&["movt"]) => Expr::High(*reg, *imm as u16),
        [R(_), R(from)] if name.is(&["mov", "movs"]) => Expr::Plus(*from, 0),
        [R(reg), Imm(imm)] | [R(_), R(reg), Imm(imm)] if name.is(&adds) => {
            Expr::Plus(*reg, i64::from(*imm))
        }
        [R(reg), Imm(imm)] | [R(_), R(reg), Imm(imm)] if name.is(&subs) => {
            Expr::Plus(*reg, -i64::from(*imm))
        }
        [R(one), R(two)] | [R(_), R(one), R(two)] if name.is(&adds) => Expr::Sum(*one, *two),
        [R(one), R(two)] | [R(_), R(one), R(two)] if name.is(&subs) => Expr::Less(*one, *two),
        _ => Expr::Any,
    }
}

/// By how much an instruction that saves or restores registers moves the stack pointer.
fn stack_move(name: Name<'_>, operands: &[ArmOperand]) -> Option<i64> {
    let bytes = |operand: &ArmOperand| match operand.op_type {
        ArmOperandType::Reg(r) if is_double(r) => 8,
        ArmOperandType::Reg(_) => 4,
        _ => 0,
    };
    let all: i64 = operands.iter().map(bytes).sum();
    let memory = operands.iter().find_map(|operand| match &operand.op_type {
        ArmOperandType::Mem(memory) => Some(i64::from(memory.disp())),
        _ => None,
    });
    let after = operands.iter().rev().find_map(|operand| match operand.op_type {
        ArmOperandType::Imm(imm) => Some(i64::from(imm)),
        _ => None,
    });
    match name.0 {
        "push" | "vpush" => Some(-all),
        "pop" | "vpop" => Some(all),
        // The base is one of the operands.
        "stmdb" | "vstmdb" => Some(4 - all),
        "ldm" | "vldmia" => Some(all - 4),
        "str" | "strd" | "ldr" | "ldrd" => {
            memory.map(|disp| if disp == 0 { after.unwrap_or(0) } else { disp })
        }
        _ => None,
    }
}

fn is_double(reg: Reg) -> bool {
    let range = ArmReg::ARM_REG_D0 as u16..=ArmReg::ARM_REG_D31 as u16;
    range.contains(&reg.0)
}

fn load(at: u64, operands: &[ArmOperand]) -> Option<Expr> {
    let [_, ArmOperand { op_type: ArmOperandType::Mem(memory), .. }] = operands else {
        return None;
    };
    let index = Some(memory.index()).filter(|index| *index != NONE);
    let disp = i64::from(memory.disp());
    if memory.base() == PC {
        let literal = (at & !3).wrapping_add(4).wrapping_add_signed(disp);
        return Some(Expr::Load { base: PC, index, disp: literal as i64, width: 4 });
    }
    Some(Expr::Load { base: memory.base(), index, disp, width: 4 })
}
