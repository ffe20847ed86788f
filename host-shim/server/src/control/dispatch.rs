//! What is done about a question: it is answered, or something begins.

use super::profiles::{self, check_size};
use super::status;
use crate::events::Where;
use crate::host::{ServedHost, Sockets, new_uuid};
use crate::operation::{
    Changing, Evacuating, How, Making, Moving, Operations, Removing, Site, Work, busy, no_vgpu,
    refused, seize,
};
use godwit_control::{
    Ask, Code, Create, Evacuate, EventKind, Events, Migrate, Policy, PolicyName, Refusal, Share,
    Sizes, Told, is_name,
};
use godwit_shim::evacuate::{Leaver, Room, plan};
use godwit_shim::{Change, Creation, Removal, Token};
use godwit_types as types;

/// Moves of an evacuation at a time, unless told otherwise, and at most.
const PARALLEL: u8 = 2;
const PARALLEL_MAX: u8 = 32;

/// What becomes of a question.
#[derive(Debug)]
pub(super) enum Next {
    /// It is answered.
    Now(Told),
    /// It is answered when this has ended, which makes a vGPU of this name.
    Later(Option<String>, Box<dyn Work>),
    /// It is answered with what happens after the event of this number.
    Follow(u64),
    /// The connection is a link of this move from now on, which may begin with it.
    Linked { token: Token, work: Option<(Option<String>, Box<dyn Work>)>, told: Told },
}

impl Next {
    pub(super) fn later(work: impl Work + 'static) -> Self {
        Self::Later(None, Box::new(work))
    }
}

/// Does what is asked, or begins to.
pub(super) fn ask(ask: Ask, site: &mut Site<'_>, operations: &Operations) -> Result<Next, Refusal> {
    match ask {
        Ask::List {} => Ok(Next::Now(Told::Vgpus(status::vgpus(site.hosts, site.places)))),
        Ask::Show { vgpu } => status::told(site.hosts, site.places, &vgpu).map(Next::Now),
        Ask::Hosts {} => Ok(Next::Now(Told::Hosts(status::hosts(site.hosts)))),
        Ask::Host { host } => status::host_told(site.hosts, &host).map(Next::Now),
        Ask::Events(events) => Ok(self::events(events, site)),
        other => {
            // One that is under way already has its place.
            let is_known = |text: &str| text.parse().is_ok_and(|it| operations.has_move(&it));
            if !matches!(&other, Ask::Receive(it) if is_known(&it.token)) {
                operations.check_room()?;
            }
            begin(other, site, operations)
        }
    }
}

fn begin(ask: Ask, site: &mut Site<'_>, operations: &Operations) -> Result<Next, Refusal> {
    match ask {
        Ask::Create(create) => self::create(&create, site, operations),
        Ask::Destroy { vgpu } => destroy(vgpu, site),
        Ask::Policy(policy) => self::policy(&policy, site),
        Ask::Share(share) => self::share(share, site),
        Ask::Suspend(suspend) => super::files::suspend(suspend, site),
        Ask::Resume(resume) => super::files::resume(resume, site, operations),
        Ask::Migrate(migrate) => self::migrate(&migrate, site),
        Ask::Evacuate(evacuate) => self::evacuate(&evacuate, site, operations),
        Ask::Receive(receive) => super::remote::receive(receive, site, operations),
        Ask::Resolve { .. }
        | Ask::List {}
        | Ask::Show { .. }
        | Ask::Hosts {}
        | Ask::Host { .. }
        | Ask::Events(_) => Err(Refusal::new(Code::BadRequest, "it is answered at once")),
    }
}

fn events(events: Events, site: &Site<'_>) -> Next {
    if events.follow {
        return Next::Follow(events.after.unwrap_or(site.events.last()));
    }
    let (missed, kept) = site.events.after(events.after.unwrap_or(0));
    // Who does not say from where on wants those that are kept.
    let missed = missed.filter(|_| events.after.is_some());
    Next::Now(Told::Events(missed.into_iter().chain(kept.cloned()).collect()))
}

pub(super) fn host_at(site: &Site<'_>, name: &str) -> Result<usize, Refusal> {
    site.hosts.iter().position(|host| host.name == name).ok_or_else(|| status::no_host(name))
}

pub(super) fn home(site: &Site<'_>, vgpu: &str) -> Result<usize, Refusal> {
    let found = site.hosts.iter().position(|host| host.served(vgpu).is_some());
    found.ok_or_else(|| no_vgpu(vgpu))
}

