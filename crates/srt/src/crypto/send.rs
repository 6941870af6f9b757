//! The keys of a sender, and when it changes them.

use std::time::{Duration, Instant};

use crate::crypto::{KEY_MAX, Kek, KeyLength, KeyMaterial, Parity, PayloadCipher, Sek, SekPair};
use crate::seq::Seq;

/// An announcement is not repeated sooner than this.
const REPEAT_MIN: Duration = Duration::from_millis(100);
/// Beyond so many packets a key is left even if the receiver has not confirmed the next one: another
/// 2^30 packets later sequence numbers come again, and with them the key stream.
const PACKETS_MAX: u64 = 1 << 30;

/// How many packets a key encrypts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshAfter {
    /// Packets after which the next key is used (libsrt's `SRTO_KMREFRESHRATE`).
    pub packets: u64,
    /// So many packets before that, the next key is announced (`SRTO_KMPREANNOUNCE`).
    pub announced_before: u64,
}

impl Default for RefreshAfter {
    /// libsrt's: 2^24 and 2^12.
    fn default() -> Self {
        Self {
            packets: 1 << 24,
            announced_before: 1 << 12,
        }
    }
}

/// What a sender encrypts with.
///
/// The next key is used once the receiver has confirmed it and the present one has served its time, so
/// a receiver that answers can always decrypt: whatever is sent, sent again or overtaken, both keys
/// are there.
#[derive(Debug)]
pub struct SendKeys {
    kek: Kek,
    seks: SekPair,
    ciphers: [Option<PayloadCipher>; 2],
    parity: Parity,
    /// Packets encrypted with the present key.
    packets: u64,
    refresh: RefreshAfter,
    announcement: Option<Announcement>,
}

/// The next key, on its way.
#[derive(Debug)]
struct Announcement {
    message: KeyMaterial,
    /// Not sent yet when `None`.
    repeat_at: Option<Instant>,
    is_confirmed: bool,
}

impl SendKeys {
    /// Starts with the keys of the handshake, wrapped with `kek`: the even one, if it is there.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn new(kek: Kek, seks: SekPair, refresh: RefreshAfter) -> Self {
        let parity = match (&seks.even, &seks.odd) {
            (Some(_), _) => Parity::Even,
            (None, Some(_)) => Parity::Odd,
            (None, None) => panic!("a handshake with key material brings a key"),
        };
        let cipher = |parity| {
            let sek = seks.sek(parity)?;
            Some(PayloadCipher::new(sek, kek.salt()))
        };
        Self {
            ciphers: [cipher(Parity::Even), cipher(Parity::Odd)],
            kek,
            seks,
            parity,
            packets: 0,
            refresh,
            announcement: None,
        }
    }

    /// Encrypts the payload of packet `seq` where it lies; says with which key.
    pub fn encrypt(&mut self, seq: Seq, payload: &mut [u8]) -> Parity {
        if self.is_switch_due() {
            self.parity = self.parity.other();
            self.packets = 0;
            self.announcement = None;
        }
        self.packets += 1;
        let cipher = self.ciphers[self.parity.index()].as_ref();
        cipher.expect("the key in use is there").apply(seq, payload);
        self.parity
    }

    fn is_switch_due(&self) -> bool {
        self.announcement.as_ref().is_some_and(|announcement| {
            self.packets >= PACKETS_MAX
                || self.packets >= self.refresh.packets && announcement.is_confirmed
        })
    }

    /// The length of the next key when it is time to [`announce`](Self::announce) it.
    pub fn wants_key(&self) -> Option<KeyLength> {
        let after = self
            .refresh
            .packets
            .saturating_sub(self.refresh.announced_before);
        (self.announcement.is_none() && self.packets >= after.max(1)).then(|| self.kek.length())
    }

    /// Takes the next key, which nobody must be able to guess, and starts to announce it.
    pub fn announce(&mut self, key: &[u8; KEY_MAX]) {
        let next = self.parity.other();
        let sek = Sek::new(self.kek.length(), key);
        self.ciphers[next.index()] = Some(PayloadCipher::new(&sek, self.kek.salt()));
        self.seks.set(next, sek);
        self.announcement = Some(Announcement {
            message: self.kek.wrap(&self.seks),
            repeat_at: None,
            is_confirmed: false,
        });
    }

    /// Lends the key material that is to be sent now: an announcement is repeated after one and a half
    /// round trips, as libsrt does, until it is confirmed.
    pub fn poll_announcement(
        &mut self,
        now: Instant,
        round_trip: Duration,
    ) -> Option<&KeyMaterial> {
        let announcement = self.announcement.as_mut()?;
        if announcement.is_confirmed || announcement.repeat_at.is_some_and(|at| now < at) {
            return None;
        }
        announcement.repeat_at = Some(now + (round_trip + round_trip / 2).max(REPEAT_MIN));
        Some(&announcement.message)
    }

    /// When [`poll_announcement`](Self::poll_announcement) has something to send again; `None` when
    /// nothing waits for an answer.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let announcement = self.announcement.as_ref()?;
        announcement
            .repeat_at
            .filter(|_| !announcement.is_confirmed)
    }

    /// Takes the receiver's answer to an announcement; whether it confirms the present one.
    pub fn handle_answer(&mut self, answer: &[u8]) -> bool {
        let Some(announcement) = &mut self.announcement else {
            return false;
        };
        announcement.is_confirmed |= announcement.message.as_bytes() == answer;
        announcement.is_confirmed
    }
}
