//! What a virtual machine is told, so that it has a vGPU.

use crate::scenario::{Service, Vgpu};
use crate::units;
use godwit_server::device_socket;
use quick_xml::escape::escape;
use serde_json::json;
use std::fmt::Write as _;

/// Where the device sits in the machine: the same at both ends of a migration.
const SLOT: &str = "05.0";
/// Memory of the machine, of which the device is given a descriptor. Any size will do.
const MEMORY: &str = "-object memory-backend-memfd,id=mem,size=2G,share=on \
                      -machine q35,memory-backend=mem";

/// The device, as QEMU's command line has it.
fn device(service: &Service, vgpu: &Vgpu) -> String {
    let socket = device_socket(&service.sockets, &vgpu.name);
    let path = socket.to_string_lossy();
    let device = json!({
        "driver": "vfio-user-pci",
        "socket": { "type": "unix", "path": path },
        "bus": "pcie.0",
        "addr": SLOT,
    });
    device.to_string()
}

/// A socket for whoever migrates the machine.
fn monitor(service: &Service, vgpu: &Vgpu) -> String {
    let path = service.sockets.join(format!("{}.qmp", vgpu.name));
    // QEMU takes two commas for one.
    format!("unix:{},server=on,wait=off", path.to_string_lossy().replace(',', ",,"))
}

/// A word of a shell.
fn quoted(word: &str) -> String {
    // A quote in a path ends the shell's, is said, and begins it again.
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The arguments of QEMU for each vGPU.
pub(super) fn arguments(service: &Service) -> String {
    let mut text = String::new();
    for vgpu in &service.vgpus {
        let host = vgpu.host.named(&service.hosts);
        let (framebuffer, aperture) = (vgpu.profile.fb_bytes, vgpu.profile.bar_bytes);
        let (framebuffer, aperture) = (units::exact_size(framebuffer), units::exact_size(aperture));
        let (device, monitor) = (device(service, vgpu), monitor(service, vgpu));
        let (device, monitor) = (quoted(&device), quoted(&monitor));
        let _ = writeln!(
            text,
            "{} on {host}: {framebuffer} of framebuffer, {aperture} of aperture\n  \
             qemu-system-x86_64 {MEMORY} \\\n    -qmp {monitor} \\\n    -device {device}",
            vgpu.name
        );
    }
    text + "A machine that is migrated here is taken in by the same with -S -incoming defer.\n"
}

/// A domain of libvirt for a vGPU, of which the user adds disks and whatever else it has. libvirt
/// has no element for vfio-user, so the device is handed through to QEMU.
pub(super) fn libvirt(service: &Service, vgpu: &Vgpu) -> String {
    let (name, device, monitor) =
        (vgpu.name.as_str(), device(service, vgpu), monitor(service, vgpu));
    let [name, device, monitor] = [name, &device, &monitor].map(escape);
    format!(
        "<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{name}</name>
  <memory unit='GiB'>2</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
  </os>
  <memoryBacking>
    <source type='memfd'/>
    <access mode='shared'/>
  </memoryBacking>
  <qemu:commandline>
    <qemu:arg value='-qmp'/>
    <qemu:arg value='{monitor}'/>
    <qemu:arg value='-device'/>
    <qemu:arg value='{device}'/>
  </qemu:commandline>
</domain>
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Service;
    use std::path::Path;

    fn service() -> Service {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("serve.toml");
        let text = "sockets = \"/run/it's <here>\"\n\
                    [[host]]\nname = \"a\"\nframebuffer = \"256 MiB\"\n\
                    [[vgpu]]\nname = \"a0\"\nhost = \"a\"\n\
                    profile = { framebuffer = \"64 MiB\" }\n";
        std::fs::write(&file, text).unwrap();
        Service::load(&file).unwrap()
    }

    #[test]
    fn arguments_are_words_of_a_shell() {
        let text = arguments(&service());
        let line = text.lines().find(|line| line.contains("vfio-user-pci")).unwrap();
        let echo = std::process::Command::new("sh")
            .args(["-c", &format!("printf %s {}", line.trim().trim_start_matches("-device "))])
            .output()
            .unwrap();
        let device: serde_json::Value = serde_json::from_slice(&echo.stdout).unwrap();
        let socket = Path::new("/run/it's <here>").join("a0.sock");
        assert_eq!(device["socket"]["path"], socket.to_string_lossy().as_ref());
    }

    #[test]
    fn libvirts_text_is_xml_whatever_a_path_has_in_it() {
        let service = service();
        let text = libvirt(&service, &service.vgpus[0]);
        let mut reader = quick_xml::Reader::from_str(&text);
        let mut values = Vec::new();
        loop {
            match reader.read_event().unwrap() {
                quick_xml::events::Event::Eof => break,
                quick_xml::events::Event::Empty(tag) if tag.name().as_ref() == b"qemu:arg" => {
                    let value = tag.try_get_attribute("value").unwrap().unwrap();
                    values.push(
                        value
                            .normalized_value(quick_xml::XmlVersion::Implicit1_0)
                            .unwrap()
                            .into_owned(),
                    );
                }
                _ => {}
            }
        }
        assert_eq!((values[0].as_str(), values[2].as_str()), ("-qmp", "-device"));
        assert_eq!(values[1], "unix:/run/it's <here>/a0.qmp,server=on,wait=off");
        let device: serde_json::Value = serde_json::from_str(&values[3]).unwrap();
        assert_eq!(device["driver"], "vfio-user-pci");
    }
}
