//! What the shared library calls itself, wherever it lies.
//!
//! Which functions it shows, rustc says with a version script of its own, beside which linkers take
//! no second one: versions of symbols come from `godwit.map` when the library is installed.

#![forbid(unsafe_code)]

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libgodwit.so.0");
}
