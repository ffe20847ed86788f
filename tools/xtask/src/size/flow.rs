//! One function: how deep it takes the stack, what it calls, and how it ends.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use anyhow::Result;

use super::image::{Function, Image};
use super::insn::{Flow, Goal, Insn, Isa};
use super::value::{State, Value};

/// A call, or a jump to another function that returns in this one's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Call {
    pub(crate) at: u64,
    pub(crate) to: u64,
    /// Bytes of stack that are taken at that moment.
    pub(crate) depth: u64,
}

/// What a function does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Bytes of stack that it takes itself.
    pub(crate) depth: u64,
    pub(crate) calls: BTreeSet<Call>,
    pub(crate) returns: bool,
    /// Instructions that trap and can be reached.
    pub(crate) traps: BTreeSet<u64>,
    /// What cannot be followed: where, and what.
    pub(crate) problems: BTreeSet<(u64, &'static str)>,
}

/// A function's instructions by their addresses.
pub(crate) type Code = BTreeMap<u64, Insn>;

/// Decodes a function.
pub(crate) fn decode(function: &Function, isa: &Isa, image: &Image) -> Result<Code> {
    let mut code = Code::new();
    for (at, bytes) in image.code(function) {
        code.extend(isa.decode(&bytes, at)?.into_iter().map(|insn| (insn.at, insn)));
    }
    Ok(code)
}

/// Follows a function's code on every path. `returns` says of other functions whether they do.
pub(crate) fn follow(
    function: &Function,
    code: &Code,
    isa: &Isa,
    image: &Image,
    returns: &dyn Fn(u64) -> bool,
) -> Facts {
    let mut walk = Walk { function, code, isa, image, returns, facts: Facts::default() };
    let start: Place = (function.at, None);
    let mut states = HashMap::from([(start, State::start(isa))]);
    let mut open = VecDeque::from([start]);
    while let Some(place) = open.pop_front() {
        let Some(state) = states.get(&place).cloned() else { continue };
        for (next, state) in walk.step(place, state) {
            match states.get_mut(&next) {
                None => {
                    states.insert(next, state);
                    open.push_back(next);
                }
                Some(known) => {
                    if known.join(&state) {
                        open.push_back(next);
                    }
                }
            }
        }
    }
    // Only what holds when every path was joined is a fact.
    walk.facts = Facts::default();
    for (place, state) in states {
        walk.step(place, state);
    }
    walk.facts
}

/// An instruction, and a condition that is known to hold before it.
type Place = (u64, Option<u8>);

struct Walk<'a> {
    function: &'a Function,
    code: &'a Code,
    isa: &'a Isa,
    image: &'a Image,
    returns: &'a dyn Fn(u64) -> bool,
    facts: Facts,
}

