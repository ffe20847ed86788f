//! Jobs of a user's own ELF file.

use super::{Checker, Span, launch, raw};
use crate::files;
use crate::scenario::model::{Expected, Program, Vgpu};
use crate::scenario::value::Count;
use crate::units;
use godwit_kernels::{DATA_BASE, LAUNCH_BASE};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::ops::Range;
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
    let inputs = inputs(job, checker);
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
    let path = checker.path(name.get_ref());
    checker.note_input(&path);
    match files::read(&path, most) {
        Ok(bytes) => Some(bytes),
        Err(why) => {
            let allowed = format!("a file of up to {}", units::exact_size(most));
            checker.wrong(name.span(), format!("`{}` {why}", name.get_ref()), allowed)
        }
    }
}

fn args(list: &Spanned<Vec<Spanned<Count>>>, checker: &mut Checker<'_>) -> Option<Vec<u64>> {
    let args: Vec<u64> = list.get_ref().iter().map(|arg| arg.get_ref().0).collect();
    if args.len() <= ARGS_MAX {
        return Some(args);
    }
    let wrong = format!("there are {} arguments", args.len());
    checker.wrong(list.span(), wrong, format!("up to {ARGS_MAX}"))
}

fn inputs(job: &raw::Job, checker: &mut Checker<'_>) -> Option<Vec<(u64, Vec<u8>)>> {
    let Some(list) = &job.inputs else { return Some(Vec::new()) };
    let tables = list.get_ref();
    if tables.len() > INPUTS_MAX {
        let wrong = format!("there are {} inputs", tables.len());
        return checker.wrong(list.span(), wrong, format!("up to {INPUTS_MAX}"));
    }
    let read: Vec<Option<(u64, Vec<u8>)>> =
        tables.iter().map(|table| input(&table.span(), table.get_ref(), checker)).collect();
    let inputs: Vec<(u64, Vec<u8>)> = read.into_iter().collect::<Option<_>>()?;
    for (index, (at, bytes)) in inputs.iter().enumerate() {
        let over = |(other, those): &(u64, Vec<u8>)| {
            *at < other.saturating_add(those.len() as u64)
                && *other < at.saturating_add(bytes.len() as u64)
        };
        if let (Some(_), Some(table)) =
            (inputs[..index].iter().find(|it| over(it)), tables.get(index))
        {
            return checker.wrong(table.span(), "two inputs overlap", "ranges apart");
        }
    }
    Some(inputs)
}

fn input(span: &Span, input: &raw::Input, checker: &mut Checker<'_>) -> Option<(u64, Vec<u8>)> {
    let bytes = checker
        .required(span, &input.file, "file", "the path of a file")
        .and_then(|file| read(file, FILE_BYTES_MAX, checker));
    let at = checker.required(span, &input.at, "at", AN_OFFSET)?;
    Some((at.get_ref().0, bytes?))
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
            let bytes = read(file, FILE_BYTES_MAX, checker)?;
            let output = output?;
            let (is, must) = (bytes.len() as u64, output.end - output.start);
            if is != must {
                let wrong = format!("`{}` has {}", file.get_ref(), units::exact_size(is));
                let allowed = format!("as many as the output, {}", units::exact_size(must));
                return checker.wrong(file.span(), wrong, allowed);
            }
            Some(Expected::Sha256(Sha256::digest(&bytes).into()))
        }
        (digest, _) => {
            let what = if digest.is_some() { "both `sha256` and" } else { "neither `sha256` nor" };
            checker.wrong(table.span(), format!("there is {what} `file`"), "one of them")
        }
    }
}
