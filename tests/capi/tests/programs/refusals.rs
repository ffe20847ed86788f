//! What a C program that calls everything with wrong arguments has told, held against the header
//! and the symbol map: no function, no pointer, no field and no error is left out, and none is told
//! that is not documented.

use crate::WRONG;
use crate::bench::C;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const HEADER: &str = include_str!("../../../../host-shim/capi/include/godwit.h");
const MAP: &str = include_str!("../../../../host-shim/capi/godwit.map");

/// Functions that never fail.
const NEVER_FAIL: [&str; 2] = ["godwit_version", "godwit_last_error"];
/// Pointers that may be NULL.
const OPTIONAL: [&str; 2] = ["options", "logged_page_bytes"];
/// Functions for which no number is wrong.
const ANY_NUMBER: [&str; 1] = ["godwit_vgpu_take_vectors"];
/// Fields for which no value is wrong.
const ANY_VALUE: [&str; 4] = [
    "godwit_device_config.context_layout",
    "godwit_limits.count",
    "godwit_vgpu_config.uuid",
    // What it leads to is any bytes.
    "godwit_file_options.key",
];
/// Errors of every function, but for that of a bug, which none may have.
const EVERYWHERE: [&str; 6] = ["EBADF", "EFAULT", "EINVAL", "E2BIG", "ECHILD", "ENODEV"];
/// Errors that no argument leads to: the simulated card does what it is asked for in time, and what
/// the system has and allows is not the program's to say.
const BY_CHANCE: [&str; 8] =
    ["ETIMEDOUT", "EIO", "EACCES", "ENOSPC", "EMFILE", "ENOMEM", "ECHILD", "ENODEV"];
/// The same for these functions.
const NEVER_SEEN: [(&str, &str); 5] = [
    ("godwit_vgpu_set_state", "EBUSY"),
    ("godwit_vgpu_suspend", "EBUSY"),
    // It is of paths, and "all others" are those of a call with one.
    ("godwit_vgpu_suspend_fd", "ENOENT"),
    ("godwit_vgpu_resume_fd", "ENOENT"),
    // Not every kernel has memory files of large pages.
    ("godwit_vgpu_dma_map", "EOPNOTSUPP"),
];

/// A function as the header has it.
struct Function<'a> {
    name: &'a str,
    /// Type and name of each parameter.
    parameters: Vec<(&'a str, &'a str)>,
    documented: BTreeSet<&'a str>,
    /// Others are documented, too, and not named.
    others: bool,
}

/// A call that was refused.
struct Refusal<'a> {
    errno: &'a str,
    arguments: Vec<&'a str>,
}

/// The names of errors in a text.
fn errors(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
        .filter_map(|word| word.strip_prefix('-'))
        .filter(|word| word.starts_with('E') && word.len() > 2)
}

fn parameter(text: &str) -> Option<(&str, &str)> {
    let at = text.rfind([' ', '*'])? + 1;
    Some((text[..at].trim(), &text[at..]))
}

/// A prototype and the comment before it, as one function.
fn function<'a>(comment: &'a str, prototype: &'a str) -> Option<Function<'a>> {
    let (head, parameters) = prototype.split_once('(')?;
    let name = head.rsplit([' ', '*']).next()?;
    let documented = errors(comment).collect();
    let others = comment.contains("...") || comment.to_lowercase().contains("others");
    let parameters = parameters.split(',').map(str::trim).filter_map(parameter).collect();
    Some(Function { name, parameters, documented, others })
}

fn functions() -> Vec<Function<'static>> {
    let mut all: Vec<Function> = Vec::new();
    let (_, code) = HEADER.split_once("extern \"C\" {\n#endif // __cplusplus\n").unwrap();
    for part in code.split(");\n") {
        let Some((comment, prototype)) = last_comment(part) else { continue };
        let mut next = function(comment, prototype).unwrap();
        if comment.contains("as above") {
            let above = all.last().unwrap();
            next.documented.extend(&above.documented);
            next.others |= above.others;
        }
        all.push(next);
    }
    all
}

/// The comment that a part ends with, and what comes after it.
fn last_comment(part: &str) -> Option<(&str, &str)> {
    let at = part.rfind("//")?;
    let end = at + part[at..].find('\n')?;
    part[end..].contains('(').then(|| part.split_at(end))
}

/// What was refused, by function.
fn refusals(told: &str) -> BTreeMap<&str, Vec<Refusal<'_>>> {
    let mut all: BTreeMap<&str, Vec<Refusal>> = BTreeMap::new();
    for line in told.lines() {
        let Some(line) = line.strip_prefix("refused\t") else { continue };
        let [errno, it, call] = line.splitn(3, '\t').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let (name, arguments) =
            call.strip_suffix(')').and_then(|call| call.split_once('(')).unwrap();
        // No argument of these has a comma in it.
        let arguments = arguments.split(',').map(str::trim);
        let arguments = arguments.map(|text| if text == "it" { it } else { text }).collect();
        all.entry(name).or_default().push(Refusal { errno, arguments });
    }
    all
}

