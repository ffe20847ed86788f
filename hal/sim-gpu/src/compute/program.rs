//! A few instructions of RV64IMA as words, to write programs for the core with.

use ckb_vm::registers::{A7, ZERO};

const fn r_type(opcode: u32, funct3: u32, funct7: u32, rd: usize, rs1: usize, rs2: usize) -> u32 {
    opcode
        | (rd as u32) << 7
        | funct3 << 12
        | (rs1 as u32) << 15
        | (rs2 as u32) << 20
        | funct7 << 25
}

const fn i_type(opcode: u32, funct3: u32, rd: usize, rs1: usize, immediate: i32) -> u32 {
    let low = immediate as u32 & 0xfff;
    opcode | (rd as u32) << 7 | funct3 << 12 | (rs1 as u32) << 15 | low << 20
}

const fn s_type(funct3: u32, rs2: usize, at: (i32, usize)) -> u32 {
    let (offset, rs1) = (at.0 as u32, at.1 as u32);
    0x23 | (offset & 0x1f) << 7
        | funct3 << 12
        | rs1 << 15
        | (rs2 as u32) << 20
        | (offset >> 5 & 0x7f) << 25
}

const fn b_type(funct3: u32, rs1: usize, rs2: usize, offset: i32) -> u32 {
    let o = offset as u32;
    0x63 | (o >> 11 & 1) << 7
        | (o >> 1 & 0xf) << 8
        | funct3 << 12
        | (rs1 as u32) << 15
        | (rs2 as u32) << 20
        | (o >> 5 & 0x3f) << 25
        | (o >> 12 & 1) << 31
}

pub(crate) const fn lui(rd: usize, upper: u32) -> u32 {
    0x37 | (rd as u32) << 7 | upper << 12
}
pub(crate) const fn auipc(rd: usize, upper: u32) -> u32 {
    0x17 | (rd as u32) << 7 | upper << 12
}
pub(crate) const fn jal(rd: usize, offset: i32) -> u32 {
    let o = offset as u32;
    0x6f | (rd as u32) << 7
        | (o >> 12 & 0xff) << 12
        | (o >> 11 & 1) << 20
        | (o >> 1 & 0x3ff) << 21
        | (o >> 20 & 1) << 31
}
pub(crate) const fn jalr(rd: usize, rs1: usize, offset: i32) -> u32 {
    i_type(0x67, 0, rd, rs1, offset)
}
pub(crate) const fn beq(rs1: usize, rs2: usize, offset: i32) -> u32 {
    b_type(0, rs1, rs2, offset)
}
pub(crate) const fn bne(rs1: usize, rs2: usize, offset: i32) -> u32 {
    b_type(1, rs1, rs2, offset)
}
pub(crate) const fn ld(rd: usize, offset: i32, rs1: usize) -> u32 {
    i_type(0x03, 3, rd, rs1, offset)
}
pub(crate) const fn lbu(rd: usize, offset: i32, rs1: usize) -> u32 {
    i_type(0x03, 4, rd, rs1, offset)
}
pub(crate) const fn sb(rs2: usize, offset: i32, rs1: usize) -> u32 {
    s_type(0, rs2, (offset, rs1))
}
pub(crate) const fn sh(rs2: usize, offset: i32, rs1: usize) -> u32 {
    s_type(1, rs2, (offset, rs1))
}
pub(crate) const fn sw(rs2: usize, offset: i32, rs1: usize) -> u32 {
    s_type(2, rs2, (offset, rs1))
}
pub(crate) const fn sd(rs2: usize, offset: i32, rs1: usize) -> u32 {
    s_type(3, rs2, (offset, rs1))
}
pub(crate) const fn addi(rd: usize, rs1: usize, immediate: i32) -> u32 {
    i_type(0x13, 0, rd, rs1, immediate)
}
pub(crate) const fn andi(rd: usize, rs1: usize, immediate: i32) -> u32 {
    i_type(0x13, 7, rd, rs1, immediate)
}
pub(crate) const fn slli(rd: usize, rs1: usize, by: i32) -> u32 {
    i_type(0x13, 1, rd, rs1, by)
}
pub(crate) const fn srli(rd: usize, rs1: usize, by: i32) -> u32 {
    i_type(0x13, 5, rd, rs1, by)
}
pub(crate) const fn li(rd: usize, immediate: i32) -> u32 {
    addi(rd, ZERO, immediate)
}
pub(crate) const fn add(rd: usize, rs1: usize, rs2: usize) -> u32 {
    r_type(0x33, 0, 0, rd, rs1, rs2)
}
pub(crate) const fn xor(rd: usize, rs1: usize, rs2: usize) -> u32 {
    r_type(0x33, 4, 0, rd, rs1, rs2)
}
pub(crate) const fn and(rd: usize, rs1: usize, rs2: usize) -> u32 {
    r_type(0x33, 7, 0, rd, rs1, rs2)
}
pub(crate) const fn mul(rd: usize, rs1: usize, rs2: usize) -> u32 {
    r_type(0x33, 0, 1, rd, rs1, rs2)
}
pub(crate) const fn lr_d(rd: usize, rs1: usize) -> u32 {
    r_type(0x2f, 3, 0x02 << 2, rd, rs1, 0)
}
pub(crate) const fn sc_d(rd: usize, rs2: usize, rs1: usize) -> u32 {
    r_type(0x2f, 3, 0x03 << 2, rd, rs1, rs2)
}
pub(crate) const fn lr_w(rd: usize, rs1: usize) -> u32 {
    r_type(0x2f, 2, 0x02 << 2, rd, rs1, 0)
}
pub(crate) const fn sc_w(rd: usize, rs2: usize, rs1: usize) -> u32 {
    r_type(0x2f, 2, 0x03 << 2, rd, rs1, rs2)
}
pub(crate) const fn amoadd_d(rd: usize, rs2: usize, rs1: usize) -> u32 {
    r_type(0x2f, 3, 0, rd, rs1, rs2)
}
pub(crate) const fn amoswap_w(rd: usize, rs2: usize, rs1: usize) -> u32 {
    r_type(0x2f, 2, 0x01 << 2, rd, rs1, rs2)
}
pub(crate) const ECALL: u32 = 0x0000_0073;
pub(crate) const EBREAK: u32 = 0x0010_0073;
pub(crate) const FENCE_I: u32 = 0x0000_100f;

/// Ends the thread.
pub(crate) const EXIT: [u32; 2] = [li(A7, 93), ECALL];
/// Waits at the block's barrier.
pub(crate) const BARRIER: [u32; 2] = [li(A7, 1000), ECALL];
