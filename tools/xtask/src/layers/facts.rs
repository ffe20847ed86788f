//! What the workspace holds, as far as the rules ask.

use anyhow::Result;
use cargo_metadata::{DependencyKind, Metadata, Package, Target, TargetKind};

use crate::workspace::{TextFile, Workspace};

/// Everything the rules are checked against.
#[derive(Debug)]
pub(crate) struct Facts {
    /// The crates of the workspace.
    pub(crate) crates: Vec<Crate>,
    /// Every Rust file, those outside of all crates included.
    pub(crate) sources: Vec<TextFile>,
}

/// One crate of the workspace.
#[derive(Clone, Debug, Default)]
pub(crate) struct Crate {
    /// Its package name.
    pub(crate) name: String,
    /// The crates of ours that it needs to be built. Dev-dependencies are left out: they never
    /// reach what is shipped, and a test may look down from anywhere.
    pub(crate) uses: Vec<String>,
    /// The root file of its library, if it has one.
    pub(crate) lib: Option<TextFile>,
    /// The root files of its binaries.
    pub(crate) bins: Vec<TextFile>,
    /// All its Rust files, the roots, tests and build script included.
    pub(crate) sources: Vec<TextFile>,
}

impl Facts {
    /// Reads manifests and sources.
    pub(crate) fn collect(workspace: &Workspace) -> Result<Self> {
        let metadata = workspace.metadata();
        let mut sources = workspace.text_files()?;
        sources.retain(TextFile::is_rust);
        let packages = metadata.workspace_packages();
        let crates = packages
            .iter()
            .map(|package| Crate::new(metadata, &packages, package, &sources))
            .collect();
        Ok(Self { crates, sources })
    }
}

impl Crate {
    fn new(
        metadata: &Metadata,
        packages: &[&Package],
        package: &Package,
        sources: &[TextFile],
    ) -> Self {
        let ours = |name: &str| packages.iter().any(|other| other.name.as_str() == name);
        let folders: Vec<String> = packages.iter().map(|p| folder(metadata, p)).collect();
        let folder = folder(metadata, package);
        let sources: Vec<TextFile> =
            sources.iter().filter(|s| owns(&folder, &folders, &s.path)).cloned().collect();
        let root_of = |target: &Target| {
            let path = target.src_path.strip_prefix(&metadata.workspace_root).ok()?;
            sources.iter().find(|source| source.path == path.as_str()).cloned()
        };
        let is_bin = |target: &&Target| target.kind.contains(&TargetKind::Bin);
        let is_lib = |target: &&Target| target.is_lib() || target.is_proc_macro();
        let mut uses: Vec<String> = package
            .dependencies
            .iter()
            .filter(|dep| dep.kind != DependencyKind::Development && ours(&dep.name))
            .map(|dep| dep.name.clone())
            .collect();
        uses.sort();
        uses.dedup();
        Self {
            name: package.name.to_string(),
            uses,
            lib: package.targets.iter().find(is_lib).and_then(root_of),
            bins: package.targets.iter().filter(is_bin).filter_map(root_of).collect(),
            sources,
        }
    }
}

/// A package's folder from the root, with a `/` at its end.
fn folder(metadata: &Metadata, package: &Package) -> String {
    let folder = package.manifest_path.parent().unwrap_or(&metadata.workspace_root);
    format!("{}/", folder.strip_prefix(&metadata.workspace_root).unwrap_or(folder))
}

/// A file belongs to the innermost package around it, since packages lie within packages.
fn owns(folder: &str, folders: &[String], path: &str) -> bool {
    let innermost = folders
        .iter()
        .filter(|other| path.starts_with(other.as_str()))
        .max_by_key(|other| other.len());
    innermost.is_some_and(|other| other == folder)
}

#[cfg(test)]
mod tests {
    use super::owns;

    #[test]
    fn a_file_belongs_to_the_innermost_package() {
        let folders = ["a/".to_owned(), "a/b/".to_owned()];
        assert!(owns("a/", &folders, "a/src/lib.rs"));
        assert!(!owns("a/", &folders, "a/b/src/lib.rs"));
        assert!(owns("a/b/", &folders, "a/b/src/lib.rs"));
        assert!(!owns("a/", &folders, "ab/src/lib.rs"));
    }
}
