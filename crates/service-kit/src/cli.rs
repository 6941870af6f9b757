//! The command line every service binary has.

use std::path::PathBuf;

use clap::Parser;

/// Settings come from the defaults, then the file, then the environment.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Arguments {
    /// A TOML file with settings; the environment overrides it.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Print the resulting configuration, secrets redacted, and exit.
    #[arg(long)]
    pub(crate) print_config: bool,

    /// Check the configuration and exit.
    #[arg(long)]
    pub(crate) check_config: bool,

    /// Ask the running service whether it is ready; exits with 0 when it is.
    #[arg(long)]
    pub(crate) healthcheck: bool,
}

impl Arguments {
    /// Parses the process's arguments; help, version and mistakes end the process.
    pub(crate) fn of_process(service: &'static str) -> Self {
        let prefix = crate::config::environment_prefix(service);
        let help =
            format!("Every setting can be given as {prefix}SECTION__KEY in the environment.");
        let command = <Self as clap::CommandFactory>::command()
            .name(format!("streamhaul-{service}"))
            .after_help(help);
        <Self as clap::FromArgMatches>::from_arg_matches(&command.get_matches())
            .unwrap_or_else(|error| error.exit())
    }
}
