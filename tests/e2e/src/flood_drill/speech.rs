//! What a flood says.

use srtla::packet::{self, ConnectionInfo, ID_LEN};
use testkit::random::Random;

use crate::flood;

/// Whose packets a flood is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speech {
    /// Callers': requests for cookies, and conclusions whose cookies are made up.
    Srt,
    /// Links' of groups that are not there, and what only receivers say.
    Srtla,
}

impl Speech {
    /// What one of them is called in a report, in the plural.
    pub(super) const fn noun(self) -> &'static str {
        match self {
            Self::Srt => "handshakes",
            Self::Srtla => "datagrams",
        }
    }
}

/// Makes one datagram after the other.
#[derive(Debug)]
pub(super) struct Speaker {
    speech: Speech,
    induction: Vec<u8>,
    conclusion: Vec<u8>,
    said: Vec<u8>,
}

/// One SRT datagram in so many is a conclusion.
const CONCLUSION_EVERY: u64 = 10;

impl Speaker {
    pub(super) fn new(speech: Speech) -> Self {
        Self {
            speech,
            induction: flood::induction(),
            conclusion: flood::conclusion(),
            said: Vec::with_capacity(packet::REG_LEN),
        }
    }

    /// The next datagram.
    pub(super) fn next(&mut self, random: &mut Random) -> &[u8] {
        match self.speech {
            Speech::Srt if random.below(CONCLUSION_EVERY) == 0 => {
                flood::set_cookie(&mut self.conclusion, random.bits() as u32);
                &self.conclusion
            }
            Speech::Srt => &self.induction,
            Speech::Srtla => {
                self.said.clear();
                say_srtla(&mut self.said, random);
                &self.said
            }
        }
    }
}

/// Half of it asks for groups: that is what costs a node most.
fn say_srtla(said: &mut Vec<u8>, random: &mut Random) {
    let mut id = [0; ID_LEN];
    random.fill(&mut id);
    match random.below(20) {
        0..10 => said.extend(packet::reg1(&id)),
        10..14 => said.extend(packet::reg2(&id)),
        14 | 15 => said.extend(packet::keepalive()),
        16 | 17 => {
            let claim = ConnectionInfo::default();
            said.extend(packet::keepalive_with_info(random.bits(), &claim));
        }
        18 => said.extend(packet::REG3),
        _ => {
            // A registration that is too short.
            let length = 2 + random.below(ID_LEN as u64) as usize;
            said.extend(&packet::reg2(&id)[..length]);
        }
    }
}

#[cfg(test)]
mod tests {
    use srtla::packet::{Packet, SRTLA_TYPE_REG1};

    use super::*;

    #[test]
    fn half_of_it_asks_for_groups_and_some_is_malformed() {
        let (mut speaker, mut random) = (Speaker::new(Speech::Srtla), Random::new(1));
        let (mut groups, mut malformed) = (0, 0);
        for _ in 0..10_000 {
            match Packet::parse(speaker.next(&mut random)) {
                Ok(Packet::Reg1(_)) => groups += 1,
                Ok(_) => {}
                Err(_) => malformed += 1,
            }
        }
        assert!((4_500..5_500).contains(&groups), "{groups}");
        assert!((300..700).contains(&malformed), "{malformed}");
    }

    #[test]
    fn what_callers_say_is_no_registration() {
        let (mut speaker, mut random) = (Speaker::new(Speech::Srt), Random::new(1));
        for _ in 0..100 {
            let said = speaker.next(&mut random);
            assert_ne!(said[..2], SRTLA_TYPE_REG1.to_be_bytes());
        }
    }
}
