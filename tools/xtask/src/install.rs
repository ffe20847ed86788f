//! `cargo xtask install`: all that a package of Godwit has, in the places where others look for it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::command::Cmd;
use crate::prereq;
use crate::workspace::Workspace;

/// Installs the command, its man pages and completions, the systemd unit, and the C library.
#[derive(Clone, Debug, Args)]
pub(crate) struct Install {
    /// Where it is used from, such as /usr/local.
    #[arg(long, value_name = "DIR")]
    prefix: PathBuf,
    /// A folder that stands in for the root, for whoever makes a package: the prefix is made in it.
    #[arg(long, value_name = "DIR")]
    destdir: Option<PathBuf>,
}

/// The program in the unit, which is where a distribution has it.
const UNIT_PROGRAM: &str = "/usr/bin/godwit";

/// Where each shell looks for what completes a command.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "share/bash-completion/completions/godwit"),
    ("fish", "share/fish/vendor_completions.d/godwit.fish"),
    ("zsh", "share/zsh/site-functions/_godwit"),
];

/// Files of the tree that are installed as they are.
const FILES: [(&str, &str); 4] = [
    ("tools/godwit/systemd/godwit.conf", "lib/sysusers.d/godwit.conf"),
    ("tools/godwit/systemd/serve.toml", "share/doc/godwit/serve.toml"),
    ("LICENSE-APACHE", "share/doc/godwit/LICENSE-APACHE"),
    ("LICENSE-MIT", "share/doc/godwit/LICENSE-MIT"),
];

impl Install {
    /// Builds it in release mode, and installs it.
    pub(crate) fn run(&self, workspace: &Workspace) -> Result<()> {
        let this = self.absolute()?;
        prereq::ensure(prereq::BUILD)?;
        let bins = ["--package", "godwit-capi-tests", "--bin", "godwit", "--bin", "install-capi"];
        Cmd::cargo(["build", "--release", "--package", "godwit"])
            .args(bins)
            .run(workspace.root())?;
        let built = workspace.target_dir().join("release");
        let program = this.place("bin/godwit");
        replace(&program, &fs::read(built.join("godwit"))?)?;
        fs::set_permissions(&program, fs::metadata(built.join("godwit"))?.permissions())?;
        for (path, text) in this.texts(workspace)? {
            replace(&path, text.as_bytes())?;
        }
        let program = program.to_string_lossy().into_owned();
        for (shell, path) in COMPLETIONS {
            let script =
                Cmd::new(&program).args(["completions", shell]).stdout(workspace.root())?;
            replace(&this.place(path), script.as_bytes())?;
        }
        let pages = this.place("share/man/man1").to_string_lossy().into_owned();
        Cmd::new(&program).args(["man".to_owned(), pages]).run(workspace.root())?;
        this.library(&built).run(workspace.root())?;
        println!("installed: {}", this.place("").display());
        Ok(())
    }

    /// The same with folders that do not depend on where this runs. A prefix is written into files
    /// of several formats, each of which would quote other characters.
    fn absolute(&self) -> Result<Self> {
        let prefix = std::path::absolute(&self.prefix)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.+".contains(c);
        if !prefix.to_str().is_some_and(|text| text.chars().all(plain)) {
            bail!(
                "{}: a prefix has letters, digits and `-`, `_`, `.`, `+` only: name another, or \
                 install below --destdir",
                prefix.display()
            );
        }
        let destdir = self.destdir.as_deref().map(std::path::absolute).transpose()?;
        Ok(Self { prefix, destdir })
    }

    /// Where a file goes that is at `path` below the prefix.
    fn place(&self, path: &str) -> PathBuf {
        let prefix = match &self.destdir {
            Some(root) => root.join(self.prefix.strip_prefix("/").unwrap_or(&self.prefix)),
            None => self.prefix.clone(),
        };
        prefix.join(path)
    }

    /// Texts of the tree, and where they go.
    fn texts(&self, workspace: &Workspace) -> Result<Vec<(PathBuf, String)>> {
        let mut texts = Vec::new();
        for (from, to) in FILES {
            texts.push((self.place(to), workspace.read(from)?));
        }
        let unit = workspace.read("tools/godwit/systemd/godwit.service")?;
        if !unit.contains(UNIT_PROGRAM) {
            bail!("the systemd unit does not start {UNIT_PROGRAM}");
        }
        let program = self.prefix.join("bin/godwit");
        let unit = unit.replace(UNIT_PROGRAM, &program.to_string_lossy());
        texts.push((self.place("lib/systemd/system/godwit.service"), unit));
        Ok(texts)
    }

    /// The program that installs the C library, which it is built with.
    fn library(&self, built: &Path) -> Cmd {
        let folders = [Some(&self.prefix), self.destdir.as_ref()];
        let folders = folders.into_iter().flatten();
        Cmd::new(built.join("install-capi").to_string_lossy())
            .args(folders.map(|folder| folder.to_string_lossy().into_owned()))
    }
}

/// Writes a file anew, and its folder: a program that runs cannot be written over.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = || format!("cannot install `{}`", path.display());
    fs::create_dir_all(path.parent().unwrap_or(path)).with_context(failed)?;
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).with_context(failed)?,
        _ => {}
    }
    fs::write(path, bytes).with_context(failed)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{Install, replace};
    use crate::workspace::Workspace;

    fn install(prefix: &str, destdir: Option<&str>) -> Install {
        Install { prefix: prefix.into(), destdir: destdir.map(PathBuf::from) }
    }

    #[test]
    fn the_unit_starts_what_was_installed_and_lies_below_the_root_of_the_package() {
        let workspace = Workspace::load().unwrap();
        let texts = install("/opt/godwit", Some("/pkg")).texts(&workspace).unwrap();
        let paths: Vec<&Path> = texts.iter().map(|(path, _)| path.as_path()).collect();
        assert!(paths.iter().all(|path| path.starts_with("/pkg/opt/godwit")), "{paths:?}");
        let (path, unit) = texts.last().unwrap();
        assert_eq!(path, Path::new("/pkg/opt/godwit/lib/systemd/system/godwit.service"));
        assert!(unit.contains("\nExecStart=/opt/godwit/bin/godwit serve --config /etc/godwit/"));
        let plain = install("/usr/local", None);
        assert_eq!(plain.place("bin/godwit"), Path::new("/usr/local/bin/godwit"));
    }

    #[test]
    fn the_library_is_told_its_prefix_and_the_root_of_the_package() {
        let line = install("/usr", Some("/pkg")).library(Path::new("/built")).to_string();
        assert_eq!(line, "/built/install-capi /usr /pkg");
        let line = install("/usr", None).library(Path::new("/built")).to_string();
        assert_eq!(line, "/built/install-capi /usr");
    }

    #[test]
    fn a_prefix_that_a_unit_would_have_to_quote_is_refused() {
        let error = install("/opt/my folder", None).absolute().unwrap_err().to_string();
        assert!(error.contains("name another"), "{error}");
        assert!(install("relative", None).absolute().unwrap().prefix.is_absolute());
    }

    #[test]
    fn a_file_is_replaced_with_its_folder_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bin/godwit");
        for text in ["old", "new"] {
            replace(&path, text.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }
}
