//! What comes out is what went in, or no less than libsrt alone brings across.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use e2e::bonder::Bonder;
use streamhaul_interop::bonded::{BondedCell, BondedLine, Way};
use streamhaul_interop::cell::Program::{Ffmpeg, Moblin, Obs, SrtLiveTransmit};
use streamhaul_interop::cell::{Cell, Encryption, Loss, Program};
use streamhaul_interop::matrix::{self, Plan};

const SEED: u64 = 20_261_121;
const AT_ONCE: usize = 6;

/// A small machine carries one set of cells at a time.
static TURN: Mutex<()> = Mutex::new(());

type Row = (Program, Program, Loss, u64);

#[test]
fn clear_streams_come_through_as_through_libsrt_alone() {
    pass(
        &[Encryption::Clear],
        &[
            (SrtLiveTransmit, SrtLiveTransmit, Loss::None, 120),
            (Obs, Obs, Loss::TwoPercent, 120),
            (Ffmpeg, Ffmpeg, Loss::TwoPercent, 400),
            (Moblin, Obs, Loss::TwoPercent, 400),
            (SrtLiveTransmit, Ffmpeg, Loss::Bursts, 2000),
            (Ffmpeg, SrtLiveTransmit, Loss::Bursts, 2000),
        ],
    );
}

#[test]
fn encrypted_streams_come_through_as_through_libsrt_alone() {
    pass(
        &[Encryption::Aes128, Encryption::Aes256],
        &[
            (Ffmpeg, SrtLiveTransmit, Loss::None, 120),
            (SrtLiveTransmit, Ffmpeg, Loss::None, 120),
            (SrtLiveTransmit, SrtLiveTransmit, Loss::TwoPercent, 400),
            (Obs, Obs, Loss::TwoPercent, 400),
            (SrtLiveTransmit, SrtLiveTransmit, Loss::Bursts, 2000),
            (Ffmpeg, Ffmpeg, Loss::Bursts, 2000),
        ],
    );
}

#[test]
fn a_stream_over_three_links_comes_through_with_loss_and_while_one_is_gone() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let cell = |publisher, way| BondedCell {
        bonder: Bonder::Own,
        publisher,
        way,
    };
    let cells = [cell(Obs, Way::Lossy), cell(Moblin, Way::Outage)];
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let lines = matrix::run_bonded(&cells, AT_ONCE, scratch, SEED).unwrap();
    assert!(lines.iter().all(BondedLine::passes), "{lines:#?}");
}

/// Runs the rows, each with the next encryption in turn.
fn pass(encryptions: &[Encryption], rows: &[Row]) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let cell = |(&(publisher, player, loss, latency_ms), &encryption)| Cell {
        publisher,
        player,
        encryption,
        loss,
        latency: Duration::from_millis(latency_ms),
    };
    let turns = rows.iter().zip(encryptions.iter().cycle());
    let plan = Plan {
        cells: turns.map(cell).collect(),
        at_once: AT_ONCE,
        seed: SEED,
    };
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let report = matrix::run(&plan, scratch).unwrap();
    assert!(report.passes(), "{report}");
}
