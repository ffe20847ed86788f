//! Suspended vGPUs: files of the server.

use super::dispatch::{Next, bad, check_name, check_room, home, host_at, sockets};
use super::profiles::check_size;
use crate::events::Where;
use crate::operation::{LOST_HELP, Operations, Resuming, Site, Suspending, let_go, seize};
use godwit_control::{Code, EventKind, Refusal, Resume, Suspend, is_name};
use godwit_shim::evacuate::{Leaver, Room, plan};
use godwit_shim::stream::{Body, Reader};
use godwit_shim::{FileError, FileOptions, Mark, ResumeOptions, StateReader, Wanted};
use godwit_types::{Engines, Placement, Profile};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What a file's name ends with.
const SUFFIX: &str = "state";
/// Files that are looked at to say which can be resumed.
const LOOKED_AT_MAX: usize = 64;

/// The path of a file of the server.
fn path(file: &str, site: &Site<'_>) -> Result<PathBuf, Refusal> {
    let Some(folder) = &site.places.states else {
        let why = "the server has no folder for suspended vGPUs";
        let help = "name one in its configuration: `states = \"/var/lib/godwit\"`";
        return Err(Refusal::new(Code::NoFile, why).help(help));
    };
    if !is_name(file) {
        let why = format!("`{}` is no name of a file", file.escape_default());
        return Err(bad(why, "1 to 32 letters, digits, `-` and `_`"));
    }
    Ok(folder.join(file).with_extension(SUFFIX))
}

pub(super) fn suspend(suspend: Suspend, site: &mut Site<'_>) -> Result<Next, Refusal> {
    let host = home(site, &suspend.vgpu)?;
    let file = suspend.file.unwrap_or_else(|| suspend.vgpu.clone());
    let path = path(&file, site)?;
    check_free(&file, &path)?;
    let name = suspend.vgpu;
    let gfid = seize(&mut site.hosts[host], &name, "suspend")?;
    let served = &mut site.hosts[host];
    let Some(it) = served.served_mut(&name) else { return Err(crate::operation::no_vgpu(&name)) };
    let migration = &mut it.device.migration;
    let options = crate::operation::save_options(migration.uuid(), migration.next_token());
    let begun = godwit_shim::Suspend::new(
        &mut served.host,
        gfid,
        options,
        None,
        &path,
        &FileOptions::default(),
    );
    match begun {
        Ok(mut suspend) => {
            // Else all vGPUs of the server would wait for a disk.
            suspend.wait_aside();
            let at = Where::of(&served.name, &name);
            site.events.note(EventKind::Began, at, &format!("is suspended to `{file}`"));
            let began = Instant::now();
            Ok(Next::later(Suspending { host, name, file, path, suspend, began }))
        }
        Err(error) => {
            let why = format!("{}: {error}", path.display());
            let_go(site, host, &name, &format!("suspend: {why}"));
            let help = "it runs on; free what the message names, and try again";
            Err(Refusal::new(Code::Failed, why).help(help))
        }
    }
}