pub(super) fn bad(why: impl std::fmt::Display, allowed: &str) -> Refusal {
    Refusal::new(Code::BadValue, why).help(format!("allowed: {allowed}"))
}

/// Whether a new vGPU may have this name.
pub(super) fn check_name(
    name: &str,
    site: &Site<'_>,
    operations: &Operations,
) -> Result<(), Refusal> {
    if !is_name(name) {
        let why = format!("`{}` is no name", name.escape_default());
        return Err(bad(why, "1 to 32 letters, digits, `-` and `_`"));
    }
    let is_coming = operations.has_name(name);
    if home(site, name).is_ok() || is_coming {
        let how = if is_coming { "under way" } else { "there" };
        let why = format!("a vGPU `{name}` is {how} already");
        return Err(Refusal::new(Code::Taken, why).help("take another name"));
    }
    Ok(())
}

/// The sockets of a new vGPU.
pub(super) fn sockets(name: &str, site: &Site<'_>) -> Result<Sockets, Refusal> {
    Sockets::bind(site.places, name).map_err(|(path, error)| {
        Refusal::new(Code::Failed, format!("{}: {error}", path.display()))
            .help("remove what has the name of its socket, or take another name")
    })
}

fn create(create: &Create, site: &mut Site<'_>, operations: &Operations) -> Result<Next, Refusal> {
    check_name(&create.vgpu, site, operations)?;
    let share = types::Share { weight: create.weight.unwrap_or(1), ..types::Share::DEFAULT };
    check_share(&share)?;
    let host = match &create.host {
        Some(name) => host_at(site, name)?,
        None => best_host(create, site),
    };
    let (profile, place) = find(create, host, site).map_err(|mut refusal| {
        let name = &site.hosts.get(host).map_or("", |host| &host.name);
        refusal.message = format!("host `{name}`: {}", refusal.message);
        refusal
    })?;
    let uuid = new_uuid().map_err(|error| Refusal::new(Code::Failed, error))?;
    let sockets = Some(sockets(&create.vgpu, site)?);
    let creation = Creation::new(&mut site.hosts[host].host, place, profile, share);
    let name = create.vgpu.clone();
    let making = Making { host, name: name.clone(), uuid, creation, sockets };
    Ok(Next::Later(Some(name), Box::new(making)))
}

/// A place on a host for a vGPU that is to be made.
fn find(
    create: &Create,
    host: usize,
    site: &mut Site<'_>,
) -> Result<(types::Profile, profiles::Found), Refusal> {
    let Some(host) = site.hosts.get_mut(host) else {
        let help = "its configuration names them: `[[host]]`";
        return Err(Refusal::new(Code::NoHost, "the server has no host").help(help));
    };
    host.check_open()?;
    let room = Room::of(&mut host.host);
    let name = |gfid| host.name_of(gfid).unwrap_or("a vGPU that is under way").to_owned();
    profiles::find(&room, host.sizes, &create.profile, create.placement, name)
}

/// The host where it fits and leaves the least; where there is none, the first that knows its
/// profile, which then says why not.
fn best_host(create: &Create, site: &mut Site<'_>) -> usize {
    let mut fits = Vec::new();
    let mut known = None;
    for at in 0..site.hosts.len() {
        match find(create, at, site) {
            Ok(_) if site.hosts[at].host.lost_for_good().is_none() => {
                let room = Room::of(&mut site.hosts[at].host);
                let taken: u64 = room.taken.iter().map(|(_, of, _)| of.fb_bytes).sum();
                fits.push((room.device.fb_bytes.saturating_sub(taken), at));
            }
            Err(refusal) if refusal.code == Code::NoProfile => {}
            Ok(_) | Err(_) => {
                known.get_or_insert(at);
            }
        }
    }
    fits.into_iter().min().map(|(_, at)| at).or(known).unwrap_or(0)
}

fn destroy(vgpu: String, site: &mut Site<'_>) -> Result<Next, Refusal> {
    let host = home(site, &vgpu)?;
    let gfid = seize(&mut site.hosts[host], &vgpu, "destroy")?;
    let removal = Removal::new(&mut site.hosts[host].host, gfid);
    Ok(Next::later(Removing { host, name: vgpu, removal }))
}

