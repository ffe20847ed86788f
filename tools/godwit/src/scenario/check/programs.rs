//! Jobs of a user's own ELF file.

use super::{Checker, Span, launch, raw};
use crate::files;
use crate::scenario::model::{Expected, Program, Vgpu};
use crate::scenario::value::Count;
use crate::units;
use godwit_guest::{JobError, Region};
use godwit_kernels::{DATA_BASE, LAUNCH_BASE};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use toml::Spanned;

/// Keys of such a job.
pub(super) const KEYS: &[&str] = &[
    "elf",
    "grid",
    "block",
    "args",
    "shared_bytes",
    "stack_bytes",
    "arena",
    "inputs",
    "output",
    "expected",
];

/// Bytes of an ELF file.
const ELF_BYTES_MAX: u64 = 16 << 20;
/// Bytes of an input, an output or an expected file.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// Bytes of all files that a scenario names.
pub(super) const FILES_BYTES_MAX: u64 = 1 << 30;
/// Input files of a job.
const INPUTS_MAX: usize = 32;
/// Words of an argument block.
const ARGS_MAX: usize = 64;
/// Blocks of a grid.
const GRID_MAX: u32 = 1 << 20;
/// Threads of a block.
const BLOCK_MAX: u32 = 65_536;
/// Bytes of shared memory of a block, and of a thread's stack.
const SHARED_BYTES_MAX: u64 = 1 << 20;
/// A stack unless the scenario says otherwise.
const STACK_BYTES: u64 = 4_096;
/// Stacks are aligned to this.
const STACK_ALIGN: u64 = 16;
/// What an offset in a scenario looks like.
const AN_OFFSET: &str = "an offset such as \"4 MiB\"";
/// What a range in a scenario looks like.
const A_RANGE: &str = "a table such as { at = \"4 MiB\", bytes = 64 }";

/// Checks the job; `vgpu` is where it runs.
pub(super) fn check(
    at: &Span,
    job: &raw::Job,
    elf: &Spanned<String>,
    vgpu: Option<&Vgpu>,
    checker: &mut Checker<'_>,
) -> Option<(Program, Expected)> {
    let image = read(elf, ELF_BYTES_MAX, checker);
    let (grid, block) = (&job.grid, &job.block);
    let grid = grid.as_ref().map_or(Some(1), |n| checker.count32(n, "grid", 1, GRID_MAX));
    let block = block.as_ref().map_or(Some(1), |n| checker.count32(n, "block", 1, BLOCK_MAX));
    let args = job.args.as_ref().map_or(Some(Vec::new()), |list| args(list, checker));
    let shared_bytes = job.shared_bytes.as_ref().map_or(Some(0), |size| {
        let bytes = size.get_ref().0;
        if bytes == 0 { Some(0) } else { checker.size(size, "shared_bytes", 1, SHARED_BYTES_MAX) }
    });
    let stack_bytes = job.stack_bytes.as_ref().map_or(Some(STACK_BYTES), |size| {
        checker.size(size, "stack_bytes", STACK_ALIGN, SHARED_BYTES_MAX)
    });
    let arena =
        job.arena.as_ref().map_or(Some(LAUNCH_BASE..DATA_BASE), |table| range(table, checker));
    let inputs = inputs(job, vgpu, checker);
    let output = checker
        .required(at, &job.output, "output", A_RANGE)
        .and_then(|table| range(table, checker));
    let expected = match &job.expected {
        Some(table) => expected(table, output.as_ref(), checker),
        None => Some(Expected::Unknown),
    };
    let program = Program {
        elf: Cow::Owned(image?),
        grid: grid?,
        block: block?,
        args: args?,
        shared_bytes: u32::try_from(shared_bytes?).ok()?,
        stack_bytes: u32::try_from(stack_bytes?).ok()?,
        arena: arena?,
        inputs: inputs?,
        output: output?,
    };
    launch::check(at, job, &program, vgpu?, checker)?;
    Some((program, expected?))
}

fn read(name: &Spanned<String>, most: u64, checker: &mut Checker<'_>) -> Option<Vec<u8>> {
    size(name, most, checker)?;
    let read = files::read(&checker.path(name.get_ref()), most);
    read.map_err(|why| unread(name, most, &why, checker)).ok()
}

/// The length of a file, of which nothing is read. All that a scenario names is read at once, so
/// all of it together is bounded.
fn size(name: &Spanned<String>, most: u64, checker: &mut Checker<'_>) -> Option<u64> {
    let path = checker.path(name.get_ref());
    checker.note_input(&path);
    let bytes = files::size(&path, most);
    let bytes = bytes.map_err(|why| unread(name, most, &why, checker)).ok()?;
    if checker.take_file_bytes(bytes) {
        return Some(bytes);
    }
    let wrong = format!("`{}` is one file too many", name.get_ref());
    let allowed = format!("files of up to {} together", units::exact_size(FILES_BYTES_MAX));
    checker.wrong(name.span(), wrong, allowed)
}

fn unread(name: &Spanned<String>, most: u64, why: &str, checker: &mut Checker<'_>) {
    let allowed = format!("a file of up to {}", units::exact_size(most));
    checker.wrong::<()>(name.span(), format!("`{}` {why}", name.get_ref()), allowed);
}