/// A file whose vGPU is in it and nowhere else is not written over.
fn check_free(file: &str, path: &Path) -> Result<(), Refusal> {
    match StateReader::look(path, None) {
        Ok(found) if found.mark() == Mark::Spent => Ok(()),
        Err(FileError::Io { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        _ => {
            let why = format!("there is a file `{file}` that was not resumed");
            Err(Refusal::new(Code::Taken, why).help("resume it first, or name another `--file`"))
        }
    }
}

pub(super) fn resume(
    resume: Resume,
    site: &mut Site<'_>,
    operations: &Operations,
) -> Result<Next, Refusal> {
    let path = path(&resume.file, site)?;
    let name = resume.vgpu.unwrap_or_else(|| resume.file.clone());
    check_name(&name, site, operations)?;
    let profile = profile(&path).map_err(|error| no_file(&resume.file, &error, site))?;
    check_aperture(&profile)?;
    let host = match &resume.host {
        Some(host) => host_for(&profile, &name, host, site)?,
        None => best_host(&profile, site)?,
    };
    let sockets = Some(sockets(&name, site)?);
    let served = &mut site.hosts[host];
    let options = ResumeOptions::default();
    let begun = godwit_shim::Resume::new(&served.host, &path, Wanted::default(), None, &options);
    let mut begun = begun.map_err(|error| no_file(&resume.file, &error, site))?;
    begun.wait_aside();
    let at = Where::of(&site.hosts[host].name, &name);
    site.events.note(EventKind::Began, at, &format!("is resumed from `{}`", resume.file));
    let (file, resume) = (resume.file, begun);
    let work = Resuming { host, name: name.clone(), file, resume, sockets };
    Ok(Next::Later(Some(name), Box::new(work)))
}

/// A vGPU of a machine has its aperture as a BAR.
pub(super) fn check_aperture(profile: &Profile) -> Result<(), Refusal> {
    if profile.bar_bytes.is_power_of_two() {
        return Ok(());
    }
    let why = format!("its aperture has {} bytes", profile.bar_bytes);
    Err(bad(why, "a power of two of bytes, since a BAR is"))
}

/// What a suspended vGPU is.
fn profile(path: &Path) -> Result<Profile, FileError> {
    let bad = |error| FileError::Stream { path: path.to_path_buf(), error };
    let mut file = StateReader::look(path, None)?;
    let mut reader = Reader::new();
    while let Some(bytes) = file.next_bytes()? {
        reader.feed_owned(bytes);
        if let Some(record) = reader.next_record().map_err(bad)? {
            let Body::Descriptor(it) = record.body else { break };
            return Ok(Profile {
                fb_bytes: it.fb_bytes,
                bar_bytes: it.bar_bytes,
                channel_count: it.channel_count,
                context_bytes: it.context_bytes,
            });
        }
    }
    reader.finish().map_err(bad)?;
    Err(bad(godwit_shim::stream::StreamError::AfterEnd))
}

fn no_file(file: &str, error: &FileError, site: &Site<'_>) -> Refusal {
    let all = site.places.states.iter().filter_map(|folder| std::fs::read_dir(folder).ok());
    let mut names: Vec<String> = all
        .flatten()
        // All vGPUs wait meanwhile.
        .take(LOOKED_AT_MAX)
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let is_one = path.extension().is_some_and(|end| end == SUFFIX);
            let looked = StateReader::look(&path, None).ok().filter(|_| is_one)?;
            (looked.mark() != Mark::Spent).then(|| path.file_stem()?.to_str().map(str::to_owned))?
        })
        .collect();
    names.sort();
    names.truncate(16);
    let help = if names.is_empty() {
        "there is no file whose vGPU is in it".to_owned()
    } else {
        format!("what can be resumed: {}", names.join(", "))
    };
    let (code, why) = match error {
        FileError::Spent(_) => (Code::Taken, "it was resumed before, and its vGPU may run".into()),
        FileError::Io { error, .. } if error.kind() == std::io::ErrorKind::NotFound => {
            (Code::NoFile, "there is no such file".to_owned())
        }
        error if error.is_refusal() => (Code::Taken, error.to_string()),
        error => (Code::NoFile, error.to_string()),
    };
    Refusal::new(code, format!("`{file}` cannot be resumed: {why}")).help(help)
}

/// A vGPU that comes from nowhere on a device like the one with this room.
fn comer(profile: &Profile, room: &Room) -> Leaver {
    let placement = Placement { fb_base: 0, bar_base: 0, channel_base: 0, context_base: 0 };
    let (context_layout, engines) = (room.device.context_layout, Engines::NONE);
    Leaver { profile: *profile, placement, context_layout, engines }
}

/// A host that was named, where it fits.
pub(super) fn host_for(
    profile: &Profile,
    vgpu: &str,
    host: &str,
    site: &mut Site<'_>,
) -> Result<usize, Refusal> {
    let at = host_at(site, host)?;
    let host = &mut site.hosts[at];
    let comer = comer(profile, &Room::of(&mut host.host));
    check_room(comer, vgpu, host)?;
    Ok(at)
}

/// The host where it fits and leaves the least room.
pub(super) fn best_host(profile: &Profile, site: &mut Site<'_>) -> Result<usize, Refusal> {
    let (mut places, mut rooms, mut whys) = (Vec::new(), Vec::new(), Vec::new());
    for (at, host) in site.hosts.iter_mut().enumerate() {
        if host.host.lost_for_good().is_some() {
            continue;
        }
        let room = Room::of(&mut host.host);
        let fits = host
            .check_open()
            .and_then(|()| check_size(&room, host.sizes, "this one", profile.fb_bytes));
        match fits {
            Ok(()) => {
                places.push(at);
                rooms.push(room);
            }
            Err(refusal) => whys.push(format!("`{}`: {}", host.name, refusal.message)),
        }
    }
    if rooms.is_empty() && whys.is_empty() {
        let why = "the server has no host whose firmware runs";
        return Err(Refusal::new(Code::NoHost, why).help(LOST_HELP));
    }
    let comers: Vec<Leaver> = rooms.first().map(|room| comer(profile, room)).into_iter().collect();
    let plan = plan(&comers, &rooms);
    if let Some(step) = plan.steps.first() {
        return Ok(places[step.to]);
    }
    let why = plan.left.iter().flat_map(|(_, misfits)| misfits).zip(&places);
    whys.extend(why.map(|(misfit, at)| format!("`{}`: {misfit}", site.hosts[*at].name)));
    let why = format!("it fits nowhere: {}", whys.join("; "));
    let help = "destroy, suspend or migrate a vGPU first; a host that is homogeneous can take \
                mixed sizes: `godwit ctl policy HOST --sizes mixed`";
    Err(Refusal::new(Code::NoRoom, why).help(help))
}
