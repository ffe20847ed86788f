//! Small programs that break one rule each, in assembly that the compiler puts together.

use std::fs;
use std::process::Command;

use super::budget::Sizes;
use super::check::{self, Findings};
use super::report::Row;

/// A core to write programs for.
#[derive(Clone, Copy)]
struct Core {
    target: &'static str,
    /// What makes a bare program one that can be checked.
    frame: &'static str,
}

/// Starts at `start`, which the test gives, and takes traps.
const RISCV: Core = Core {
    target: "riscv64imac-unknown-none-elf",
    frame: ".globl _start_trap
        .type _start_trap, @function
        _start_trap: addi sp, sp, -128
        addi sp, sp, 128
        mret
        .size _start_trap, . - _start_trap",
};

const ARM: Core = Core {
    target: "thumbv7em-none-eabihf",
    frame: ".section .vectors, \"aR\"
        .globl __vector_table
        __vector_table: .word 0x20001000, start, nmi, fault
        .text
        .type nmi, %function
        .thumb_func
        nmi: b nmi
        .size nmi, . - nmi
        .type fault, %function
        .thumb_func
        fault: push {r4, lr}
        pop {r4, pc}
        .size fault, . - fault",
};

/// What the engine's table takes in these programs.
const TABLE: &str = "
    .globl _godwit_channel_bytes
    .set _godwit_channel_bytes, 2
    .section .bss.table, \"awR\", %nobits
    .zero 5000
    .text
";

/// A function of a program.
fn function(core: Core, name: &str, body: &str) -> String {
    let (kind, thumb) = if core.target == ARM.target { ("%", ".thumb_func") } else { ("@", "") };
    let quoted = format!("\"{name}\"");
    let head = format!(".type {quoted}, {kind}function\n{thumb}\n{quoted}:");
    format!("{head}\n{body}\n.size {quoted}, . - {quoted}\n")
}

/// What is found in a program of these functions, the first of which is `start`.
fn found(core: Core, functions: &[(&str, &str)]) -> Findings {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("program.rs");
    let elf = folder.path().join("program");
    let code: String = functions.iter().map(|(name, body)| function(core, name, body)).collect();
    let assembly = format!(".text\n{}\n{TABLE}\n.globl start\n{code}", core.frame);
    let program = "#![no_std]\n#![no_main]\n\
         #[panic_handler]\nfn end(_: &core::panic::PanicInfo<'_>) -> ! { loop {} }\n\
         core::arch::global_asm!(r#\"";
    fs::write(&source, format!("{program}{assembly}\"#, options(raw));\n")).unwrap();
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--edition", "2024", "--target", core.target, "-C", "panic=abort"])
        .args(["-C", "link-arg=--entry=start", "-o"])
        .args([&elf, &source])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    check::image(&fs::read(&elf).unwrap()).unwrap()
}

/// That one problem is found, and what is said of it.
fn problem(core: Core, functions: &[(&str, &str)], says: &[&str]) {
    let problems = found(core, functions).problems;
    let [problem] = problems.as_slice() else { panic!("not one problem: {problems:?}") };
    assert!(says.iter().all(|word| problem.contains(word)), "{problem}");
}

const LOOP: &str = "1: j 1b";

#[test]
fn the_deepest_path_is_found_with_the_trap_on_top() {
    let start = "addi sp, sp, -16\n call shallow\n call deep\n 1: j 1b";
    let deep = "addi sp, sp, -64\n sd ra, 0(sp)\n call leaf\n ld ra, 0(sp)\n addi sp, sp, 64\n ret";
    let shallow = "addi sp, sp, -96\n addi sp, sp, 96\n ret";
    let leaf = "lui a1, 2\n sub sp, sp, a1\n add sp, sp, a1\n ret";
    let functions = [("start", start), ("shallow", shallow), ("deep", deep), ("leaf", leaf)];
    let found = found(RISCV, &functions);
    assert_eq!(found.problems, [""; 0]);
    assert_eq!(found.sizes.stack_bytes, 16 + 64 + 8192 + 128);
    let names: Vec<&str> = found.deepest.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["start", "deep", "leaf", "_start_trap"]);
    assert_eq!(found.sizes.channel_bytes, 2);
    assert_eq!(found.sizes.ram_bytes, 5000 - 2 * 2048);
}

