//! How a stream behaves on its node, as its owner sets it. What is not set is
//! left to the node's configuration.

use crate::words::words;

words! {
    /// What players see when a publisher returns to a stream that was on hold.
    pub enum Resume {
        /// The stream continues: sequence numbers and time go on after the gap.
        Hold = "hold",
        /// Players are disconnected at the takeover, so that they connect again
        /// and their decoders start afresh.
        Cut = "cut",
    }
}

words! {
    /// When a packet goes on to the players.
    pub enum Delivery {
        /// On arrival: the player's own buffer puts it in order.
        PassThrough = "pass_through",
        /// In order, after the publisher's full latency (TSBPD,
        /// draft-sharabayko-srt-01 section 4.5), for players that need it.
        Buffered = "buffered",
    }
}

words! {
    /// Where a joining player starts.
    pub enum Start {
        /// At the newest packet.
        Newest = "newest",
        /// At the last place from which a decoder can begin, when the node
        /// still has it.
        Keyframe = "keyframe",
    }
}

words! {
    /// Whether callers encrypt with the stream's passphrase
    /// (draft-sharabayko-srt-01 section 6).
    pub enum Encryption {
        /// Nobody does: a caller with key material is refused, as a libsrt
        /// listener without a passphrase refuses it.
        Off = "off",
        /// Callers with the right passphrase and clear callers are let in.
        Optional = "optional",
        /// Everybody must: a clear caller is refused, as a libsrt listener with
        /// a passphrase and enforced encryption refuses it.
        Required = "required",
    }
}
