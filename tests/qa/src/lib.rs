//! The checklist of a release: a bonded phone over impaired links, the dock in a
//! headless browser, and what each of them shows of the other.
//!
//! ```text
//! ffmpeg ─▶ SRTLA sender ─▶ linksim, one path a link ─▶ node ─▶ player
//!                                                         │
//!      case: what was done, when  ◀─ compared ─▶  sights of the dock, when
//! ```
//!
//! A [`cases::Case`] does something and keeps an observation of it: times, sights of
//! the dock, files. Judging an observation is pure, so it is tested without a browser.
//! Times are Unix milliseconds of this machine, in the browser too. It refuses to know
//! how a service works: it speaks UDP, HTTP and the dock's page.
//!
//! To add a case, write its file under `cases/` and name it in [`cases::ALL`].
#![allow(clippy::print_stderr, reason = "a run says how it goes on")]

pub mod browser;
pub mod carriers;
pub mod cases;
pub mod clock;
pub mod dock;
pub mod findings;
pub mod instance;
pub mod node_stats;
pub mod phone;
pub mod report;
pub mod run;
mod secrets;
pub mod sight;
pub mod stage;
pub mod timeline;
pub mod url;