#[test]
fn a_frame_is_taken_off_again_before_a_tail_call() {
    let start = "call outer\n 1: j 1b";
    let outer = "addi sp, sp, -32\n addi sp, sp, 32\n tail inner";
    let inner = "addi sp, sp, -48\n addi sp, sp, 48\n ret";
    let found = found(RISCV, &[("start", start), ("outer", outer), ("inner", inner)]);
    assert_eq!(found.problems, [""; 0]);
    assert_eq!(found.sizes.stack_bytes, 48 + 128);
}

#[test]
fn a_recursion_is_named() {
    let start = "call even\n 1: j 1b";
    let functions = [("start", start), ("even", "call odd\n ret"), ("odd", "call even\n ret")];
    problem(RISCV, &functions, &["recursion", "even (call at 0x", "odd (call at 0x"]);
}

#[test]
fn a_call_through_a_pointer_is_named() {
    let start = "ld a0, 0(a0)\n jalr a0\n 1: j 1b";
    problem(RISCV, &[("start", start)], &["start, 0x", "it calls what nothing says"]);
    problem(ARM, &[("start", "blx r0\n 1: b 1b")], &["start, 0x", "it calls what nothing says"]);
}

#[test]
fn a_jump_through_a_pointer_is_named() {
    problem(RISCV, &[("start", "jr a0")], &["start, 0x", "it jumps to where nothing says"]);
    problem(ARM, &[("start", "bx r0")], &["start, 0x", "it jumps to where nothing says"]);
}

#[test]
fn a_jump_table_is_no_call() {
    let start = "la a1, 9f\n slli a0, a0, 3\n add a0, a0, a1\n ld a0, 0(a0)\n jr a0
        2: call leaf
        3: j 3b
        .pushsection .rodata.table, \"a\"
        .balign 8
        9: .dword 2b, 3b
        .popsection";
    let leaf = "addi sp, sp, -48\n addi sp, sp, 48\n ret";
    let found = found(RISCV, &[("start", start), ("leaf", leaf)]);
    assert_eq!(found.problems, [""; 0]);
    assert_eq!(found.sizes.stack_bytes, 48 + 128);
}

#[test]
fn a_table_of_functions_is_all_of_them() {
    let start = "la a1, table\n slli a0, a0, 3\n add a0, a0, a1\n ld a0, 0(a0)\n jalr a0
        1: j 1b
        .pushsection .rodata.table, \"a\"
        .balign 8
        .type table, @object
        table: .dword one, 0, two
        .size table, . - table
        .popsection";
    let one = "addi sp, sp, -48\n addi sp, sp, 48\n ret";
    let two = "addi sp, sp, -80\n addi sp, sp, 80\n ret";
    let found = found(RISCV, &[("start", start), ("one", one), ("two", two)]);
    assert_eq!(found.problems, [""; 0]);
    assert_eq!(found.sizes.stack_bytes, 80 + 128);
}

#[test]
fn a_stack_that_cannot_be_followed_is_named() {
    let start = "sub sp, sp, a0\n 1: j 1b";
    let problems = found(RISCV, &[("start", start)]).problems;
    assert!(problems[0].contains("the stack pointer cannot be followed"), "{problems:?}");
}

#[test]
fn a_trap_that_can_be_reached_is_named() {
    let start = "beqz a0, 1f\n unimp\n 1: call ends\n ebreak";
    let ends = "1: j 1b"; // it never returns, so what is behind its call is never reached
    problem(RISCV, &[("start", start), ("ends", ends)], &["start, 0x", "a trap instruction"]);
    problem(ARM, &[("start", "cbz r0, 1f\n udf #1\n 1: b 1b")], &["a trap instruction"]);
}

#[test]
fn a_call_of_a_supervisor_is_a_trap() {
    problem(RISCV, &[("start", "beqz a0, 1f\n ecall\n 1: j 1b")], &["a trap instruction"]);
    problem(ARM, &[("start", "cbz r0, 1f\n svc #0\n 1: b 1b")], &["a trap instruction"]);
}

/// A program that puts the address of a constant pointer to `one` on the stack, does something,
/// and calls what it finds there. One of the others calls `two`, which takes much.
fn put_aside(between: &str, functions: &[(&str, &str)]) -> Findings {
    let start = format!(
        "addi sp, sp, -32\n la a1, tablea\n sd a1, 8(sp)
        {between}
        ld a1, 8(sp)\n ld a1, 0(a1)\n jalr a1
        1: j 1b
        .pushsection .rodata.table, \"a\"
        .balign 8
        .type tablea, @object
        tablea: .dword one
        .size tablea, . - tablea
        .type tableb, @object
        tableb: .dword two
        .size tableb, . - tableb
        .popsection"
    );
    let two = "lui a1, 16\n sub sp, sp, a1\n add sp, sp, a1\n ret";
    let mut all = vec![("start", start.as_str()), ("one", "ret"), ("two", two)];
    all.extend(functions);
    found(RISCV, &all)
}

