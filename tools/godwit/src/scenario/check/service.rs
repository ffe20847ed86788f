//! What `godwit serve` serves: hosts and vGPUs as a scenario has them, and where their sockets are.

use super::{Checker, Names, control, hosts};
use crate::scenario::mistake::{ScenarioError, from_toml};
use crate::scenario::model::{Service, Vgpu};
use crate::scenario::raw;
use crate::units;
use godwit_control::Sizes;
use godwit_server::MetricsConfig;
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
        let metrics = self.metrics.as_ref().map(|table| metrics(table, checker));
        let names = Names::of_hosts(&self.host, &self.vgpu, checker);
        let hosts = hosts::hosts(&self.host, checker);
        // They may all be created while it runs.
        let vgpus = hosts::vgpus(&self.vgpu, 0, &names, checker);
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
            metrics: metrics.map_or(Some(None), |metrics| metrics.map(Some))?,
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

/// Where metrics are had.
fn metrics(table: &raw::Metrics, checker: &mut Checker<'_>) -> Option<MetricsConfig> {
    let insecure_beyond_this_machine = table.insecure_beyond_this_machine;
    let Some(listen) = &table.listen else {
        return Some(MetricsConfig { insecure_beyond_this_machine, ..MetricsConfig::default() });
    };
    let Ok(address) = listen.get_ref().parse() else {
        let wrong = format!("`{}` is no address to listen at", listen.get_ref());
        let allowed = format!("an IP address and a port, such as \"{}\"", MetricsConfig::LISTEN);
        return checker.wrong(listen.span(), wrong, allowed);
    };
    let metrics = MetricsConfig { listen: address, insecure_beyond_this_machine };
    if !metrics.is_here() && !insecure_beyond_this_machine {
        let wrong = format!("metrics at {address} can be had from beyond this machine");
        let allowed = "an address of loopback, or `insecure_beyond_this_machine = true` beside it: \
                       nothing is asked of who connects, and nothing is sealed";
        return checker.wrong(listen.span(), wrong, allowed);
    }
    Some(metrics)
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

#[cfg(test)]
mod tests {
    use super::*;

    const REST: &str = "[[host]]\nname = \"a\"\nframebuffer = \"256 MiB\"\n\
                        [[vgpu]]\nname = \"a0\"\nhost = \"a\"\n\
                        profile = { framebuffer = \"64 MiB\" }\n";

    fn metrics(table: &str) -> Result<Option<MetricsConfig>, String> {
        let text = format!("sockets = \"/run/godwit\"\n{table}{REST}");
        let found = service(Path::new("serve.toml"), &text, Path::new("/"));
        found.map(|service| service.metrics).map_err(|error| error.to_string())
    }

    #[test]
    fn metrics_are_had_where_the_table_says() {
        assert_eq!(metrics(""), Ok(None));
        let here = MetricsConfig::default();
        assert_eq!(metrics("[metrics]\n"), Ok(Some(here)));
        assert_eq!(here.listen.to_string(), "127.0.0.1:9400");
        let listen = "[::1]:9401".parse().unwrap();
        let other = MetricsConfig { listen, ..here };
        assert_eq!(metrics("[metrics]\nlisten = \"[::1]:9401\"\n"), Ok(Some(other)));
        let listen = "0.0.0.0:9400".parse().unwrap();
        let beyond = MetricsConfig { listen, insecure_beyond_this_machine: true };
        let table = "[metrics]\nlisten = \"0.0.0.0:9400\"\ninsecure_beyond_this_machine = true\n";
        assert_eq!(metrics(table), Ok(Some(beyond)));
    }

    #[test]
    fn mistakes_in_metrics_are_named_with_their_place() {
        for (lines, place, wrong) in [
            ("listen = \"0.0.0.0:9400\"", "3:10", "metrics at 0.0.0.0:9400 can be had from beyond"),
            ("listen = \"localhost:9400\"", "3:10", "`localhost:9400` is no address to listen at"),
            ("listen = \"127.0.0.1\"", "3:10", "`127.0.0.1` is no address"),
            ("listen = 9400", "3:10", "invalid type: integer"),
            ("insecure_beyond_this_machine = 1", "3:32", "invalid type: integer"),
            ("port = 9400", "3:1", "unknown key `port`"),
        ] {
            let told = metrics(&format!("[metrics]\n{lines}\n")).unwrap_err();
            let begin = format!("serve.toml:{place}: ");
            assert!(told.starts_with(&begin) && told.contains(wrong), "{lines}: {told}");
        }
        let told = metrics("[metrics]\nlisten = \"[::]:1\"\n").unwrap_err();
        assert!(told.contains("`insecure_beyond_this_machine = true`"), "{told}");
        assert!(metrics("metrics = [1]\n").is_err());
    }
}
