//! The command line every service binary has.

use std::path::PathBuf;

use clap::{Arg, Parser};

use crate::config::Flag;

/// Settings come from the defaults, then the file, then the environment, then flags.
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

    /// What the service's own flags set.
    #[arg(skip)]
    pub(crate) settings: Vec<(&'static str, String)>,
}

impl Arguments {
    /// Parses the process's arguments; help, version and mistakes end the process.
    pub(crate) fn of_process(service: &'static str, flags: &'static [Flag]) -> Self {
        let prefix = crate::config::environment_prefix(service);
        let help =
            format!("Every setting can be given as {prefix}SECTION__KEY in the environment.");
        let command = <Self as clap::CommandFactory>::command()
            .name(format!("streamhaul-{service}"))
            .args(flags.iter().map(argument))
            .after_help(help);
        let matches = command.get_matches();
        let arguments = <Self as clap::FromArgMatches>::from_arg_matches(&matches);
        let mut arguments = arguments.unwrap_or_else(|error| error.exit());
        let given = |flag: &Flag| Some((flag.setting, matches.get_one(flag.name).cloned()?));
        arguments.settings = flags.iter().filter_map(given).collect();
        arguments
    }
}

fn argument(flag: &Flag) -> Arg {
    Arg::new(flag.name)
        .long(flag.name)
        .value_name(flag.value)
        .help(flag.help)
}