/// Holds that the program has left nothing out, and was told nothing that is not documented.
pub(crate) fn are_all(told: &str) {
    let (functions, refusals) = (functions(), refusals(told));
    let names: BTreeSet<&str> = functions.iter().map(|function| function.name).collect();
    let shown = MAP.lines().filter_map(|line| line.trim().strip_suffix(';'));
    assert_eq!(names, shown.filter(|name| name.starts_with("godwit_")).collect(), "in the map");
    let mut missing = Vec::new();
    for function in functions.iter().filter(|function| !NEVER_FAIL.contains(&function.name)) {
        let none = Vec::new();
        let found = refusals.get(function.name).unwrap_or(&none);
        missing.extend(
            check(function, found).into_iter().map(|what| format!("{}: {what}", function.name)),
        );
    }
    missing.extend(unchecked_fields());
    assert!(missing.is_empty(), "{missing:#?}");
}

/// What is missing of one function.
fn check(function: &Function<'_>, found: &[Refusal<'_>]) -> Vec<String> {
    let mut missing = Vec::new();
    let has = |errno: &str| found.iter().any(|refusal| refusal.errno == errno);
    let is_fault = |at: usize, is: &dyn Fn(&str) -> bool| {
        let faults = found.iter().filter(|refusal| refusal.errno == "EFAULT");
        faults.into_iter().any(|refusal| refusal.arguments.get(at).is_some_and(|text| is(text)))
    };
    let mut has_number = false;
    for (at, (of, name)) in function.parameters.iter().enumerate() {
        let is_bytes = of.contains("char") || of.contains("uint8_t");
        if matches!(*of, "godwit_device" | "godwit_vgpu") {
            if !has("EBADF") {
                missing.push(format!("no wrong {name}"));
            }
        } else if !of.contains('*') {
            has_number = true;
        } else {
            if !OPTIONAL.contains(name) && !is_fault(at, &|text| text == "NULL") {
                missing.push(format!("{name} is never NULL"));
            }
            if !is_bytes && !is_fault(at, &|text| text.starts_with("ODD(")) {
                missing.push(format!("{name} is never misaligned"));
            }
        }
    }
    let of_numbers = found.iter().any(|refusal| !["EBADF", "EFAULT"].contains(&refusal.errno));
    if has_number && !of_numbers && !ANY_NUMBER.contains(&function.name) {
        missing.push("no number is wrong".to_owned());
    }
    let told: BTreeSet<&str> = found.iter().map(|refusal| refusal.errno).collect();
    for errno in &told {
        let is_known = function.documented.contains(errno) || EVERYWHERE.contains(errno);
        if !is_known && !function.others {
            missing.push(format!("{errno} is not documented"));
        }
    }
    for errno in &function.documented {
        let is_left_out =
            BY_CHANCE.contains(errno) || NEVER_SEEN.contains(&(function.name, *errno));
        if !is_left_out && !told.contains(errno) {
            missing.push(format!("{errno} is never seen"));
        }
    }
    missing
}

/// Fields of structures that are handed in, for which no wrong value is tried.
fn unchecked_fields() -> Vec<String> {
    let sources: String = WRONG
        .iter()
        .map(|name| std::fs::read_to_string(Path::new(C).join(name)).unwrap())
        .collect();
    let tried: BTreeSet<String> = sources
        .split("WRONG_FIELD(")
        .skip(1)
        .filter_map(|text| {
            let mut words = text.split(',').map(str::trim).skip(1);
            let (of, _, field) = (words.next()?, words.next()?, words.next()?);
            Some(format!("{of}.{}", field.split('[').next()?))
        })
        .collect();
    let mut missing = Vec::new();
    for text in HEADER.split("typedef struct {").skip(1) {
        let (fields, rest) = text.split_once("\n} ").unwrap();
        let name = rest.split_once(';').unwrap().0;
        let is_input =
            HEADER.contains(&format!("const {name} *")) && fields.contains("struct_size");
        let is_field = |line: &&str| line.ends_with(';') && !line.trim().starts_with("//");
        let lines = fields.lines().filter(is_field);
        for field in lines.filter_map(|line| parameter(line.trim_end_matches(';'))) {
            let field = format!("{name}.{}", field.1.split('[').next().unwrap());
            let is_any = field.ends_with(".struct_size") || ANY_VALUE.contains(&field.as_str());
            if is_input && !is_any && !tried.contains(&field) {
                missing.push(format!("{field}: no wrong value is tried"));
            }
        }
    }
    missing
}