impl Walk<'_> {
    /// Does one instruction, if its condition may hold, and leaves it out, if it may not; the
    /// places where that goes on.
    fn step(&mut self, (at, holds): Place, before: State) -> Vec<(Place, State)> {
        let Some(insn) = self.code.get(&at) else {
            self.problem(at, "no instruction can be read here");
            return Vec::new();
        };
        let next = insn.at + insn.len;
        let mut on = Vec::new();
        let (mut done, mut skipped) = (insn.condition, None);
        if let Some(condition) = insn.condition {
            skipped = Some(condition ^ 1);
            if holds == skipped {
                done = None;
            } else if holds == done {
                skipped = None;
            }
        }
        if let Some(condition) = skipped {
            on.push((next, Some(condition), before.clone()));
        }
        if insn.condition.is_none() || done.is_some() {
            if insn.sets.iter().any(|(reg, _)| Some(*reg) == self.isa.flags) {
                done = None;
            }
            let went = self.execute(insn, before);
            on.extend(went.into_iter().map(|(to, state)| (to, done, state)));
        }
        let inside = on.into_iter().filter_map(|(to, holds, state)| {
            let (to, state) = self.stays(at, to, state)?;
            // Only what is conditional itself depends on what holds.
            let depends = self.code.get(&to).is_some_and(|insn| insn.condition.is_some());
            Some(((to, holds.filter(|_| depends)), state))
        });
        inside.collect()
    }

    fn execute(&mut self, insn: &Insn, before: State) -> Vec<(u64, State)> {
        let (at, next) = (insn.at, insn.at + insn.len);
        let mut after = self.applied(insn, &before);
        self.measure(at, &after);
        match insn.flow {
            Flow::Next => vec![(next, after)],
            Flow::Branch(to) => vec![(next, after.clone()), (to, after)],
            Flow::Return => {
                self.facts.returns = true;
                Vec::new()
            }
            Flow::Trap => {
                self.facts.traps.insert(at);
                Vec::new()
            }
            Flow::Jump(goal) => self.jump(at, goal, &before, after),
            Flow::Call(goal) => {
                if !self.call(at, goal, &before, &after) {
                    return Vec::new();
                }
                after.called(self.isa);
                vec![(next, after)]
            }
        }
    }

    fn applied(&self, insn: &Insn, before: &State) -> State {
        let mut after = before.clone();
        for (reg, expr) in &insn.sets {
            after.set(*reg, before.value(*expr, self.isa, self.image));
        }
        if let Some(store) = insn.store {
            after.store(store, self.isa, self.image);
        }
        // A stack pointer that is set to an address begins a stack: the start-up code's.
        if let Some(Value::Known(_)) = after.get(self.isa.sp) {
            after.set(self.isa.sp, Some(Value::Stack(0)));
        }
        after
    }

    fn measure(&mut self, at: u64, after: &State) {
        match after.get(self.isa.sp) {
            Some(Value::Stack(sp)) => {
                self.facts.depth = self.facts.depth.max(u64::try_from(-sp).unwrap_or(0));
            }
            _ => self.problem(at, "the stack pointer cannot be followed"),
        }
    }

    fn problem(&mut self, at: u64, what: &'static str) {
        self.facts.problems.insert((at, what));
    }

    /// A place in this function; what lies outside is a function that ends this one.
    fn stays(&mut self, at: u64, to: u64, state: State) -> Option<(u64, State)> {
        if (self.function.at..self.function.end).contains(&to) {
            return Some((to, state));
        }
        self.enter(at, to, &state);
        None
    }

    /// Goes to another function, which returns in this one's place.
    fn enter(&mut self, at: u64, to: u64, state: &State) {
        self.note(at, to, state);
        self.facts.returns |= (self.returns)(to);
    }

    fn note(&mut self, at: u64, to: u64, state: &State) {
        if !self.image.functions.contains_key(&to) {
            self.problem(at, "it goes to where no function starts");
            return;
        }
        let depth = match state.get(self.isa.sp) {
            Some(Value::Stack(sp)) => u64::try_from(-sp).unwrap_or(0),
            _ => 0, // a problem already
        };
        self.facts.calls.insert(Call { at, to, depth });
    }

    fn jump(&mut self, at: u64, goal: Goal, before: &State, after: State) -> Vec<(u64, State)> {
        let targets = match goal {
            Goal::At(to) => vec![to],
            Goal::Offsets { origin, width } => self.offsets(origin, width),
            Goal::Register(reg, plus) => match before.get(reg) {
                Some(Value::Known(to)) => vec![self.isa.address(to.wrapping_add_signed(plus))],
                Some(Value::Entry { table, width }) if plus == 0 => {
                    let targets = self.labels(table, width, 0);
                    if targets.is_empty() { self.functions(table, width) } else { targets }
                }
                Some(Value::Relative { table, width }) if plus == 0 => {
                    self.labels(table, width, table)
                }
                Some(Value::Indexed(first)) if plus == 0 => self.branches(first),
                Some(Value::Return) if plus == 0 => {
                    self.facts.returns = true;
                    return Vec::new();
                }
                _ => Vec::new(),
            },
        };
        if targets.is_empty() {
            self.problem(at, "it jumps to where nothing says");
        }
        targets.into_iter().map(|to| (to, after.clone())).collect()
    }

    /// Notes a call; whether it may return.
    fn call(&mut self, at: u64, goal: Goal, before: &State, after: &State) -> bool {
        let targets = match goal {
            Goal::At(to) => vec![to],
            Goal::Offsets { .. } => Vec::new(),
            Goal::Register(reg, plus) => match before.get(reg) {
                Some(Value::Known(to)) => vec![self.isa.address(to.wrapping_add_signed(plus))],
                Some(Value::Entry { table, width }) if plus == 0 => self.functions(table, width),
                _ => Vec::new(),
            },
        };
        if targets.is_empty() {
            self.problem(at, "it calls what nothing says");
            return true;
        }
        for to in &targets {
            self.note(at, *to, after);
        }
        targets.into_iter().any(|to| (self.returns)(to))
    }

    /// A jump table of addresses, or of offsets from `base`: as long as entries are places in
    /// this function. A table of another kind that follows could only add places to go.
    fn labels(&self, table: u64, width: u8, base: u64) -> Vec<u64> {
        let mut targets = Vec::new();
        for index in 0.. {
            let at = table + index * u64::from(width);
            let Some(word) = self.image.constant(at, width) else { break };
            let word = if width == 4 && base != 0 { i64::from(word as i32) as u64 } else { word };
            let to = self.isa.address(base.wrapping_add(word));
            if to == self.function.at || !self.code.contains_key(&to) {
                break;
            }
            targets.push(to);
        }
        targets
    }

    /// A run of jumps, into which a jump goes: as long as they are of one length.
    fn branches(&self, first: u64) -> Vec<u64> {
        let Some(len) = self.code.get(&first).map(|insn| insn.len) else { return Vec::new() };
        let is_jump = |at: &u64| {
            self.code.get(at).is_some_and(|insn| {
                insn.len == len
                    && insn.condition.is_none()
                    && matches!(insn.flow, Flow::Jump(Goal::At(_)))
            })
        };
        (0..).map(|index| first + index * len).take_while(is_jump).collect()
    }

    /// A named table of functions: all of it from `table` on, empty entries left out.
    fn functions(&self, table: u64, width: u8) -> Vec<u64> {
        let Some(end) = self.image.object_end(table) else { return Vec::new() };
        let step = usize::from(width.max(1));
        let words = (table..end).step_by(step).filter_map(|at| self.image.constant(at, width));
        let targets: Vec<u64> =
            words.filter(|word| *word != 0).map(|word| self.isa.address(word)).collect();
        let all = targets.iter().all(|to| self.image.functions.contains_key(to));
        if all { targets } else { Vec::new() }
    }

    /// A table of offsets forward from `origin`, which is where it starts itself. It ends where
    /// the nearest of its goals begins.
    fn offsets(&self, origin: u64, width: u8) -> Vec<u64> {
        let mut end = self.image.data_end(origin).unwrap_or(origin);
        let mut targets = Vec::new();
        let mut at = origin;
        while at + u64::from(width) <= end {
            let offset = self.image.constant(at, width).unwrap_or(0);
            let to = origin + 2 * offset;
            at += u64::from(width);
            if self.code.contains_key(&to) {
                targets.push(to);
                end = end.min(to);
            } else if at != end || width != 1 || offset != 0 {
                return Vec::new(); // only the byte that makes it even may lead nowhere
            }
        }
        targets
    }
}