#[test]
fn what_is_put_aside_is_known_across_a_call_that_cannot_change_it() {
    // Not by a number, and not by a pointer to what lies above.
    for pointer in ["li a0, 8", "addi a0, sp, 16", "addi a0, sp, 16\n add a0, a0, a2"] {
        let found = put_aside(&format!("{pointer}\n call other"), &[("other", "ret")]);
        assert_eq!(found.problems, [""; 0], "{pointer}");
        assert_eq!(found.sizes.stack_bytes, 32 + 128);
    }
}

#[test]
fn what_a_function_may_change_by_a_pointer_is_not_known_afterwards() {
    let change = [("change", "la a1, tableb\n sd a1, 0(a0)\n ret")];
    let pointers = [
        "addi a0, sp, 8\n call change",
        // One that is not known exactly.
        "slli a2, a2, 3\n add a0, sp, a2\n call change",
        "ori a0, sp, 8\n call change",
        "addi a0, sp, 8\n beqz a2, 3f\n li a0, 0\n 3: call change",
        // One that was put where others find it.
        "addi a0, sp, 8\n sd a0, 0(a3)\n li a0, 0\n call change",
    ];
    for pointer in pointers {
        let problems = put_aside(pointer, &change).problems;
        assert_eq!(problems.len(), 1, "{pointer}: {problems:?}");
        assert!(problems[0].contains("it calls what nothing says"), "{pointer}: {problems:?}");
    }
}

#[test]
fn what_another_store_may_change_is_not_known_afterwards() {
    let stores = [
        "sb a2, 9(sp)",
        "sw a2, 12(sp)",
        "sd a2, 4(sp)",
        "add a3, sp, a2\n sd a4, 0(a3)",
        "addi a3, sp, 8\n sd a3, 0(a4)\n ld a3, 0(a4)\n sd a2, 0(a3)",
    ];
    for store in stores {
        let problems = put_aside(store, &[]).problems;
        assert_eq!(problems.len(), 1, "{store}: {problems:?}");
        assert!(problems[0].contains("it calls what nothing says"), "{store}: {problems:?}");
    }
    // Beside it, and by a pointer that cannot be one to the stack.
    for store in ["sd a2, 16(sp)", "sd a2, 0(sp)", "sb a2, 7(sp)", "sd a2, 0(a3)"] {
        assert_eq!(put_aside(store, &[]).problems, [""; 0], "{store}");
    }
}

#[test]
fn a_return_is_one_to_the_caller_only() {
    let start = "addi sp, sp, -16\n call work\n 1: j 1b";
    let wild = [
        "ld ra, 0(a0)\n ret",
        "call leaf\n ret",
        "addi sp, sp, -16\n sd ra, 8(sp)\n sd a0, 8(sp)\n ld ra, 8(sp)\n addi sp, sp, 16\n ret",
    ];
    for work in wild {
        let functions = [("start", start), ("work", work), ("leaf", "ret")];
        problem(RISCV, &functions, &["work, 0x", "it jumps to where nothing says"]);
    }
    let saved = "addi sp, sp, -16\n sd ra, 8(sp)\n mv a0, sp\n call leaf\n ld ra, 8(sp)
        addi sp, sp, 16\n ret";
    let functions = [("start", start), ("work", saved), ("leaf", "mv t0, ra\n jr t0")];
    assert_eq!(found(RISCV, &functions).problems, [""; 0]);
    let start = "bl work\n 1: b 1b";
    for work in ["bl leaf\n bx lr", "ldm r0, {r4, pc}", "ldr pc, [r0]"] {
        let functions = [("start", start), ("work", work), ("leaf", "bx lr")];
        problem(ARM, &functions, &["work, 0x", "it jumps to where nothing says"]);
    }
    let saved = "push {r4, lr}\n bl leaf\n pop {r4, lr}\n bx lr";
    let functions = [("start", start), ("work", saved), ("leaf", "bx lr")];
    assert_eq!(found(ARM, &functions).problems, [""; 0]);
}

