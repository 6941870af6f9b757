//! One file per command that speaks to a running instance.

mod apps;
mod archives;
mod audit;
mod backups;
mod bans;
mod budget;
mod dns;
mod dock_url;
mod fleet;
mod jobs;
mod keys;
mod nodes;
mod placement;
mod plans;
mod relay;
mod sessions;
mod status;
mod streams;
mod users;
mod webhooks;

use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::cli::{Cli, Command};
use crate::{print, up};

/// Does what the command line says.
///
/// # Errors
/// Whatever the command could not do, in words that say what to do about it.
pub fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up(arguments) => return up::run(arguments),
        Command::Status(target) => return status::run(target),
        Command::Relay(command) => relay::run(command)?,
        Command::Sessions(command) => sessions::run(command)?,
        Command::Webhooks(command) => webhooks::run(command)?,
        Command::Streams(command) => streams::run(command)?,
        Command::Nodes(command) => nodes::run(command)?,
        Command::Fleet(command) => fleet::run(command)?,
        Command::Keys(command) => keys::run(command)?,
        Command::Plans(command) => plans::run(command)?,
        Command::Dns(command) => dns::run(command)?,
        Command::Bans(command) => bans::run(command)?,
        Command::Audit {
            action,
            subject,
            before,
            limit,
            target,
        } => audit::run(
            &audit::Filter {
                action: action.as_deref(),
                subject: subject.as_deref(),
                before: *before,
                limit: *limit,
            },
            target,
        )?,
        Command::Jobs(command) => jobs::run(command)?,
        Command::Apps(command) => apps::run(command)?,
        Command::Archives(command) => archives::run(command)?,
        Command::Backup(command) => backups::make(command)?,
        Command::Restore(command) => backups::restore(command)?,
        Command::VerifyBackup(command) => backups::verify(command)?,
        Command::Backups(command) => backups::look(command)?,
        Command::Placement(command) => placement::run(command)?,
        Command::Users(command) => users::run(command)?,
        Command::DockUrl { origin, target } => dock_url::run(origin.as_deref(), target)?,
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "streamhaul", &mut script);
            print::bytes(&script);
        }
    }
    Ok(ExitCode::SUCCESS)
}
