//! Links the kernel with the kit's script.

fn main() {
    let script = std::env::var("DEP_GODWIT_KIT_LINKER_SCRIPT").expect("the kit names its script");
    println!("cargo::rerun-if-changed={script}");
    println!("cargo::rustc-link-arg-bins=-T{script}");
}
