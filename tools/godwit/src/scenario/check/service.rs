//! What `godwit serve` serves: hosts and vGPUs as a scenario has them, and where their sockets are.

use super::{Checker, Names, control, hosts};
use crate::scenario::mistake::{ScenarioError, from_toml};
use crate::scenario::model::{Service, Vgpu};
use crate::scenario::raw;
use crate::units;
use godwit_control::Sizes;
use std::path::Path;
use toml::Spanned;

/// Bytes of the path of a UNIX socket: `sun_path` of Linux, without its zero.
pub(super) const SOCKET_PATH_MAX: usize = 107;
/// Bytes of the longest name of a socket, with the stroke in front of it.
const SOCKET_NAME_MAX: usize = super::NAME_CHARS_MAX + "/.sock".len();

/// Reads a service's text. Its folder of sockets starts at `base`.
pub(in crate::scenario) fn service(
    path: &Path,
    text: &str,
    base: &Path,
) -> Result<Service, ScenarioError> {
    let wrong = |mistakes| ScenarioError::new(path, text, mistakes);
    let document: raw::Service =
        toml::from_str(text).map_err(|error| wrong(vec![from_toml(&error, text)]))?;
    let mut checker = Checker::new(text, base);
    match document.check(&mut checker) {
        Some(service) if checker.mistakes.is_empty() => Ok(service),
        _ => Err(wrong(checker.mistakes)),
    }
}

impl raw::Service {
    fn check(&self, checker: &mut Checker<'_>) -> Option<Service> {
        let sockets = checker
            .required(&(0..0), &self.sockets, "sockets", "the path of a folder")
            .and_then(|folder| {
                let path = checker.path(folder.get_ref());
                let most = SOCKET_PATH_MAX - SOCKET_NAME_MAX;
                if path.as_os_str().len() > most {
                    let wrong = "the path is too long for sockets in it";
                    return checker.wrong(folder.span(), wrong, format!("{most} bytes"));
                }
                Some(path)
            });
        let control = control::check(self.control.as_ref(), sockets.as_deref(), checker);
        let names = Names::of_hosts(&self.host, &self.vgpu, checker);
        let hosts = hosts::hosts(&self.host, checker);
        let vgpus = hosts::vgpus(&self.vgpu, &names, checker);
        hosts::capacity(&self.vgpu, &vgpus, &hosts, checker);
        for (table, vgpu) in self.vgpu.iter().zip(&vgpus) {
            vgpu.as_ref().map(|vgpu| bar(table, vgpu, checker));
        }
        let sizes = self.sizes.unwrap_or(Sizes::Mixed);
        if sizes == Sizes::Homogeneous {
            homogeneous(&self.vgpu, &vgpus, checker);
        }
        Some(Service {
            sockets: sockets?,
            states: self.states.as_ref().map(|folder| checker.path(folder.get_ref())),
            sizes,
            control: control?,
            hosts: hosts.into_iter().collect::<Option<_>>()?,
            vgpus: vgpus.into_iter().collect::<Option<_>>()?,
        })
    }
}

/// Checks that all vGPUs of a host have one size.
fn homogeneous(
    tables: &[Spanned<raw::Table<raw::Vgpu>>],
    vgpus: &[Option<Vgpu>],
    checker: &mut Checker<'_>,
) {
    for (at, vgpu) in vgpus.iter().enumerate() {
        let Some(vgpu) = vgpu else { continue };
        let first = vgpus.iter().flatten().find(|it| it.host == vgpu.host);
        let (bytes, first) = (vgpu.profile.fb_bytes, first.map(|it| it.profile.fb_bytes));
        if let Some(first) = first.filter(|first| *first != bytes) {
            let wrong = format!("`{}` has {}", vgpu.name, units::exact_size(bytes));
            let allowed = format!(
                "{}, as the first of its host, since `sizes` is `homogeneous`",
                units::exact_size(first)
            );
            checker.wrong::<()>(tables[at].span(), wrong, allowed);
        }
    }
}

/// Checks that the aperture can be a BAR.
fn bar(
    table: &Spanned<raw::Table<raw::Vgpu>>,
    vgpu: &Vgpu,
    checker: &mut Checker<'_>,
) -> Option<()> {
    let bytes = vgpu.profile.bar_bytes;
    if bytes.is_power_of_two() {
        return Some(());
    }
    let wrong = format!("the aperture of `{}` has {}", vgpu.name, units::exact_size(bytes));
    checker.wrong(table.span(), wrong, "a power of two, since a PCI BAR has one")
}