#[test]
fn a_guard_holds_the_largest_frame_and_what_handles_its_overflow() {
    // A frame of the core's own and the handler's 8 bytes, and the NMI's frame.
    let faults = 2 * 108 + 8;
    let of = |guard_bytes: u64, frame: u64| {
        let guard = 0x2000_8000 - guard_bytes;
        let start = format!(
            ".globl _stack_start\n .set _stack_start, 0x20009000
            .globl _stack_guard_end\n .set _stack_guard_end, 0x20008000
            .globl _stack_guard\n .set _stack_guard, {guard:#x}
            sub sp, #{frame}\n 1: b 1b"
        );
        found(ARM, &[("start", &start)]).problems
    };
    assert_eq!(of(64 + faults, 64), [""; 0]);
    let problems = of(64 + faults, 68);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("a frame takes 68 bytes"), "{problems:?}");
}

#[test]
fn a_panic_is_named_with_its_callers() {
    let start = "call work\n 1: j 1b";
    let panics = [
        "_ZN4core9panicking9panic_fmt17h0123456789abcdefE",
        "_ZN4core6option13expect_failed17h0123456789abcdefE",
        "rust_begin_unwind",
    ];
    for panic in panics {
        let work = format!("call {panic}\n ret");
        let functions = [("start", start), ("work", &work), (panic, LOOP)];
        problem(RISCV, &functions, &["the image panics", "in work <- 0x", "in start"]);
    }
    // One that nothing calls is there all the same.
    problem(RISCV, &[("start", LOOP), (panics[0], LOOP)], &["core::panicking::panic_fmt"]);
}

#[test]
fn a_heap_is_named() {
    let heap = "_ZN5alloc5alloc18handle_alloc_error17h0123456789abcdefE";
    problem(RISCV, &[("start", LOOP), (heap, LOOP)], &["the image has a heap", "alloc::alloc::"]);
}

#[test]
fn what_thumb_code_saves_is_counted() {
    let start = "push {r4, r5, r7, lr}\n sub sp, #24\n bl work\n 1: b 1b";
    // Two ways to return in one block of conditional instructions.
    let work = "push {r4, lr}\n vpush {d8}\n cmp r0, #0\n ittt eq\n vpopeq {d8}\n moveq r0, #1
        popeq {r4, pc}\n vpop {d8}\n pop {r4, pc}";
    let found = found(ARM, &[("start", start), ("work", work)]);
    assert_eq!(found.problems, [""; 0]);
    // A frame for each level, and the deepest handler.
    assert_eq!(found.sizes.stack_bytes, 16 + 24 + 8 + 8 + 3 * 108 + 8);
}

#[test]
fn a_table_of_offsets_is_no_call() {
    let start = "tbb [pc, r0]
        4: .byte (2f - 4b) / 2, (3f - 4b) / 2, (2f - 4b) / 2
        .balign 2
        2: bl leaf
        3: b 3b";
    let leaf = "push {r4, lr}\n pop {r4, pc}";
    let found = found(ARM, &[("start", start), ("leaf", leaf)]);
    assert_eq!(found.problems, [""; 0]);
    assert_eq!(found.sizes.stack_bytes, 8 + 3 * 108 + 8);
}

#[test]
fn a_run_of_jumps_is_a_table() {
    let start = "adr.w r0, 4f
        add.w r5, r0, r1, lsl #2
        mov pc, r5
        .balign 4
        4: b.w 2f
        b.w 3f
        2: bl leaf
        3: b 3b";
    let leaf = "push {r4, lr}\n pop {r4, pc}";
    let run = found(ARM, &[("start", start), ("leaf", leaf)]);
    assert_eq!(run.problems, [""; 0]);
    assert_eq!(run.sizes.stack_bytes, 8 + 3 * 108 + 8);
    let wild = start.replace("mov pc, r5", "mov pc, r1");
    problem(ARM, &[("start", &wild), ("leaf", leaf)], &["it jumps to where nothing says"]);
}

#[test]
fn over_budget_is_a_problem() {
    let sizes = Sizes { flash_bytes: 9, ram_bytes: 8, channel_bytes: 7, stack_bytes: 6 };
    let found = || Findings { sizes, deepest: Vec::new(), problems: Vec::new() };
    assert!(Row::new("board", found(), sizes, sizes).problems.is_empty());
    let less = Sizes { flash_bytes: 5, stack_bytes: 5, ..sizes };
    let row = Row::new("board", found(), less, sizes);
    assert_eq!(
        row.problems,
        ["flash is 9 bytes, 4 over budget", "stack is 6 bytes, 1 over budget"]
    );
}
