//! What a vGPU does too much of, and what is done about it until its window ends.

use crate::channel::ChannelState;
use crate::engine::{Engine, Step, bit};
use crate::message::Event;
use godwit_types::{
    Abuse, ChannelFault, ChannelId, Gfid, Index, Measure, RunlistId, SwitchCause, VGPU_COUNT,
};

/// What is counted of a vGPU in one window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    /// 0: no window is open.
    end_ns: u64,
    counts: [u32; 4],
    /// Kinds that were too much, by bit.
    over: u8,
    /// Those of them of which the host was not told.
    pub(crate) untold: u8,
    /// Measures that are in force, by bit.
    measures: u8,
    /// The device's count of interrupts when it was looked at last.
    interrupts_seen: Option<u32>,
}

const fn measure_bit(measure: Measure) -> u8 {
    1u8.wrapping_shl(measure as u32)
}

impl Watch {
    pub(crate) const NOTHING: Self =
        Self { end_ns: 0, counts: [0; 4], over: 0, untold: 0, measures: 0, interrupts_seen: None };

    pub(crate) fn is_shortened(&self) -> bool {
        self.measures & measure_bit(Measure::Shorten) != 0
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.measures & measure_bit(Measure::Pause) != 0
    }

    pub(crate) fn is_banned(&self) -> bool {
        self.measures & measure_bit(Measure::Ban) != 0
    }

    fn add(&mut self, abuse: Abuse, count: u32) -> u32 {
        let Some(counted) = self.counts.get_mut(abuse as usize) else { return 0 };
        *counted = counted.saturating_add(count);
        *counted
    }
}

impl Engine {
    /// Counts what a vGPU does. `channel`: which of its channels did it, if it was one.
    pub(crate) fn count(
        &mut self,
        gfid: Gfid,
        abuse: Abuse,
        count: u32,
        channel: Option<ChannelId>,
    ) {
        let limit = self.rules.limits().limit(abuse);
        if limit.count == 0 {
            return;
        }
        if self.vgpus[gfid].watch.end_ns <= self.now_ns {
            self.open_window(gfid);
        }
        let watch = &mut self.vgpus[gfid].watch;
        let once = limit.measure != Measure::Ban && watch.over & abuse.bit() != 0;
        if watch.add(abuse, count) > limit.count && !once {
            self.too_much(gfid, abuse, limit.measure, channel);
        }
    }

    fn open_window(&mut self, gfid: Gfid) {
        self.lift(gfid);
        let window_ns = u64::from(self.rules.limits().window_ms).saturating_mul(1_000_000);
        let end_ns = self.after(window_ns);
        let watch = &mut self.vgpus[gfid].watch;
        let (untold, interrupts_seen) = (watch.untold, watch.interrupts_seen);
        *watch = Watch { end_ns, untold, interrupts_seen, ..Watch::NOTHING };
    }

    #[cold]
    fn too_much(&mut self, gfid: Gfid, abuse: Abuse, measure: Measure, channel: Option<ChannelId>) {
        let watch = &mut self.vgpus[gfid].watch;
        watch.over |= abuse.bit();
        watch.untold |= abuse.bit();
        watch.measures |= measure_bit(measure);
        let end_ns = watch.end_ns;
        match measure {
            Measure::Report | Measure::Shorten => {}
            Measure::Ban => {
                // Its other channels are counted anew.
                if let Some(count) = watch.counts.get_mut(abuse as usize) {
                    *count = 0;
                }
                if let Some(channel) = channel {
                    self.ban(gfid, channel);
                }
            }
            Measure::Pause => {
                for runlist in [RunlistId::COMPUTE, RunlistId::COPY] {
                    self.take_off_vgpu(runlist, gfid);
                }
            }
        }
        self.counted = false;
        self.lift_due_ns = self.lift_due_ns.map(|due_ns| due_ns.min(end_ns)).or(Some(end_ns));
        self.wake(gfid);
    }

    fn take_off_vgpu(&mut self, runlist: RunlistId, gfid: Gfid) {
        let current = *self.runlists[runlist].current;
        if current.is_some_and(|current| current.gfid == gfid) {
            self.take_off(runlist, SwitchCause::Stop);
        }
    }

    /// Stops a channel that is open, on the device, too.
    fn ban(&mut self, gfid: Gfid, channel: ChannelId) {
        if *self.channels[channel].state != ChannelState::Open {
            return;
        }
        self.fail_channel(channel, ChannelFault::Banned);
        let base = self.vgpus[gfid].placement.channel_base;
        if let Some(guest) = channel.to_guest(base) {
            self.bind(gfid, guest);
        }
    }

    /// How many interrupts the device has raised for a vGPU since it came up.
    pub(crate) fn interrupts(&mut self, gfid: Gfid, raised: u32) {
        let seen = self.vgpus[gfid].watch.interrupts_seen.replace(raised);
        let fresh = seen.map_or(0, |seen| raised.wrapping_sub(seen));
        if fresh != 0 {
            self.count(gfid, Abuse::Interrupts, fresh, None);
        }
    }

    /// Begins to count anew, for all.
    pub(crate) fn restart_windows(&mut self) {
        for index in 0..usize::from(VGPU_COUNT) {
            if let Some(gfid) = Gfid::from_index(index) {
                self.open_window(gfid);
                self.vgpus[gfid].watch.end_ns = 0;
            }
        }
        self.lift_due_ns = None;
    }

    /// Ends what was done about a vGPU.
    fn lift(&mut self, gfid: Gfid) {
        let measures = core::mem::take(&mut self.vgpus[gfid].watch.measures);
        self.counted &= measures == 0;
    }

    /// Windows in which measures were taken are over.
    pub(crate) fn lift_due(&mut self) {
        let mut next_ns: Option<u64> = None;
        let mut over = 0;
        for (gfid, vgpu) in self.vgpus.iter() {
            if vgpu.watch.measures == 0 {
                continue;
            }
            if vgpu.watch.end_ns <= self.now_ns {
                over |= bit(gfid);
            } else {
                let end_ns = vgpu.watch.end_ns;
                next_ns = next_ns.map(|ns| ns.min(end_ns)).or(Some(end_ns));
            }
        }
        self.lift_due_ns = next_ns;
        for gfid in crate::engine::each(over) {
            self.lift(gfid);
        }
    }

    /// Tells the host what was too much, as the event queue has room.
    pub(crate) fn step_abuse(&mut self, gfid: Gfid) -> Step {
        for abuse in Abuse::ALL {
            if self.vgpus[gfid].watch.untold & abuse.bit() == 0 {
                continue;
            }
            if !self.has_event_room() {
                return Step::Waits;
            }
            self.vgpus[gfid].watch.untold &= !abuse.bit();
            let measure = self.rules.limits().limit(abuse).measure;
            self.tell(Event::Abuse { gfid, abuse, measure });
        }
        Step::Rests
    }
}
