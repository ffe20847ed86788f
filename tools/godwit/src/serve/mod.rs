//! `godwit serve`: vGPUs as devices of virtual machines.

mod machine;
mod manager;

use crate::mcu::McuOptions;
use crate::remote::Failure;
use crate::run::CONTEXT_LAYOUT;
use crate::scenario::{Host, ScenarioError, Service, Vgpu};
use clap::Args;
use godwit_hal::Identity;
use godwit_regs::bits::OnCrash;
use godwit_server::{HostConfig, Places, Server, ServerConfig, VgpuConfig};
use godwit_sim_gpu::{Costs, GpuConfig};
use manager::Manager;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What `godwit serve` is told.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServeOptions {
    /// What is served: a TOML file with `sockets`, the folder of the sockets, and `[[host]]` and
    /// `[[vgpu]]` as a scenario has them.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print libvirt's XML of a domain with a vGPU, and do nothing else. Its name may be left out
    /// where there is one.
    #[arg(long, value_name = "VGPU", num_args = 0..=1)]
    libvirt: Option<Option<String>>,
    #[command(flatten)]
    mcu: McuOptions,
}

/// Why there is no service.
#[derive(Debug)]
pub(crate) enum ServeError {
    /// The file has mistakes.
    Config(Box<ScenarioError>),
    /// Something else.
    Failure(Failure),
}

impl From<Failure> for ServeError {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

fn refused(error: impl std::fmt::Display) -> Failure {
    Failure::Refused(error.to_string())
}

impl ServeOptions {
    /// Serves until it is told to end, by SIGTERM or SIGINT.
    pub(crate) fn run(&self) -> Result<(), ServeError> {
        let loaded = Service::load(&self.config);
        let mut service = loaded.map_err(|error| ServeError::Config(Box::new(error)))?;
        // What is printed is of use in every folder.
        service.sockets = std::path::absolute(&service.sockets).map_err(refused)?;
        service.states = service.states.map(std::path::absolute).transpose().map_err(refused)?;
        let socket = service.control.socket.map(std::path::absolute);
        service.control.socket = socket.transpose().map_err(refused)?;
        if let Some(name) = &self.libvirt {
            let vgpu = named(&service, name.as_deref())?;
            anstream::print!("{}", machine::libvirt(&service, vgpu));
            return Ok(());
        }
        let mcu = self.mcu.mcu().map_err(|error| Failure::Mistake(error.to_string()))?;
        let hosts = service.hosts.iter().map(|host| host_config(&service, host)).collect();
        let places = Places { sockets: service.sockets.clone(), states: service.states.clone() };
        let (control, metrics) = (service.control.clone(), service.metrics);
        let config = ServerConfig { places, control, mcu, hosts, metrics };
        let mut server = Server::new(&config).map_err(refused)?;
        if let Some(address) = server.remote() {
            anstream::eprintln!("listening at {address}");
        }
        anstream::print!("{}", machine::arguments(&service));
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(refused)?;
        }
        let mut manager = Manager::new();
        manager.ready(service.vgpus.len());
        while !stop.load(Ordering::Acquire) {
            server.turn(&mut |note| anstream::eprintln!("{note}")).map_err(refused)?;
            manager.alive();
        }
        manager.stopping();
        anstream::eprintln!("stopped");
        Ok(())
    }
}

/// The vGPU of a name, or the only one.
fn named<'a>(service: &'a Service, name: Option<&str>) -> Result<&'a Vgpu, Failure> {
    let found = match (name, service.vgpus.as_slice()) {
        (None, [one]) => Some(one),
        (None, _) => None,
        (Some(name), all) => all.iter().find(|vgpu| vgpu.name == name),
    };
    found.ok_or_else(|| {
        let names: Vec<&str> = service.vgpus.iter().map(|vgpu| vgpu.name.as_str()).collect();
        Failure::Mistake(format!("--libvirt takes one of these vGPUs: {}", names.join(", ")))
    })
}

fn host_config(service: &Service, host: &Host) -> HostConfig {
    let identity = Identity {
        fb_bytes: host.fb_bytes,
        bar_bytes: host.bar_bytes,
        context_bytes: host.context_bytes,
        context_layout: CONTEXT_LAYOUT,
        engines: host.engines,
    };
    let here = service.vgpus.iter().filter(|vgpu| vgpu.host.named(&service.hosts) == host.name);
    let vgpus = here.map(|vgpu| VgpuConfig {
        name: vgpu.name.clone(),
        profile: vgpu.profile,
        share: vgpu.share,
    });
    HostConfig {
        name: host.name.clone(),
        gpu: GpuConfig { identity, start_ns: host.timer_start_ns, costs: Costs::default() },
        scheduling: host.scheduling,
        sizes: service.sizes,
        on_crash: if host.stops_on_crash { OnCrash::STOP } else { OnCrash::empty() },
        vgpus: vgpus.collect(),
    }
}
