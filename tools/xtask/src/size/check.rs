//! All that one image is held to.

use anyhow::{Context, Result};
use godwit_types::CHANNEL_COUNT;

use super::budget::Sizes;
use super::graph::{Deepest, Graph};
use super::image::Image;
use super::roots::{Level, Roots};

/// The symbol whose value is the size of a channel's entries in the engine's tables.
const CHANNEL_BYTES: &str = "_godwit_channel_bytes";
/// The symbol of the stack's first byte, which is its highest.
const STACK_START: &str = "_stack_start";
/// The guard's first byte, and the first above it.
const GUARD: &str = "_stack_guard";
/// See [`GUARD`].
const GUARD_END: &str = "_stack_guard_end";
/// Bytes of the small stack on which an overflow is handled.
const EMERGENCY_BYTES: &str = "_emergency_stack_bytes";

/// Paths of functions that panic, or that only what panics calls.
const PANICS: [&str; 8] = [
    "core::panicking::",
    "core::option::expect_failed",
    "core::option::unwrap_failed",
    "core::result::unwrap_failed",
    "core::slice::index::slice_",
    "core::str::slice_error_fail",
    "core::cell::panic_already_",
    "rust_begin_unwind",
];
/// Paths of a heap.
const HEAP: [&str; 3] = ["alloc::", "__rust_", "__rg_"];

/// What was found in an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Findings {
    pub(crate) sizes: Sizes,
    /// How the stack comes to be as deep as it is: what, and bytes.
    pub(crate) deepest: Vec<(String, u64)>,
    /// What no image may have, a line each.
    pub(crate) problems: Vec<String>,
}

/// Measures an image and looks for what it may not have.
pub(crate) fn image(bytes: &[u8]) -> Result<Findings> {
    let image = Image::parse(bytes)?;
    let graph = Graph::build(&image)?;
    let roots = Roots::of(&image)?;
    let mut problems = graph.problems(&roots.all());
    problems.extend(forbidden(&image, &graph, &roots));
    let mut deepest = Vec::new();
    let stack_bytes = stack(&graph, &roots, &mut deepest, &mut problems);
    let channel_bytes =
        image.symbol(CHANNEL_BYTES).with_context(|| format!("no `{CHANNEL_BYTES}`"))?;
    let all_channels = channel_bytes * u64::from(CHANNEL_COUNT);
    let ram_bytes = image
        .ram_bytes
        .checked_sub(all_channels)
        .context("channels take more RAM than there is: is the engine's table static?")?;
    if let Some(start) = image.symbol(STACK_START)
        && start.saturating_sub(image.ram_end) < stack_bytes
    {
        problems.push(format!("the stack reaches down into variables at {:#x}", image.ram_end));
    }
    problems.extend(beyond_guard(&image, &graph, &roots, stack_bytes));
    let sizes = Sizes { flash_bytes: image.flash_bytes, ram_bytes, channel_bytes, stack_bytes };
    Ok(Findings { sizes, deepest, problems })
}

/// Where the linker script has a guard below the stack: whether the stack ends above it, no
/// function's frame reaches beyond it, and an overflow can be handled on the small stack below, or
/// else in the guard.
fn beyond_guard(
    image: &Image,
    graph: &Graph<'_>,
    roots: &Roots,
    stack_bytes: u64,
) -> Option<String> {
    let (start, guard) = (image.symbol(STACK_START)?, image.symbol(GUARD_END)?);
    if start.saturating_sub(guard) < stack_bytes {
        return Some(format!("the stack reaches into its guard, below {guard:#x}"));
    }
    let guard_bytes = guard.saturating_sub(image.symbol(GUARD)?);
    let frame = graph.largest_frame(&roots.all());
    let of = |level: &Level| {
        let handlers = level.handlers.iter().filter_map(|at| graph.deepest(*at).ok());
        handlers.map(|it| it.bytes).max().unwrap_or(0)
    };
    let Some(room) = image.symbol(EMERGENCY_BYTES) else {
        // A function may have moved the stack pointer down to its frame's end when it faults.
        let faults = roots.levels.iter().filter(|level| level.is_fault);
        let handled: u64 = faults.map(|level| level.frame_bytes + of(level)).sum();
        return (frame + handled > guard_bytes).then(|| {
            format!("a frame takes {frame} bytes and faults {handled}, the guard has {guard_bytes}")
        });
    };
    if frame > guard_bytes {
        return Some(format!("a frame takes {frame} bytes, and the guard has {guard_bytes}"));
    }
    let deepest = roots.levels.iter().map(of).max()?;
    (deepest > room)
        .then(|| format!("a handler takes {deepest} bytes, and an overflow's has {room}"))
}

/// The deepest stack: of the start, and of a handler of each level on top.
fn stack(
    graph: &Graph<'_>,
    roots: &Roots,
    path: &mut Vec<(String, u64)>,
    problems: &mut Vec<String>,
) -> u64 {
    let mut of = |root: u64| {
        graph.deepest(root).unwrap_or_else(|recursion| {
            problems.push(recursion);
            Deepest::default()
        })
    };
    let mut bytes = 0;
    let mut add = |deepest: Deepest| {
        bytes += deepest.bytes;
        path.extend(deepest.path.iter().map(|(at, depth)| (graph.name(*at).to_owned(), *depth)));
    };
    add(of(roots.start));
    for level in &roots.levels {
        let handlers = level.handlers.iter().map(|handler| of(*handler));
        let mut deepest = handlers.max_by_key(|deepest| deepest.bytes).unwrap_or_default();
        deepest.bytes += level.frame_bytes;
        add(Deepest { bytes: level.frame_bytes, path: Vec::new() });
        deepest.bytes -= level.frame_bytes;
        add(deepest);
    }
    bytes
}

/// Code that panics or that has a heap, with how it is reached.
fn forbidden(image: &Image, graph: &Graph<'_>, roots: &Roots) -> Vec<String> {
    let reached = graph.reached(&roots.all());
    let mut lines = Vec::new();
    for (at, function) in &image.functions {
        let is = |kinds: &[&str]| kinds.iter().any(|kind| is_under(&function.name, kind));
        let what = if is(&PANICS) {
            "panics"
        } else if is(&HEAP) {
            "has a heap"
        } else {
            continue;
        };
        let mut line = format!("the image {what}: {}", function.name);
        for (caller, site) in graph.callers(*at) {
            line.push_str(&format!("\n    from {site:#x} in {}", graph.name(caller)));
            let mut inner = caller;
            while let Some(Some((outer, call))) = reached.get(&inner) {
                line.push_str(&format!(" <- {:#x} in {}", call.at, graph.name(*outer)));
                inner = *outer;
            }
        }
        lines.push(line);
    }
    lines
}

/// Whether a function's path begins with `kind`, within its crate's own prefix if it has one.
fn is_under(name: &str, kind: &str) -> bool {
    let name = name.strip_prefix("__rustc::").unwrap_or(name);
    name.trim_start_matches(['<', '&']).starts_with(kind)
}
