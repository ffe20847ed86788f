//! States that change in one place, which tells of each change.

use core::ops::Deref;

/// A change of state, as the log has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Transition<Of, Name> {
    pub(crate) of: Of,
    pub(crate) from: Name,
    pub(crate) to: Name,
}

#[cfg(feature = "defmt")]
impl<Of: defmt::Format, Name: defmt::Format> defmt::Format for Transition<Of, Name> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{}: {} -> {}", self.of, self.from, self.to);
    }
}

/// A state with a name.
pub(crate) trait State {
    /// What is in this state.
    type Of;
    /// The state without what is only true of one time in it.
    type Name: PartialEq;

    fn name(&self) -> Self::Name;

    /// Tells of a change, in the module of the state and at its level.
    fn tell(transition: &Transition<Self::Of, Self::Name>);
}

/// The state of something. It can be read like the state itself, and changes only by
/// [`Self::enter`].
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(crate) struct Now<S>(S);

impl<S> Now<S> {
    /// The state of something that is new, of which nothing is told.
    pub(crate) const fn new(state: S) -> Self {
        Self(state)
    }

    /// What is true in this state; the state itself does not change by it.
    pub(crate) fn facts(&mut self) -> &mut S {
        &mut self.0
    }
}

impl<S: State> Now<S> {
    /// Changes the state of `of`.
    pub(crate) fn enter(&mut self, of: S::Of, state: S) {
        self.enter_here(of, state);
    }

    /// The same, for the few places where a call costs too much.
    #[inline(always)]
    pub(crate) fn enter_here(&mut self, of: S::Of, state: S) {
        let (from, to) = (self.0.name(), state.name());
        self.0 = state;
        if from != to {
            S::tell(&Transition { of, from, to });
        }
    }
}

impl<S> Deref for Now<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.0
    }
}
