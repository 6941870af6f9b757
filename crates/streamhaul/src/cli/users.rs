//! People: who has an account, and who may come in.

use clap::Subcommand;

use super::Target;

/// People. A user is named by id, e-mail address or, when nobody else has it, name.
#[derive(Debug, Subcommand)]
pub enum Users {
    /// Lists the users.
    List(Target),
    /// Shows a user.
    Show {
        /// The user's id, e-mail address or name
        user: String,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Makes a user and prints their token, for scripts.
    Create {
        /// What they are called
        name: String,
        /// Where they are reached; they set a password by `users reset-password`
        #[arg(long)]
        email: Option<String>,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Lets somebody make an account: prints the link, and mails it where mail is set up.
    Invite {
        /// Where they are reached
        email: String,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Shuts a user out: their tokens, sign-ins and live streams end at once.
    Disable {
        /// The user's id, e-mail address or name
        user: String,
        /// Lets them in again
        #[arg(long)]
        undo: bool,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Gives a user a role: what they may do with the operator's part of the API.
    Role {
        /// The user's id, e-mail address or name
        user: String,
        /// none; viewer looks; operator acts on nodes, sessions and bans; admin also on
        /// people, keys and roles
        #[arg(value_parser = ["none", "viewer", "operator", "admin"])]
        role: String,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Gives a user a plan.
    Plan {
        /// The user's id, e-mail address or name
        user: String,
        /// Which, as `plans list` shows it; the default one when left out
        plan: Option<String>,
        /// Lets no session begin until the user is given a plan again
        #[arg(long)]
        inactive: bool,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Prints a link by which a user sets a new password, and mails it where mail is set up.
    ResetPassword {
        /// The user's id, e-mail address or name
        user: String,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Lists the browsers, plugins and docks that are signed in as a user.
    Sessions {
        /// The user's id, e-mail address or name
        user: String,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Signs a user's browser, plugin or dock out.
    Revoke {
        /// The user's id, e-mail address or name
        user: String,
        /// Which one, as `users sessions` shows it
        #[arg(required_unless_present = "all")]
        session: Option<String>,
        /// Every one, and their tokens
        #[arg(long, conflicts_with = "session")]
        all: bool,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// The tokens of a user's scripts.
    #[command(subcommand)]
    Token(UserToken),
}

/// The tokens of a user's scripts: good until they are revoked, or for some days.
#[derive(Debug, Subcommand)]
pub enum UserToken {
    /// Lists a user's tokens, without their secrets.
    List {
        /// The user's id, e-mail address or name
        user: String,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Gives a user a further token and prints it, this once.
    New {
        /// The user's id, e-mail address or name
        user: String,
        /// What it is for
        name: String,
        /// For how many days it is good; until it is revoked when this is left out
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=3650))]
        days: Option<u32>,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Revokes a user's token: it opens nothing from now on.
    Revoke {
        /// The user's id, e-mail address or name
        user: String,
        /// Which one, as `users token list` shows it
        #[arg(required_unless_present = "all", value_name = "TOKEN")]
        token_id: Option<String>,
        /// Every one
        #[arg(long, conflicts_with = "token_id")]
        all: bool,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
}
