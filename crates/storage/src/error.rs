//! What a caller can do about a failed query.

use sqlx::error::ErrorKind;

/// Why a query failed, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database is away or going away; the same call may work later.
    #[error("the database is away")]
    Unavailable(#[source] sqlx::Error),
    /// The same, because one side does not believe the other's certificate, or wants no TLS.
    #[error("no TLS with the database: {reason}; look at sslmode and sslrootcert in its URL")]
    Tls {
        /// What does not hold.
        reason: String,
    },
    /// Another transaction was in the way; the same transaction may work at once.
    #[error("another transaction was in the way")]
    Contention(#[source] sqlx::Error),
    /// A row like it is there already.
    #[error("already there: {constraint}")]
    Conflict {
        /// The unique constraint that says so.
        constraint: String,
    },
    /// A row holds what the domain has no word for.
    #[error("a row's `{column}` is unknown: {value}")]
    Row {
        /// Which column.
        column: &'static str,
        /// What it holds.
        value: String,
    },
    /// A proxy before the database forgets statements between transactions; its settings must
    /// change.
    #[error(
        "the proxy before the database loses prepared statements: pgbouncer must be 1.21 or \
         newer, with max_prepared_statements above 0"
    )]
    StatementsLost(#[source] sqlx::Error),
    /// A proxy before the database refuses what connections ask for when they begin.
    #[error(
        "a proxy before the database refuses the settings of a connection: give jobs \
         database_proxied=true, and everything else PostgreSQL itself"
    )]
    SettingsRefused(#[source] sqlx::Error),
    /// Somebody has yet to bring the schema up to date.
    #[error("the schema is older than this program: migration {missing} is not applied")]
    Outdated {
        /// The first one that is missing.
        missing: i64,
    },
    /// The schema could not be brought up to date.
    #[error("the migrations failed")]
    Migration(#[source] sqlx::migrate::MigrateError),
    /// Anything else: a defect.
    #[error("the query failed")]
    Query(#[source] sqlx::Error),
}

impl Error {
    /// Whether running the same transaction again can help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_) | Self::Tls { .. } | Self::Contention(_) | Self::Outdated { .. }
        )
    }

    /// Whether what was to be written is to blame: without it the same transaction would work.
    #[must_use]
    pub fn blames_data(&self) -> bool {
        let Self::Query(sqlx::Error::Database(error)) = self else {
            return false;
        };
        is_of_data(&error.code().unwrap_or_default())
    }

    /// Whether the statement ran for as long as it may, and was ended for that.
    #[must_use]
    pub fn took_too_long(&self) -> bool {
        let Self::Unavailable(sqlx::Error::Database(error)) = self else {
            return false;
        };
        error.code().is_some_and(|code| code == QUERY_CANCELED)
    }

    /// Whether the database itself is away.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Tls { .. })
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if let sqlx::Error::Database(database) = &error {
            if database.kind() == ErrorKind::UniqueViolation {
                let constraint = database.constraint().unwrap_or("unnamed").to_owned();
                return Self::Conflict { constraint };
            }
            let code = database.code().unwrap_or_default();
            return match class(&code, database.message()) {
                Class::Unavailable => Self::Unavailable(error),
                Class::Contention => Self::Contention(error),
                Class::StatementsLost => Self::StatementsLost(error),
                Class::SettingsRefused => Self::SettingsRefused(error),
                Class::Defect => Self::Query(error),
            };
        }
        match error {
            sqlx::Error::Tls(reason) => Self::Tls {
                reason: reason.to_string(),
            },
            // What rustls says of a certificate comes as data that is wrong.
            sqlx::Error::Io(reason) if reason.kind() == std::io::ErrorKind::InvalidData => {
                Self::Tls {
                    reason: reason.to_string(),
                }
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable(error),
            other => Self::Query(other),
        }
    }
}

