//! A source whose own firmware is gone for good.

use super::{Phase, Site, Source};
use crate::source::kept::Kept;

impl Source {
    /// Firmware that is gone for good answers nothing, so that what is undone would be waited for
    /// without end. What is committed is the destination's, whatever has become of it here.
    pub(super) fn check_lost(&mut self, site: &mut Site<'_>) {
        let Some(lost) = site.host.lost_for_good() else { return };
        let lost = lost.to_string();
        self.abort(site, &lost);
        if let Phase::Releasing(_) = self.phase {
            // What it had nobody has.
            site.host.forget(self.gfid());
            return self.over(Phase::Moved);
        }
        let Phase::Undoing(why) = &self.phase else { return };
        let mut why = if *why == lost { lost } else { format!("{why}; {lost}") };
        // A state that was given back is all that there is of the vGPU.
        if let Some(path) = self.kept.as_ref().and_then(Kept::whole) {
            why = format!("{why}; its state is in {}", path.display());
            self.kept = None;
        }
        self.over(Phase::Undone(why));
    }
}
