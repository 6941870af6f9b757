//! Why packets are dropped, registrations refused and links lost: one word each, and the counts.

use model::reasons;

reasons! {
    /// Why a packet had no effect and no answer.
    pub enum DropReason {
        /// No SRTLA packet of a known type and a possible length.
        Malformed = "malformed",
        /// From an address that is no link's.
        UnknownLink = "unknown_link",
        /// Something that only receivers send.
        NotForReceivers = "not_for_receivers",
    }
}

reasons! {
    /// Why a registration was refused; the sender is told.
    pub enum Refusal {
        /// No group has this id (REG_NGP). Most senders begin by asking with an id of their own.
        UnknownId = "unknown_id",
        /// The source's streams were refused too often (REG_ERR).
        Throttled = "throttled",
        /// The address is a live link's already (REG_ERR).
        AddressTaken = "address_taken",
        /// The group has as many live links as it may (REG_ERR).
        LinksFull = "links_full",
        /// As many groups carry a session as there may be (REG_ERR).
        GroupsFull = "groups_full",
    }
}

reasons! {
    /// Why a link is gone.
    pub enum LinkEnd {
        /// It was silent for too long.
        TimedOut = "timed_out",
        /// Its address registered anew.
        TakenOver = "taken_over",
        /// It was the longest silent one of a full group that got another link.
        Evicted = "evicted",
        /// Its group ended.
        GroupClosed = "group_closed",
    }
}

reasons! {
    /// Why a group is gone.
    pub enum GroupEnd {
        /// All its links were silent for too long.
        TimedOut = "timed_out",
        /// It carried no session and its place was needed.
        Evicted = "evicted",
        /// Its stream was refused.
        Refused = "refused",
        /// Its owner ended it.
        Closed = "closed",
    }
}

/// Counts since the registry was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// REG1 that got an id.
    pub ids_issued: u64,
    /// Groups founded.
    pub groups_opened: u64,
    /// Groups ended, by [`GroupEnd::index`].
    pub groups_ended: [u64; GroupEnd::COUNT],
    /// Links registered.
    pub links_joined: u64,
    /// Links gone, by [`LinkEnd::index`].
    pub links_ended: [u64; LinkEnd::COUNT],
    /// REG2 of links that were registered already.
    pub links_confirmed: u64,
    /// Keepalives answered.
    pub keepalives: u64,
    /// SRTLA acknowledgements made.
    pub acks: u64,
    /// Sources that began to be throttled.
    pub sources_blocked: u64,
    /// Registrations refused, by [`Refusal::index`].
    pub refused: [u64; Refusal::COUNT],
    /// Packets without effect, by [`DropReason::index`].
    pub dropped: [u64; DropReason::COUNT],
}

impl std::ops::AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        self.ids_issued += other.ids_issued;
        self.groups_opened += other.groups_opened;
        add(&mut self.groups_ended, other.groups_ended);
        self.links_joined += other.links_joined;
        add(&mut self.links_ended, other.links_ended);
        self.links_confirmed += other.links_confirmed;
        self.keepalives += other.keepalives;
        self.acks += other.acks;
        self.sources_blocked += other.sources_blocked;
        add(&mut self.refused, other.refused);
        add(&mut self.dropped, other.dropped);
    }
}

fn add<const N: usize>(counts: &mut [u64; N], more: [u64; N]) {
    for (count, more) in counts.iter_mut().zip(more) {
        *count += more;
    }
}