/// A choice, as it is written in a question.
fn word(choice: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(choice).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

fn policy(policy: &Policy, site: &mut Site<'_>) -> Result<Next, Refusal> {
    let at = host_at(site, &policy.host)?;
    let host = &mut site.hosts[at];
    let mut how = host.host.scheduling();
    let mut text = Vec::new();
    if let Some(name) = policy.policy {
        how.policy = match name {
            PolicyName::BestEffort => types::Policy::BestEffort,
            PolicyName::EqualShare => types::Policy::EqualShare,
            PolicyName::FixedShare => types::Policy::FixedShare,
        };
        text.push(format!("policy {}", word(&name)));
    }
    if let Some(slice_ns) = policy.slice_ns {
        how.slice_ns = (slice_ns != 0).then_some(slice_ns);
        text.push(match slice_ns {
            0 => "the default slice".to_owned(),
            _ => format!("slice {} ms", slice_ns as f64 / 1e6),
        });
    }
    if let Some(averaging) = policy.averaging {
        how.averaging = averaging;
        text.push(format!("averaging {averaging}"));
    }
    if !how.is_valid() {
        let allowed = format!(
            "a slice of {} to {} ms, or 0; averaging of 1 to {}",
            types::SLICE_NS_MIN / 1_000_000,
            types::SLICE_NS_MAX / 1_000_000,
            types::Scheduling::AVERAGING_MAX
        );
        return Err(bad("the slice or the averaging factor is out of range", &allowed));
    }
    if let Some(sizes) = policy.sizes {
        let mut bytes: Vec<u64> = host.host.vgpus().map(|(_, it)| it.profile.fb_bytes).collect();
        bytes.sort_unstable();
        bytes.dedup();
        if sizes == Sizes::Homogeneous && bytes.len() > 1 {
            let count = bytes.len();
            let why = format!("the vGPUs of host `{}` have {count} different sizes", host.name);
            let help = "destroy, suspend or migrate those that differ first";
            return Err(Refusal::new(Code::BadValue, why).help(help));
        }
        text.push(format!("sizes {}", word(&sizes)));
    }
    if text.is_empty() {
        return Err(bad("nothing is to be changed", "policy, slice, averaging, sizes"));
    }
    let is_changed = how != host.host.scheduling();
    let change = is_changed.then(|| Change::of_scheduling(&mut host.host, how));
    let (vgpu, sizes, text) = (None, policy.sizes, text.join(", "));
    Ok(Next::later(Changing { host: at, vgpu, change, sizes, text }))
}

fn check_share(share: &types::Share) -> Result<(), Refusal> {
    if share.is_valid() {
        return Ok(());
    }
    let allowed = "a weight of 1 to 100; a share to 100 %; a cap of 0, or from the share to 100 %";
    Err(bad("the weight, the share or the cap is out of range", allowed))
}

fn share(share: Share, site: &mut Site<'_>) -> Result<Next, Refusal> {
    let at = home(site, &share.vgpu)?;
    let host = &mut site.hosts[at];
    let device = host.served(&share.vgpu).map(|it| (it.device.gfid, it.device.busy));
    let Some((gfid, doing)) = device else { return Err(no_vgpu(&share.vgpu)) };
    if let Some(doing) = doing {
        return Err(busy(&share.vgpu, doing));
    }
    let Some(info) = host.host.vgpu(gfid) else { return Err(no_vgpu(&share.vgpu)) };
    let mut due = info.share;
    if share.weight.is_none() && share.part.is_none() && share.cap.is_none() {
        return Err(bad("nothing is to be changed", "weight, share, cap"));
    }
    due.weight = share.weight.unwrap_or(due.weight);
    due.part = share.part.unwrap_or(due.part);
    due.cap = share.cap.unwrap_or(due.cap);
    check_share(&due)?;
    let change = Some(Change::of_share(&mut host.host, gfid, due));
    let percent = |part: u16| format!("{} %", f64::from(part) / 100.0);
    let cap = if due.cap == 0 { "no cap".to_owned() } else { format!("cap {}", percent(due.cap)) };
    let text = format!("weight {}, share {}, {cap}", due.weight, percent(due.part));
    Ok(Next::later(Changing { host: at, vgpu: Some(share.vgpu), change, sizes: None, text }))
}

fn migrate(migrate: &Migrate, site: &mut Site<'_>) -> Result<Next, Refusal> {
    let from = home(site, &migrate.vgpu)?;
    if let Ok(address) = migrate.to.parse() {
        return super::remote::send(migrate, from, address, site);
    }
    let to = host_at(site, &migrate.to)?;
    if migrate.host.is_some() {
        let why = format!("`{}` is a host of this server", migrate.to);
        return Err(bad(why, "a host of the other server, where `to` is an address"));
    }
    if from == to {
        let why = format!("`{}` is on host `{}` already", migrate.vgpu, migrate.to);
        return Err(Refusal::new(Code::BadValue, why).help("name another host"));
    }
    let how = how(migrate.kind, migrate.max_downtime_ns)?;
    check_fits(&migrate.vgpu, (from, to), site)?;
    seize(&mut site.hosts[from], &migrate.vgpu, "migrate")?;
    Ok(Next::later(Moving::new(site, (from, to), &migrate.vgpu, how)?))
}

/// Whether a vGPU of a host fits another, before anything is done to it.
fn check_fits(name: &str, (from, to): (usize, usize), site: &mut Site<'_>) -> Result<(), Refusal> {
    let Some(gfid) = site.hosts[from].served(name).map(|it| it.device.gfid) else {
        return Err(no_vgpu(name));
    };
    let Some(leaver) = Leaver::of(&mut site.hosts[from].host, gfid) else {
        return Err(no_vgpu(name));
    };
    check_room(leaver, name, &mut site.hosts[to])
}

/// Whether a vGPU fits a host that was named.
pub(super) fn check_room(leaver: Leaver, vgpu: &str, to: &mut ServedHost) -> Result<(), Refusal> {
    to.check_open()?;
    if let Some(lost) = to.host.lost_for_good() {
        return Err(refused(&lost));
    }
    let room = Room::of(&mut to.host);
    let (what, at) = (format!("`{vgpu}`"), &to.name);
    check_size(&room, to.sizes, &what, leaver.profile.fb_bytes).map_err(|refusal| Refusal {
        message: format!("host `{at}`: {}", refusal.message),
        ..refusal
    })?;
    let plan = plan(&[leaver], std::slice::from_ref(&room));
    let Some(misfit) = plan.left.first().and_then(|(_, misfits)| misfits.first()) else {
        return Ok(());
    };
    let why = format!("{what} does not fit host `{at}`: {misfit}");
    let help = "name another host, or destroy, suspend or migrate a vGPU there first";
    Err(Refusal::new(Code::NoRoom, why).help(help))
}

pub(super) fn how(
    kind: godwit_control::KindOfMove,
    max_downtime_ns: Option<u64>,
) -> Result<How, Refusal> {
    if kind == godwit_control::KindOfMove::StopAndCopy && max_downtime_ns.is_some() {
        let why = "a move that stops the vGPU first has no bound on how long it stands still";
        return Err(Refusal::new(Code::BadValue, why).help("leave one of the two out"));
    }
    Ok(How { kind, max_downtime_ns })
}

fn evacuate(
    evacuate: &Evacuate,
    site: &mut Site<'_>,
    operations: &Operations,
) -> Result<Next, Refusal> {
    let host = host_at(site, &evacuate.host)?;
    site.hosts[host].check_open()?;
    operations.check_none_comes(host, &site.hosts[host].name)?;
    let how = how(evacuate.kind, evacuate.max_downtime_ns)?;
    let parallel = evacuate.parallel.unwrap_or(PARALLEL);
    if !(1..=PARALLEL_MAX).contains(&parallel) {
        let why = format!("{parallel} moves at a time");
        return Err(bad(why, &format!("1 to {PARALLEL_MAX}")));
    }
    let mut to = Vec::new();
    for name in &evacuate.to {
        let at = host_at(site, name)?;
        if at == host {
            let why = format!("`{name}` is the host that is to be emptied");
            return Err(bad(why, "the other hosts: `godwit ctl list --hosts`"));
        }
        site.hosts[at].check_open()?;
        if !to.contains(&at) {
            to.push(at);
        }
    }
    if to.is_empty() {
        let is_open = |at: &usize| site.hosts[*at].check_open().is_ok();
        to = (0..site.hosts.len()).filter(|at| *at != host).filter(is_open).collect();
    }
    if to.is_empty() {
        let help = "`godwit ctl migrate VGPU --to ADDRESS` moves one to another server";
        return Err(Refusal::new(
            Code::NoHost,
            "the server has no other host that vGPUs may come to",
        )
        .help(help));
    }
    let name = site.hosts[host].name.clone();
    site.events.note(EventKind::Began, Where::host(&name), "is evacuated");
    Ok(Next::later(Evacuating::new(site, host, &to, parallel.into(), how)))
}
