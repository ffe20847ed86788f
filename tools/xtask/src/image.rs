//! `cargo xtask image`: a board's image as it is handed to others.
//!
//! | file | what |
//! |---|---|
//! | `BOARD.elf` | the linked image |
//! | `BOARD.bin` | the image file: the header of `godwit-slots`, then what is loaded |
//! | `BOARD.map` | what lies where, by the linker |
//! | `BOARD.size.json` | what `cargo xtask size` says of it |
//!
//! The files do not depend on where they are built: paths are left out of them, and
//! `--reproduce` shows it.

mod build;
mod reproduce;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use godwit_nested::flat;
use godwit_regs::flash;
use godwit_regs::window::{BOARDS, Board};
use godwit_slots::{
    BoardName, DEVELOPMENT_KEY, Header, SecretKey, Terms, Version, check_file, seal,
};
use sha2::{Digest as _, Sha256};

use crate::prereq;
use crate::size;
use crate::workspace::Workspace;

use self::build::Built;

/// Which image, and what its header says.
#[derive(Clone, Debug, Args)]
pub(crate) struct Image {
    /// The board.
    #[arg(long, value_parser = BOARDS.map(|board| board.name))]
    board: String,
    /// The folder that the files go into [target/image].
    #[arg(long)]
    out: Option<PathBuf>,
    /// The image's version.
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    version: Version,
    /// What the guard against rollbacks compares: raised with each mended hole.
    #[arg(long, value_name = "N", default_value_t = 1)]
    security_version: u32,
    /// The Ed25519 secret key to sign with, a file with 64 hexadecimal digits [the development
    /// key, which everybody has].
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Builds in two new folders and compares every byte; leaves no files.
    #[arg(long, conflicts_with = "out")]
    reproduce: bool,
}

/// The files of an image, by what their names end in.
type Files = Vec<(&'static str, Vec<u8>)>;

impl Image {
    /// Builds, signs and writes the image; or shows that it is built the same elsewhere.
    pub(crate) fn run(&self, workspace: &Workspace) -> Result<()> {
        prereq::ensure(prereq::IMAGES)?;
        let board = BOARDS.iter().find(|board| board.name == self.board);
        let board = board.context("the option takes no other names")?;
        let key = self.key()?;
        if self.reproduce {
            return reproduce::run(workspace, |root| {
                let built = build::image(board, root, &root.join("target"))?;
                self.files(board, &key, built, workspace)
            });
        }
        let target_dir = workspace.target_dir().join("image-build");
        let built = build::image(board, workspace.root(), &target_dir)?;
        let files = self.files(board, &key, built, workspace)?;
        let out = self.out.clone().unwrap_or_else(|| workspace.target_dir().join("image"));
        write(&out, board, &files)?;
        if key.public().is_development() {
            println!("Signed with the development key, which everybody has: it proves nothing.");
        }
        Ok(())
    }

    fn key(&self) -> Result<SecretKey> {
        let Some(path) = &self.key else { return Ok(SecretKey::from_text(DEVELOPMENT_KEY)?) };
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        SecretKey::from_text(&text).with_context(|| path.display().to_string())
    }

    fn files(
        &self,
        board: &Board,
        key: &SecretKey,
        built: Built,
        workspace: &Workspace,
    ) -> Result<Files> {
        let size = size::measure(board, &built.elf, workspace)?;
        if !size.problems.is_empty() {
            bail!("the image of {} may not be one: {}", board.name, size.problems.join("\n"));
        }
        let flat = flat(&built.elf).map_err(anyhow::Error::msg)?;
        let header = Header {
            board: BoardName::new(board.name).context("a board's name is too long")?,
            version: self.version,
            security_version: self.security_version,
            load: flat.load,
            entry: flat.entry,
            length: 0, // both are the payload's
            sha256: [0; 32],
        };
        let mut file = seal(header, &flat.bytes, key).to_vec();
        file.extend_from_slice(&flat.bytes);
        // What is handed out would be taken in.
        let place = flash::place(board.name).context("a board has no place for its image")?;
        let terms = Terms { key: &key.public(), place, guard: 0 };
        check_file(&file, &terms).map_err(|why| anyhow::anyhow!("the image is refused: {why}"))?;
        let size = serde_json::to_string_pretty(&size)? + "\n";
        Ok(vec![
            ("elf", built.elf),
            ("bin", file),
            ("map", built.map.into_bytes()),
            ("size.json", size.into_bytes()),
        ])
    }
}

fn write(out: &Path, board: &Board, files: &Files) -> Result<()> {
    fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    for (kind, bytes) in files {
        let path = out.join(format!("{}.{kind}", board.name));
        fs::write(&path, bytes).with_context(|| path.display().to_string())?;
        println!("{}  {}", sha256(bytes), path.display());
    }
    Ok(())
}

/// A SHA-256 in hexadecimal.
fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
