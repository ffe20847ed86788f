//! What an image's ELF file says of itself.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use object::{
    Architecture, File, Object, ObjectSection, ObjectSymbol, SectionFlags, SectionKind, SymbolKind,
    elf,
};

/// Sections that take what RAM is left: no budget of their own.
const REST: [&str; 2] = [".heap", ".stack"];

/// An image, read.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) architecture: Architecture,
    /// Where the core starts, if the file says so.
    pub(crate) entry: u64,
    pub(crate) functions: BTreeMap<u64, Function>,
    /// Bytes that are loaded: code, constants, and what variables start with.
    pub(crate) flash_bytes: u64,
    /// Bytes of all variables.
    pub(crate) ram_bytes: u64,
    /// End of all variables.
    pub(crate) ram_end: u64,
    pub(crate) names: Vec<(String, u64)>,
    constants: Vec<(u64, Vec<u8>)>,
    /// Sized data symbols.
    objects: BTreeMap<u64, u64>,
    /// What lies between code: first byte and end.
    data: Vec<(u64, u64)>,
}

/// A run of code with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) at: u64,
    pub(crate) end: u64,
    pub(crate) bytes: Vec<u8>,
}

impl Image {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let file = File::parse(bytes).context("this is no ELF file")?;
        let architecture = file.architecture();
        let mask = if architecture == Architecture::Arm { !1 } else { !0 };
        let mut image = Self {
            architecture,
            entry: file.entry() & mask,
            functions: BTreeMap::new(),
            flash_bytes: 0,
            ram_bytes: 0,
            ram_end: 0,
            names: Vec::new(),
            constants: Vec::new(),
            objects: BTreeMap::new(),
            data: Vec::new(),
        };
        let symbols: Vec<Symbol> = file.symbols().filter_map(|s| Symbol::of(&s, mask)).collect();
        for section in file.sections() {
            image.add_section(&section, &symbols)?;
        }
        for symbol in symbols {
            if symbol.kind == SymbolKind::Data && symbol.size > 0 {
                image.objects.insert(symbol.at, symbol.size);
            }
            if !symbol.is_local_label() {
                image.names.push((symbol.name, symbol.raw));
            }
        }
        Ok(image)
    }

    fn add_section(&mut self, section: &object::Section<'_, '_>, symbols: &[Symbol]) -> Result<()> {
        let SectionFlags::Elf { sh_flags, .. } = section.flags() else { return Ok(()) };
        let has = |flag: elf::SectionFlags| sh_flags.0 & flag.0 != 0;
        let name = section.name()?;
        if !has(elf::SHF_ALLOC) || section.size() == 0 || REST.contains(&name) {
            return Ok(());
        }
        let (at, end) = (section.address(), section.address() + section.size());
        if section.kind() != SectionKind::UninitializedData {
            self.flash_bytes += section.size();
        }
        if has(elf::SHF_WRITE) {
            self.ram_bytes += section.size();
            self.ram_end = self.ram_end.max(end);
            return Ok(());
        }
        let bytes = section.data()?;
        self.constants.push((at, bytes.to_vec()));
        if has(elf::SHF_EXECINSTR) {
            let here: Vec<&Symbol> = symbols.iter().filter(|s| (at..end).contains(&s.at)).collect();
            self.data.extend(data_ranges(&here, end));
            for (name, from, to) in code_ranges(name, &here, at, end) {
                let code = bytes[(from - at) as usize..(to - at) as usize].to_vec();
                self.functions.insert(from, Function { name, at: from, end: to, bytes: code });
            }
        }
        Ok(())
    }

    /// A little-endian word that nothing can change.
    pub(crate) fn constant(&self, at: u64, width: u8) -> Option<u64> {
        let (start, bytes) = self.constants.iter().find(|(start, bytes)| {
            at >= *start && at.saturating_add(u64::from(width)) <= start + bytes.len() as u64
        })?;
        let from = (at - start) as usize;
        let word = bytes.get(from..from + usize::from(width))?;
        Some(word.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    /// The end of the named piece of data around an address.
    pub(crate) fn object_end(&self, at: u64) -> Option<u64> {
        let (start, size) = self.objects.range(..=at).next_back()?;
        (at < start + size).then_some(start + size)
    }

    /// The end of the data between code around an address.
    pub(crate) fn data_end(&self, at: u64) -> Option<u64> {
        self.data.iter().find(|(from, to)| (*from..*to).contains(&at)).map(|(_, to)| *to)
    }

    /// Runs of instructions in a function.
    pub(crate) fn code(&self, function: &Function) -> Vec<(u64, Vec<u8>)> {
        let mut runs = Vec::new();
        let mut at = function.at;
        let mut data: Vec<(u64, u64)> = self.data.clone();
        data.retain(|(from, to)| *from < function.end && *to > function.at);
        data.push((function.end, function.end));
        for (from, to) in data {
            if at < from {
                let range = (at - function.at) as usize..(from - function.at) as usize;
                runs.push((at, function.bytes[range].to_vec()));
            }
            at = at.max(to);
        }
        runs
    }

    /// The function at, or around, an address.
    pub(crate) fn function_around(&self, at: u64) -> Option<&Function> {
        self.functions.range(..=at).next_back().map(|(_, f)| f).filter(|f| at < f.end)
    }

    /// Whether an address is that of something constant that is not code.
    pub(crate) fn is_data(&self, at: u64) -> bool {
        self.constant(at, 1).is_some() && !self.is_code(at)
    }

    /// Whether an address lies in code.
    pub(crate) fn is_code(&self, at: u64) -> bool {
        self.function_around(at).is_some()
    }

    /// The value of a symbol.
    pub(crate) fn symbol(&self, name: &str) -> Option<u64> {
        self.names.iter().find(|(known, _)| known == name).map(|(_, at)| *at)
    }
}

/// A symbol, read.
#[derive(Debug)]
struct Symbol {
    name: String,
    raw: u64,
    at: u64,
    size: u64,
    kind: SymbolKind,
}

impl Symbol {
    fn of(symbol: &object::Symbol<'_, '_>, mask: u64) -> Option<Self> {
        let name = symbol.name().ok()?;
        let kind = symbol.kind();
        let raw = symbol.address();
        let at = if kind == SymbolKind::Text { raw & mask } else { raw };
        let name = format!("{:#}", rustc_demangle::demangle(name));
        Some(Self { name, raw, at, size: symbol.size(), kind })
    }

    /// Labels within code, and marks of what is code and what data.
    fn is_local_label(&self) -> bool {
        self.name.is_empty() || self.name.starts_with(".L") || self.name.starts_with('$')
    }
}

/// Data between code, by the marks that assemblers leave.
fn data_ranges(symbols: &[&Symbol], end: u64) -> Vec<(u64, u64)> {
    let mut marks: Vec<(u64, bool)> = symbols
        .iter()
        .filter(|s| ["$d", "$t", "$a", "$x"].iter().any(|mark| s.name.starts_with(mark)))
        .map(|s| (s.at, s.name.starts_with("$d")))
        .collect();
    marks.sort_unstable();
    marks.push((end, false));
    let pairs = marks.windows(2);
    let data = pairs.filter(|pair| pair[0].1 && pair[0].0 < pair[1].0);
    data.map(|pair| (pair[0].0, pair[1].0)).collect()
}

/// Splits all of a section's code: first by functions whose size is known, then, in what is
/// between them, by labels.
fn code_ranges(
    section: &str,
    symbols: &[&Symbol],
    start: u64,
    end: u64,
) -> Vec<(String, u64, u64)> {
    let mut sized: BTreeMap<u64, (&str, u64)> = BTreeMap::new();
    let mut labels: BTreeMap<u64, &str> = BTreeMap::new();
    for symbol in symbols {
        if symbol.kind == SymbolKind::Text && symbol.size > 0 {
            let known = sized.entry(symbol.at).or_insert((&symbol.name, symbol.size));
            if symbol.size > known.1 {
                *known = (&symbol.name, symbol.size);
            }
        } else if !symbol.is_local_label() {
            labels.entry(symbol.at).or_insert(&symbol.name);
        }
    }
    let mut ranges = Vec::new();
    let mut at = start;
    for (from, (name, size)) in sized.into_iter().chain([(end, ("", 0))]) {
        if from < at {
            continue; // within another
        }
        let mut cuts: Vec<u64> = labels.range(at + 1..from.max(at + 1)).map(|(l, _)| *l).collect();
        cuts.push(from);
        for to in cuts {
            if at < to {
                let name =
                    labels.get(&at).map_or_else(|| format!("{section}+{at:#x}"), |l| (*l).into());
                ranges.push((name, at, to));
            }
            at = to;
        }
        if size > 0 {
            ranges.push((name.to_owned(), from, from + size));
            at = from + size;
        }
    }
    ranges
}
