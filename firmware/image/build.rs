//! Links the image with its board's script.

use godwit_regs::window::{BOARDS, Board, TEMPLATE, WINDOW_BYTES};
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Names the board, where a target has more than one.
const BOARD: &str = "GODWIT_BOARD";

/// The linker script of the log's texts for cores of 64 bits: it says why there is one.
const LOG_SCRIPT_64: &str = "../../linker/log-rv64.x";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={BOARD}");
    // The template comes last: it is taken when it is named, and never for its target.
    let boards: Vec<Board> = BOARDS.into_iter().chain([TEMPLATE]).collect();
    let names: Vec<String> = boards.iter().map(|board| format!("\"{}\"", board.name)).collect();
    let names = names.join(", ");
    println!("cargo::rustc-check-cfg=cfg(board, values({names}))");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return; // a host builds an empty program
    }
    let target = env::var("TARGET").expect("cargo sets it for build scripts");
    let wanted = env::var(BOARD).ok();
    let fits = |name: &str| wanted.as_deref().is_none_or(|wanted| wanted == name);
    let found = boards.iter().find(|board| board.target == target && fits(board.name));
    let Some(board) = found else {
        let asked = wanted.as_deref().unwrap_or("any");
        println!("cargo::error=no board for {target} ({BOARD}: {asked}); there are:");
        for board in &boards {
            println!("cargo::error={} for {}", board.name, board.target);
        }
        return;
    };

    let script = Path::new("../../linker").join(format!("{}.x", board.name));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it for build scripts"));
    // The start-up crates' own script includes it by this name.
    if let Err(error) = fs::copy(&script, out.join("memory.x")) {
        println!("cargo::error={}: {error}", script.display());
    }
    println!("cargo::rerun-if-changed={}", script.display());
    println!("cargo::rustc-cfg=board=\"{}\"", board.name);
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rustc-link-arg-bins=--defsym=_godwit_window={:#x}", board.window_address);
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    link_log(&target, board, &out);
}

/// Where the log's texts are. None of them is loaded.
fn link_log(target: &str, board: &Board, out: &Path) {
    println!("cargo::rerun-if-changed={LOG_SCRIPT_64}");
    if !target.starts_with("riscv64") {
        println!("cargo::rustc-link-arg-bins=-Tdefmt.x");
        return;
    }
    if let Err(error) = fs::copy(LOG_SCRIPT_64, out.join("log.x")) {
        println!("cargo::error={LOG_SCRIPT_64}: {error}");
    }
    let texts = board.window_address + WINDOW_BYTES;
    println!("cargo::rustc-link-arg-bins=--defsym=_godwit_log_texts={texts:#x}");
    println!("cargo::rustc-link-arg-bins=-Tlog.x");
}
