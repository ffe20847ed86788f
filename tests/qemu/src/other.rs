//! Other images than the one that is built in, of the same board: built when a test asks.

use godwit_nested::cargo_build;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::{fs, io};

/// The board.
const BOARD: &str = "qemu-virt-rv64";
const TARGET: &str = "riscv64imac-unknown-none-elf";
const PROFILE: &str = "firmware";

/// A change to a copy of the sources: a text, and what follows it up to the next semicolon.
struct Change {
    /// Relative to the workspace.
    file: &'static str,
    text: &'static str,
    becomes: String,
}

/// What of the workspace cargo reads.
const SOURCES: [&str; 9] = [
    ".cargo",
    "Cargo.lock",
    "Cargo.toml",
    "firmware",
    "hal",
    "host-shim",
    "linker",
    "tests",
    "tools",
];

/// One build at a time: they share what they have in common.
static BUILDS: Mutex<()> = Mutex::new(());

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The image with a log of other levels, as `DEFMT_LOG` has them: other code, and it says more or
/// less. What is built stays in `folder`, which belongs to cargo.
///
/// # Panics
///
/// When it does not compile.
pub fn image_that_logs(levels: &str, folder: &Path) -> Vec<u8> {
    let _alone = BUILDS.lock().unwrap_or_else(|held| held.into_inner());
    build(&workspace(), levels, &folder.join("other-images"))
}

/// The image of firmware that speaks another version of the mailbox's protocol and is the same
/// otherwise: built from a copy of the sources in which the one number is changed.
///
/// # Panics
///
/// When it does not compile.
pub fn image_that_speaks(version: u32, folder: &Path) -> Vec<u8> {
    image_with(&[protocol(version)], &folder.join(format!("protocol-{version}")))
}

/// The image of such firmware which does not look at what its host speaks.
///
/// # Panics
///
/// When it does not compile.
pub fn image_that_does_not_ask(version: u32, folder: &Path) -> Vec<u8> {
    let deaf = Change {
        file: "firmware/pump/src/boot.rs",
        text: "return Err(Mismatch::Host(",
        becomes: "let _ = host".to_owned(),
    };
    image_with(&[protocol(version), deaf], &folder.join(format!("unasked-{version}")))
}

/// The image of firmware that retains another version of the record, likewise.
///
/// # Panics
///
/// When it does not compile.
pub fn image_that_retains(version: u8, folder: &Path) -> Vec<u8> {
    image_with(&[retained(version)], &folder.join(format!("retained-{version}")))
}

/// The image of such firmware which takes a record that it cannot read for none.
///
/// # Panics
///
/// When it does not compile.
pub fn image_that_forgets(version: u8, folder: &Path) -> Vec<u8> {
    let forgets = Change {
        file: "firmware/pump/src/boot.rs",
        text: "return Err(Mismatch::Retained(",
        becomes: "return Ok(())".to_owned(),
    };
    image_with(&[retained(version), forgets], &folder.join(format!("forgets-{version}")))
}

fn protocol(version: u32) -> Change {
    let text = "pub const PROTOCOL_VERSION: u32 =";
    Change { file: "firmware/pump/src/boot.rs", text, becomes: format!("{text} {version}") }
}

fn retained(version: u8) -> Change {
    let text = "pub const VERSION: u8 =";
    Change { file: "firmware/wire/src/retained.rs", text, becomes: format!("{text} {version}") }
}

fn image_with(changes: &[Change], sources: &Path) -> Vec<u8> {
    let _alone = BUILDS.lock().unwrap_or_else(|held| held.into_inner());
    copy(&workspace(), sources, changes).expect("the sources can be copied");
    // Of its own: cargo does not tell copies of one workspace from one another.
    build(sources, "info", &sources.join("target"))
}

fn build(sources: &Path, levels: &str, target_dir: &Path) -> Vec<u8> {
    let package = sources.join("firmware/image");
    let mut cargo = cargo_build(&package, TARGET, PROFILE, target_dir);
    cargo.arg("--locked").env("GODWIT_BOARD", BOARD).env("DEFMT_LOG", levels);
    let output = cargo.output().expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::read(target_dir.join(TARGET).join(PROFILE).join("godwit-image")).expect("it was built")
}

/// Copies the sources. A file that is there as it should be stays as it is, so that cargo builds
/// nothing twice.
fn copy(from: &Path, to: &Path, changes: &[Change]) -> io::Result<()> {
    let mut paths: Vec<PathBuf> = SOURCES.iter().map(PathBuf::from).collect();
    while let Some(path) = paths.pop() {
        let (source, copy) = (from.join(&path), to.join(&path));
        if path.ends_with("target") {
            continue;
        }
        if source.is_dir() {
            fs::create_dir_all(&copy)?;
            for entry in fs::read_dir(&source)? {
                paths.push(path.join(entry?.file_name()));
            }
            continue;
        }
        let mut bytes = fs::read(&source)?;
        for change in changes.iter().filter(|change| path == Path::new(change.file)) {
            bytes = changed(&bytes, change);
        }
        if fs::read(&copy).ok().as_ref() != Some(&bytes) {
            fs::create_dir_all(to)?;
            fs::write(&copy, bytes)?;
        }
    }
    Ok(())
}

fn changed(source: &[u8], change: &Change) -> Vec<u8> {
    let source = String::from_utf8_lossy(source);
    let at = source.find(change.text).expect("what is changed is where it is looked for");
    let (before, rest) = source.split_at(at);
    let (_, after) = rest.split_once(';').expect("it ends");
    format!("{before}{};{after}", change.becomes).into_bytes()
}
