//! Tells the build scripts of dependents where the linker script is: they read
//! `DEP_GODWIT_KIT_LINKER_SCRIPT`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::metadata=linker_script={}/kernel.ld", env!("CARGO_MANIFEST_DIR"));
}
