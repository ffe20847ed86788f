//! Links the boot stage with its board's script.

use godwit_regs::flash::{self, BOOT_BYTES, KEY_BYTES};
use godwit_regs::window::BOARDS;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let flashed = || {
        let boards = BOARDS.iter().filter_map(|board| Some((board, flash::place(board.name)?)));
        boards.filter_map(|(board, place)| Some((board, place, place.bank?)))
    };
    let names: Vec<String> = flashed().map(|(board, ..)| format!("\"{}\"", board.name)).collect();
    println!("cargo::rustc-check-cfg=cfg(board, values({}))", names.join(", "));
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return; // a host builds an empty program
    }
    let target = env::var("TARGET").expect("cargo sets it for build scripts");
    let Some((board, place, bank)) = flashed().find(|(board, ..)| board.target == target) else {
        println!("cargo::error=no board with a flash for {target}; there are:");
        for (board, ..) in flashed() {
            println!("cargo::error={} for {}", board.name, board.target);
        }
        return;
    };

    let script = Path::new("../../linker").join(format!("{}-boot.x", board.name));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it for build scripts"));
    // The start-up crate's own script includes it by this name.
    if let Err(error) = fs::copy(&script, out.join("memory.x")) {
        println!("cargo::error={}: {error}", script.display());
    }
    println!("cargo::rerun-if-changed={}", script.display());
    println!("cargo::rustc-cfg=board=\"{}\"", board.name);
    println!("cargo::rustc-link-search={}", out.display());
    for (symbol, value) in [
        ("_godwit_flash", bank.address as u64),
        ("_godwit_boot_bytes", (BOOT_BYTES - KEY_BYTES) as u64),
        ("_godwit_load_end", place.load_end),
        ("_godwit_window", board.window_address as u64),
    ] {
        println!("cargo::rustc-link-arg-bins=--defsym={symbol}={value:#x}");
    }
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
}
