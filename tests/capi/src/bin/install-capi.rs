//! Installs the C library to a folder: `install-capi PREFIX`. With a second
//! folder the prefix is made below that, as for a package.

#![forbid(unsafe_code)]

// The library is built because it is a dependency.
use godwit_capi as _;
use godwit_capi_tests::Installed;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut folders = std::env::args_os().skip(1);
    let Some(prefix) = folders.next() else {
        eprintln!("usage: install-capi PREFIX [DESTDIR]");
        return ExitCode::from(2);
    };
    let root = folders.next().unwrap_or("/".into());
    let absolute = |folder| std::path::absolute(Path::new(folder));
    let installed = absolute(&prefix)
        .and_then(|prefix| Ok((prefix, absolute(&root)?)))
        .map_err(|error| error.to_string())
        .and_then(|(prefix, root)| {
            Installed::staged(&prefix, &root).map_err(|error| error.to_string())
        });
    match installed {
        Ok(installed) => {
            println!("installed; PKG_CONFIG_PATH={}", installed.lib().join("pkgconfig").display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