fn args(list: &Spanned<Vec<Spanned<Count>>>, checker: &mut Checker<'_>) -> Option<Vec<u64>> {
    let args: Vec<u64> = list.get_ref().iter().map(|arg| arg.get_ref().0).collect();
    if args.len() <= ARGS_MAX {
        return Some(args);
    }
    let wrong = format!("there are {} arguments", args.len());
    checker.wrong(list.span(), wrong, format!("up to {ARGS_MAX}"))
}

/// An input that is there and has room, and is not read yet.
struct Found<'a> {
    span: Span,
    file: &'a Spanned<String>,
    range: Range<u64>,
}

/// Reads inputs when all of them fit the vGPU, and not before.
fn inputs(
    job: &raw::Job,
    vgpu: Option<&Vgpu>,
    checker: &mut Checker<'_>,
) -> Option<Vec<(u64, Arc<[u8]>)>> {
    let Some(list) = &job.inputs else { return Some(Vec::new()) };
    let tables = list.get_ref();
    if tables.len() > INPUTS_MAX {
        let wrong = format!("there are {} inputs", tables.len());
        return checker.wrong(list.span(), wrong, format!("up to {INPUTS_MAX}"));
    }
    let tables = tables.iter().enumerate();
    let found: Vec<Option<Found<'_>>> = tables
        .map(|(index, it)| input((index, it.span()), it.get_ref(), job, vgpu, checker))
        .collect();
    let found: Vec<Found<'_>> = found.into_iter().collect::<Option<_>>()?;
    for (index, Found { span, range, .. }) in found.iter().enumerate() {
        let over =
            |other: &Found<'_>| range.start < other.range.end && other.range.start < range.end;
        if found[..index].iter().any(over) {
            return checker.wrong(span.clone(), "two inputs overlap", "ranges apart");
        }
    }
    let mut read = |Found { file, range, .. }: &Found<'_>| {
        let bytes = files::read(&checker.path(file.get_ref()), range.end - range.start);
        match bytes {
            Ok(bytes) => Some((range.start, bytes.into())),
            Err(why) => {
                unread(file, range.end - range.start, &why, checker);
                None
            }
        }
    };
    let read: Vec<Option<_>> = found.iter().map(&mut read).collect();
    read.into_iter().collect()
}

fn input<'a>(
    (index, span): (usize, Span),
    input: &'a raw::Input,
    job: &raw::Job,
    vgpu: Option<&Vgpu>,
    checker: &mut Checker<'_>,
) -> Option<Found<'a>> {
    let file = checker.required(&span, &input.file, "file", "the path of a file");
    let bytes = file.and_then(|file| size(file, FILE_BYTES_MAX, checker));
    let at = checker.required(&span, &input.at, "at", AN_OFFSET)?.get_ref().0;
    let (file, byte_count) = (file?, bytes?);
    let limit_bytes = vgpu?.profile.bar_bytes;
    match at.checked_add(byte_count) {
        Some(end) if end <= limit_bytes => Some(Found { span, file, range: at..end }),
        _ => {
            let region = Region::Input(index);
            let error = JobError::Outside { region, at, byte_count, limit_bytes };
            launch::refuse(&span, &error, job, vgpu?, checker)
        }
    }
}

fn range(table: &Spanned<raw::Table<raw::Range>>, checker: &mut Checker<'_>) -> Option<Range<u64>> {
    let (range, span) = (table.get_ref(), table.span());
    let at = checker.required(&span, &range.at, "at", AN_OFFSET);
    let bytes = checker
        .required(&span, &range.bytes, "bytes", "a size such as \"64 KiB\"")
        .and_then(|bytes| checker.size(bytes, "bytes", 1, FILE_BYTES_MAX));
    let (at, bytes) = (at?.get_ref().0, bytes?);
    match at.checked_add(bytes) {
        Some(end) => Some(at..end),
        None => checker.wrong(span, "the range ends past the last address", "a range that fits"),
    }
}

fn expected(
    table: &Spanned<raw::Table<raw::Expected>>,
    output: Option<&Range<u64>>,
    checker: &mut Checker<'_>,
) -> Option<Expected> {
    let expected = table.get_ref();
    match (&expected.sha256, &expected.file) {
        (Some(digest), None) => Some(Expected::Sha256(digest.get_ref().0)),
        (None, Some(file)) => {
            let is = size(file, FILE_BYTES_MAX, checker)?;
            let output = output?;
            let must = output.end - output.start;
            if is != must {
                let wrong = format!("`{}` has {}", file.get_ref(), units::exact_size(is));
                let allowed = format!("as many as the output, {}", units::exact_size(must));
                return checker.wrong(file.span(), wrong, allowed);
            }
            let bytes = files::read(&checker.path(file.get_ref()), must);
            let bytes = bytes.map_err(|why| unread(file, must, &why, checker)).ok()?;
            Some(Expected::Sha256(Sha256::digest(&bytes).into()))
        }
        (digest, _) => {
            let what = if digest.is_some() { "both `sha256` and" } else { "neither `sha256` nor" };
            checker.wrong(table.span(), format!("there is {what} `file`"), "one of them")
        }
    }
}
