//! Installs the C library to a folder: `install-capi PREFIX`.

#![forbid(unsafe_code)]

// The library is built because it is a dependency.
use godwit_capi as _;
use godwit_capi_tests::Installed;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(prefix) = std::env::args_os().nth(1) else {
        eprintln!("usage: install-capi PREFIX");
        return ExitCode::from(2);
    };
    let prefix = std::path::absolute(Path::new(&prefix));
    let installed = prefix
        .map_err(|error| error.to_string())
        .and_then(|prefix| Installed::new(&prefix).map_err(|error| error.to_string()));
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
