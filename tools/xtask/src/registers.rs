//! `cargo xtask registers`: the register reference, from the map as data.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result, bail};
use godwit_regs::{BLOCKS, Block, Field, MAP_BYTES, Register};

use crate::workspace::Workspace;

/// Where the reference is.
const PATH: &str = "hal/regs/REGISTERS.md";

/// How to write it anew.
pub(crate) const REFRESH: &str = "cargo xtask registers";

/// Writes the reference.
pub(crate) fn write(workspace: &Workspace) -> Result<()> {
    let path = workspace.root().join(PATH);
    fs::write(path, reference()).with_context(|| format!("cannot write `{PATH}`"))?;
    println!("`{PATH}` is written");
    Ok(())
}

/// Fails unless the reference is what [`write()`] would write.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    compare(&workspace.read(PATH)?)?;
    println!("`{PATH}` is up to date");
    Ok(())
}

fn compare(text: &str) -> Result<()> {
    let reference = reference();
    if text == reference {
        return Ok(());
    }
    let pairs = text.lines().zip(reference.lines());
    let same = pairs.take_while(|(one, other)| one == other).count();
    bail!(
        "`{PATH}` is not what the map says, from line {} on; write it anew with `{REFRESH}`",
        same + 1
    );
}

/// All of it, as Markdown.
fn reference() -> String {
    let mut out = format!(
        "<!-- Written by `{REFRESH}` from hal/regs/src; edit that. -->\n\n\
         # Registers\n\n\
         {MAP_BYTES:#x} bytes of 32-bit words. Each has one writer: firmware, device or host.\n\
         What is in no table reads as anything and is written by nobody. The rules of the map are\n\
         at the top of [src/lib.rs](src/lib.rs), and what happens through it in\n\
         [ARCHITECTURE.md](../../ARCHITECTURE.md).\n\n\
         | block | first | words | what it is |\n|---|---|---|---|\n"
    );
    for block in ordered() {
        let words: u32 = block.registers.iter().map(|register| register.count).sum();
        let Block { name, offset, doc, .. } = block;
        let _ =
            writeln!(out, "| [`{name}`](#{name}) | `{offset:#07x}` | {words} | {} |", line(doc));
    }
    for block in ordered() {
        write_block(&mut out, block);
    }
    out
}

/// The blocks in the order of their addresses.
fn ordered() -> Vec<&'static Block> {
    let mut blocks: Vec<&Block> = BLOCKS.iter().collect();
    blocks.sort_by_key(|block| block.offset);
    blocks
}

fn write_block(out: &mut String, block: &Block) {
    let _ = writeln!(out, "\n## {}\n\n{}", block.name, line(block.doc));
    if let (Some(index), Some(first)) = (block.index, block.registers.first()) {
        let Register { count, stride, .. } = first;
        let _ = writeln!(out, "\nOne for each `{index}`: {count}, {stride:#x} bytes apart.");
    }
    out.push_str("\n| offset | register | writer | what it holds |\n|---|---|---|---|\n");
    let mut registers: Vec<&Register> = block.registers.iter().collect();
    registers.sort_by_key(|register| register.offset);
    for register in &registers {
        let Register { offset, writer, doc, .. } = register;
        let name = short(register);
        let writer = format!("{writer:?}").to_lowercase();
        let _ = writeln!(out, "| `{offset:#07x}` | `{name}` | {writer} | {} |", line(doc));
    }
    for register in registers.iter().filter(|register| !register.fields.is_empty()) {
        let _ = writeln!(
            out,
            "\n`{}`\n\n| bits | field | what it holds |\n|---|---|---|",
            short(register)
        );
        register.fields.iter().for_each(|field| write_field(out, field));
    }
}

fn write_field(out: &mut String, field: &Field) {
    let Field { name, at, width, doc, values } = field;
    let bits = match width {
        1 => at.to_string(),
        _ => format!("{}:{at}", at + width - 1),
    };
    let named: Vec<String> =
        values.iter().map(|value| format!("{} `{}`", value.number, value.name)).collect();
    let named = if named.is_empty() { String::new() } else { format!(" {}.", named.join(", ")) };
    let _ = writeln!(out, "| {bits} | `{name}` | {}{named} |", line(doc));
}

/// A register's name without its block's.
fn short(register: &Register) -> &'static str {
    register.name.split_once('.').map_or(register.name, |(_, name)| name)
}

/// A doc comment as one line of a table.
fn line(doc: &str) -> String {
    doc.trim().replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::{compare, reference};

    #[test]
    fn every_register_has_a_row_and_every_field_too() {
        let text = reference();
        for row in [
            "| `0x10000` | `config` | firmware | What the slot is bound to. |",
            "| 15:8 | `GFID` | Whose channel it is. |",
            "| 31:0 | `MODE` | What an access meets. 0 `Blocked`, 1 `Trap`, 2 `Direct`. |",
            "One for each `Gfid`: 32, 0x40 bytes apart.",
        ] {
            assert!(text.lines().any(|line| line == row), "{row}\n{text}");
        }
    }

    #[test]
    fn a_reference_that_is_stale_is_told_with_its_first_line_and_the_remedy() {
        compare(&reference()).unwrap();
        let stale = reference().replacen("# Registers", "# Register", 1);
        let error = compare(&stale).unwrap_err().to_string();
        assert_eq!(
            error,
            "`hal/regs/REGISTERS.md` is not what the map says, from line 3 on; write it anew with \
             `cargo xtask registers`"
        );
        let cut: String = reference().lines().take(5).map(|line| format!("{line}\n")).collect();
        assert!(compare(&cut).unwrap_err().to_string().contains("from line 6 on"));
    }
}
