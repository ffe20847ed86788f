//! The whole program: who calls whom, how deep that goes, and how it ends.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use anyhow::Result;

use super::flow::{self, Call, Code, Facts};
use super::image::Image;
use super::insn::Isa;

/// The call graph of an image.
#[derive(Debug)]
pub(crate) struct Graph<'a> {
    image: &'a Image,
    facts: BTreeMap<u64, Facts>,
}

/// Bytes of stack below some function's start, and by which functions they come about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deepest {
    pub(crate) bytes: u64,
    /// Functions from the outermost to the innermost, with the bytes that each has taken when
    /// it calls the next.
    pub(crate) path: Vec<(u64, u64)>,
}

impl<'a> Graph<'a> {
    /// Follows every function of an image.
    pub(crate) fn build(image: &'a Image) -> Result<Self> {
        let isa = Isa::of(image.architecture)?;
        let mut codes: BTreeMap<u64, Code> = BTreeMap::new();
        for (at, function) in &image.functions {
            codes.insert(*at, flow::decode(function, &isa, image)?);
        }
        // At first no function is taken to return. What returns by that measure does; with
        // these known more may, until there are no more.
        let mut facts: BTreeMap<u64, Facts> = BTreeMap::new();
        loop {
            let known: BTreeSet<u64> =
                facts.iter().filter(|(_, f)| f.returns).map(|(at, _)| *at).collect();
            let returns = |at: u64| known.contains(&at);
            for (at, function) in &image.functions {
                facts.insert(*at, flow::follow(function, &codes[at], &isa, image, &returns));
            }
            if facts.values().filter(|f| f.returns).count() == known.len() {
                return Ok(Self { image, facts });
            }
        }
    }

    /// A function's name.
    pub(crate) fn name(&self, at: u64) -> &str {
        self.image.function_around(at).map_or("code without a name", |f| &f.name)
    }

    /// Functions that can be reached, with the call by which each was found first.
    pub(crate) fn reached(&self, roots: &[u64]) -> BTreeMap<u64, Option<(u64, Call)>> {
        let mut found: BTreeMap<u64, Option<(u64, Call)>> = BTreeMap::new();
        let mut open: VecDeque<u64> = VecDeque::new();
        for root in roots {
            found.insert(*root, None);
            open.push_back(*root);
        }
        while let Some(at) = open.pop_front() {
            for call in self.facts.get(&at).into_iter().flat_map(|f| &f.calls) {
                if let Entry::Vacant(place) = found.entry(call.to) {
                    place.insert(Some((at, *call)));
                    open.push_back(call.to);
                }
            }
        }
        found
    }

    /// All functions that call this one directly: each with the address of its call.
    pub(crate) fn callers(&self, of: u64) -> Vec<(u64, u64)> {
        let each = self.facts.iter().flat_map(|(at, f)| f.calls.iter().map(move |c| (*at, c)));
        each.filter(|(_, call)| call.to == of).map(|(at, call)| (at, call.at)).collect()
    }

    /// What stands in the way of knowing the stack, and traps: a line for each.
    pub(crate) fn problems(&self, roots: &[u64]) -> Vec<String> {
        let mut lines = Vec::new();
        for at in self.reached(roots).keys() {
            let Some(facts) = self.facts.get(at) else {
                lines.push(format!("{at:#x}: no function starts here"));
                continue;
            };
            let name = self.name(*at);
            for (site, what) in &facts.problems {
                lines.push(format!("{name}, {site:#x}: {what}"));
            }
            for site in &facts.traps {
                lines.push(format!("{name}, {site:#x}: a trap instruction can be reached"));
            }
        }
        lines
    }

    /// The most stack that a function and all that it calls take; an error names a recursion.
    pub(crate) fn deepest(&self, root: u64) -> Result<Deepest, String> {
        self.depth_of(root, &mut Vec::new(), &mut HashMap::new())
    }

    /// Bytes of stack that one function at most takes itself.
    pub(crate) fn largest_frame(&self, roots: &[u64]) -> u64 {
        let reached = self.reached(roots);
        reached.keys().filter_map(|at| self.facts.get(at)).map(|f| f.depth).max().unwrap_or(0)
    }

    fn depth_of(
        &self,
        at: u64,
        open: &mut Vec<(u64, u64)>,
        known: &mut HashMap<u64, Deepest>,
    ) -> Result<Deepest, String> {
        if let Some(deepest) = known.get(&at) {
            return Ok(deepest.clone());
        }
        let Some(facts) = self.facts.get(&at) else { return Ok(Deepest::default()) };
        let mut deepest = Deepest { bytes: facts.depth, path: vec![(at, facts.depth)] };
        for call in &facts.calls {
            open.push((at, call.at));
            if let Some(first) = open.iter().position(|(function, _)| *function == call.to) {
                return Err(self.recursion(&open[first..]));
            }
            let below = self.depth_of(call.to, open, known)?;
            open.pop();
            if call.depth + below.bytes > deepest.bytes {
                deepest.bytes = call.depth + below.bytes;
                deepest.path = vec![(at, call.depth)];
                deepest.path.extend(below.path);
            }
        }
        known.insert(at, deepest.clone());
        Ok(deepest)
    }

    fn recursion(&self, calls: &[(u64, u64)]) -> String {
        let names: Vec<String> = calls
            .iter()
            .map(|(at, site)| format!("{} (call at {site:#x})", self.name(*at)))
            .collect();
        format!("recursion: {}", names.join(", "))
    }
}
