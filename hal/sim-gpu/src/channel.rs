//! Channel slots, and which of them make up a group.

use godwit_types::{
    CHANNEL_COUNT, ChannelConfig, ChannelFault, ChannelId, Index, RUNLIST_COUNT, RunlistId,
    TSG_CHANNELS_MAX, TsgId,
};

/// A bound slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) config: ChannelConfig,
    /// Why the channel stands still, if it does.
    pub(crate) fault: Option<ChannelFault>,
    /// Which binding this is; no two have the same number.
    pub(crate) binding: u64,
}

/// All slots of the device.
#[derive(Debug)]
pub(crate) struct Channels {
    slots: Vec<Option<Slot>>,
    /// Bound channels of each group, in order, for each runlist.
    groups: Vec<Vec<ChannelId>>,
    bindings: u64,
}

fn group_of(runlist: RunlistId, tsg: TsgId) -> usize {
    runlist.index() * usize::from(CHANNEL_COUNT) + tsg.index()
}

impl Channels {
    pub(crate) fn new() -> Self {
        let count = usize::from(CHANNEL_COUNT);
        Self {
            slots: vec![None; count],
            groups: vec![Vec::new(); usize::from(RUNLIST_COUNT) * count],
            bindings: 0,
        }
    }

    pub(crate) fn get(&self, id: ChannelId) -> Option<&Slot> {
        self.slots[id.index()].as_ref()
    }

    /// Changes whenever a slot is bound or unbound.
    pub(crate) fn bindings(&self) -> u64 {
        self.bindings
    }

    /// Binds a slot anew, to nothing for `None`. An earlier fault is
    /// forgotten, and that of the binding itself taken on.
    pub(crate) fn bind(&mut self, id: ChannelId, config: Option<ChannelConfig>) {
        if let Some(old) = self.slots[id.index()].take() {
            self.groups[group_of(old.config.runlist, old.config.tsg)].retain(|other| *other != id);
        }
        self.bindings += 1;
        let Some(config) = config else { return };
        let fault = config.fault;
        self.slots[id.index()] = Some(Slot { config, fault, binding: self.bindings });
        let group = &mut self.groups[group_of(config.runlist, config.tsg)];
        let place = group.partition_point(|other| *other < id);
        group.insert(place, id);
    }

    pub(crate) fn set_fault(&mut self, id: ChannelId, fault: ChannelFault) {
        if let Some(slot) = &mut self.slots[id.index()] {
            slot.fault = Some(fault);
        }
    }

    /// Channels of a group that may run, at most as many as a group may have.
    pub(crate) fn runnable(&self, runlist: RunlistId, tsg: TsgId) -> Vec<ChannelId> {
        self.groups[group_of(runlist, tsg)]
            .iter()
            .take(usize::from(TSG_CHANNELS_MAX))
            .filter(|id| self.get(**id).is_some_and(|slot| slot.fault.is_none()))
            .copied()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use godwit_types::{Gfid, GuestChannelId, RingConfig};

    fn config(tsg: u16, runlist: RunlistId) -> ChannelConfig {
        ChannelConfig {
            gfid: Gfid::new(1).unwrap(),
            guest: GuestChannelId::new(0).unwrap(),
            tsg: TsgId::new(tsg).unwrap(),
            runlist,
            ring: RingConfig::unplaced(0, 4).unwrap(),
            context_at: 0,
            context_bytes: 4096,
            grace: 0,
            fault: None,
        }
    }

    #[test]
    fn a_group_is_what_is_bound_to_it_now() {
        let mut channels = Channels::new();
        let id = |raw| ChannelId::new(raw).unwrap();
        let group = TsgId::new(3).unwrap();
        for raw in [9, 2, 5] {
            channels.bind(id(raw), Some(config(3, RunlistId::COMPUTE)));
        }
        channels.bind(id(4), Some(config(3, RunlistId::COPY)));
        channels.bind(id(5), Some(config(4, RunlistId::COMPUTE)));
        assert_eq!(channels.runnable(RunlistId::COMPUTE, group), [id(2), id(9)]);
        channels.set_fault(id(2), ChannelFault::BadEntry);
        assert_eq!(channels.runnable(RunlistId::COMPUTE, group), [id(9)]);
        channels.bind(id(2), Some(config(3, RunlistId::COMPUTE)));
        channels.bind(id(9), None);
        assert_eq!(channels.runnable(RunlistId::COMPUTE, group), [id(2)]);
    }

    #[test]
    fn a_group_has_no_more_channels_than_an_engine_takes() {
        let mut channels = Channels::new();
        for raw in 0..200 {
            channels.bind(ChannelId::new(raw).unwrap(), Some(config(3, RunlistId::COMPUTE)));
        }
        let members = channels.runnable(RunlistId::COMPUTE, TsgId::new(3).unwrap());
        assert_eq!(members.len(), usize::from(TSG_CHANNELS_MAX));
    }
}
