//! The workspace as cargo and git see it.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use cargo_metadata::{Metadata, MetadataCommand};

/// What cargo says of the workspace that we stand in.
#[derive(Debug)]
pub(crate) struct Workspace {
    metadata: Metadata,
}

/// One text file, by its path from the root of the workspace.
#[derive(Clone, Debug)]
pub(crate) struct TextFile {
    /// With `/` between its parts.
    pub(crate) path: String,
    /// All of it.
    pub(crate) text: String,
}

impl TextFile {
    /// Whether it is Rust source.
    pub(crate) fn is_rust(&self) -> bool {
        Path::new(&self.path).extension().is_some_and(|extension| extension == "rs")
    }
}

impl Workspace {
    /// Asks cargo. Dependencies from outside are left out, which needs no network.
    pub(crate) fn load() -> Result<Self> {
        let metadata = MetadataCommand::new().no_deps().exec().context("cannot ask cargo")?;
        Ok(Self { metadata })
    }

    /// Where the root manifest is.
    pub(crate) fn root(&self) -> &Path {
        self.metadata.workspace_root.as_std_path()
    }

    /// Where cargo puts what it builds.
    pub(crate) fn target_dir(&self) -> &Path {
        self.metadata.target_directory.as_std_path()
    }

    /// The crates of the workspace.
    pub(crate) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Reads a file that the checks themselves need.
    pub(crate) fn read(&self, path: &str) -> Result<String> {
        fs::read_to_string(self.root().join(path)).with_context(|| format!("cannot read `{path}`"))
    }

    /// Every text file that git tracks, or would if it were added: what a commit could hold.
    pub(crate) fn text_files(&self) -> Result<Vec<TextFile>> {
        let mut files = Vec::new();
        for path in self.git_paths()? {
            let full = self.root().join(&path);
            // A tracked file may be deleted or a link; neither has text of its own.
            if !fs::symlink_metadata(&full).is_ok_and(|meta| meta.is_file()) {
                continue;
            }
            let bytes = fs::read(&full).with_context(|| format!("cannot read `{path}`"))?;
            match String::from_utf8(bytes) {
                Ok(text) if !text.contains('\0') => files.push(TextFile { path, text }),
                _ => {} // Not text.
            }
        }
        Ok(files)
    }

    /// Paths of all files that git tracks, or would if they were added.
    pub(crate) fn git_paths(&self) -> Result<Vec<String>> {
        let root = self.root().display();
        let listed = Command::new("git")
            // In a clone that another user owns git refuses to work unless told of it.
            .args(["-c", &format!("safe.directory={root}")])
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"])
            .current_dir(self.root())
            .output()
            .context("cannot start `git`")?;
        if !listed.status.success() {
            bail!("git cannot list the files of the checkout: {}", stderr_of(&listed.stderr));
        }
        let paths = String::from_utf8(listed.stdout).context("a path is not UTF-8")?;
        Ok(paths.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect())
    }
}

fn stderr_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}