impl From<sqlx::migrate::MigrateError> for Error {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        match error {
            sqlx::migrate::MigrateError::Execute(error) => match Self::from(error) {
                Self::Query(error) => Self::Migration(error.into()),
                other => other,
            },
            sqlx::migrate::MigrateError::ExecuteMigration(error, version) => {
                match Self::from(error) {
                    Self::Query(error) => Self::Migration(
                        sqlx::migrate::MigrateError::ExecuteMigration(error, version),
                    ),
                    other => other,
                }
            }
            other => Self::Migration(other),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Class {
    Unavailable,
    Contention,
    StatementsLost,
    SettingsRefused,
    Defect,
}

/// What pgbouncer says of a parameter that it does not know; its code says "protocol violation".
const UNKNOWN_PARAMETER: &str = "unsupported startup parameter";

/// What PostgreSQL says when `statement_timeout` is over.
const QUERY_CANCELED: &str = "57014";

/// Sorts an SQLSTATE, see the PostgreSQL manual's appendix A.
fn class(code: &str, message: &str) -> Class {
    match code {
        // invalid_sql_statement_name, duplicate_prepared_statement: sqlx makes neither mistake
        "26000" | "42P05" => Class::StatementsLost,
        "08P01" if message.starts_with(UNKNOWN_PARAMETER) => Class::SettingsRefused,
        // serialization_failure, deadlock_detected, lock_not_available, and a partition that is being
        // detached (object_not_in_prerequisite_state)
        "40001" | "40P01" | "55P03" | "55000" => Class::Contention,
        // read_only_sql_transaction: a replica after a failover
        "25006" => Class::Unavailable,
        // connection exceptions, insufficient resources, operator intervention
        // (statement timeouts among them: 57014)
        code if ["08", "53", "57"]
            .iter()
            .any(|class| code.starts_with(class)) =>
        {
            Class::Unavailable
        }
        _ => Class::Defect,
    }
}

/// What a program got wrong that speaks binary: invalid_binary_representation,
/// bad_copy_file_format.
const BROKEN_SPEECH: [&str; 2] = ["22P03", "22P04"];

/// Data exceptions, violations of constraints, and what is too complex.
fn is_of_data(code: &str) -> bool {
    if BROKEN_SPEECH.contains(&code) {
        return false;
    }
    ["22", "23", "54"]
        .iter()
        .any(|class| code.starts_with(class))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_fall_into_the_class_that_says_what_to_do() {
        assert_eq!(class("40001", ""), Class::Contention);
        assert_eq!(class("55P03", ""), Class::Contention);
        assert_eq!(class("55000", ""), Class::Contention);
        assert_eq!(class("57P01", ""), Class::Unavailable);
        assert_eq!(class("08006", ""), Class::Unavailable);
        assert_eq!(class("42P01", ""), Class::Defect);
        assert!(Error::from(sqlx::Error::PoolTimedOut).is_unavailable());
        assert!(!Error::from(sqlx::Error::RowNotFound).is_retryable());
    }

    #[test]
    fn data_are_to_blame_for_what_they_are_and_not_for_a_missing_table() {
        for code in ["22P05", "23514", "54001"] {
            assert!(is_of_data(code), "{code}");
        }
        for code in ["42P01", "22P03", "22P04"] {
            assert!(!is_of_data(code), "{code}");
        }
        assert!(!Error::from(sqlx::Error::RowNotFound).blames_data());
    }

    #[test]
    fn what_a_proxy_spoils_is_told_apart_from_a_database_that_is_away() {
        let refused = "unsupported startup parameter in options: statement_timeout";
        assert_eq!(class("08P01", refused), Class::SettingsRefused);
        assert_eq!(class("08P01", "no such database: x"), Class::Unavailable);
        assert_eq!(class("42P05", "…already exists"), Class::StatementsLost);
        assert_eq!(class("26000", "…does not exist"), Class::StatementsLost);
    }
}
