//! vGPUs that go to other servers, and come from them.

use super::dispatch::{Next, bad, check_name, how, sockets};
use super::files::{best_host, check_aperture, host_for};
use crate::operation::{Operations, Receiving, Sending, Site, There, Work, no_vgpu, seize};
use godwit_control::{Code, Migrate, Receive, Refusal, Told};
use godwit_shim::{Journal, LinkAddress, Side, Token};
use godwit_types::Profile;

/// Begins to send a vGPU to another server.
pub(super) fn send(
    migrate: &Migrate,
    from: usize,
    address: LinkAddress,
    site: &mut Site<'_>,
) -> Result<Next, Refusal> {
    let how = how(migrate.kind, migrate.max_downtime_ns)?;
    let host = &mut site.hosts[from];
    let gfid = seize(host, &migrate.vgpu, "migrate")?;
    let profile = host.host.vgpu(gfid).map(|info| info.profile);
    let served = host.served_mut(&migrate.vgpu);
    let (Some(profile), Some(served)) = (profile, served) else {
        return Err(no_vgpu(&migrate.vgpu));
    };
    let migration = &mut served.device.migration;
    let token = Token { uuid: migration.uuid(), number: migration.next_token() };
    let receive = Receive {
        vgpu: migrate.vgpu.clone(),
        host: migrate.host.clone(),
        token: token.to_string(),
        framebuffer_bytes: profile.fb_bytes,
        aperture_bytes: profile.bar_bytes,
        channels: profile.channel_count,
        context_bytes: profile.context_bytes,
    };
    let there = There { address, protection: site.protection.clone(), receive };
    Ok(Next::later(Sending::new(from, &migrate.vgpu, (gfid, token), how, there)))
}

/// Another server sends a vGPU, or asks what became of it.
pub(super) fn receive(
    receive: Receive,
    site: &mut Site<'_>,
    operations: &Operations,
) -> Result<Next, Refusal> {
    let token: Token = receive.token.parse().map_err(|error| bad(error, "a move's token"))?;
    if operations.has_move(&token) {
        return Ok(Next::Linked { token, work: None, told: Told::Receiving(receive.vgpu) });
    }
    let told = |host: usize, site: &Site<'_>| Told::Receiving(site.hosts[host].name.clone());
    let knows = |journal: &Journal| journal.stage(Side::Destination, &token).is_some();
    if let Some(host) = site.hosts.iter().position(|host| knows(&host.journal)) {
        // It is over, and its host's journal says how.
        let work: Box<dyn Work> = Box::new(Receiving::known(receive.vgpu, host, token));
        return Ok(Next::Linked { token, work: Some((None, work)), told: told(host, site) });
    }
    operations.check_offers()?;
    let name = receive.vgpu;
    check_name(&name, site, operations)?;
    let profile = Profile {
        fb_bytes: receive.framebuffer_bytes,
        bar_bytes: receive.aperture_bytes,
        channel_count: receive.channels,
        context_bytes: receive.context_bytes,
    };
    if let Err(error) = profile.check() {
        let why = format!("no vGPU is like that: {error:?}");
        let help = "are both servers of one version? `godwit --version` tells";
        return Err(Refusal::new(Code::BadValue, why).help(help));
    }
    check_aperture(&profile)?;
    let host = match &receive.host {
        Some(host) => host_for(&profile, &name, host, site)?,
        None => best_host(&profile, site)?,
    };
    let sockets = sockets(&name, site)?;
    let told = told(host, site);
    let work = Box::new(Receiving::new(name.clone(), host, token, (profile, sockets)));
    Ok(Next::Linked { token, work: Some((Some(name), work)), told })
}
