//! Rows for `COPY … FROM STDIN (FORMAT binary)`: a header, rows of a count of fields and each with
//! its length before it, and a trailer; see the PostgreSQL manual, "COPY", "Binary Format".
//!
//! It costs the server half of what arrays of parameters do, and can neither meet a row that is
//! there already nor tell what it wrote. To copy into another table, write its fields in the
//! order of the statement's columns.

use sqlx::PgConnection;
use uuid::Uuid;

/// "PGCOPY", a signature that shows damage, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// In place of a count of fields.
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();
/// In place of a length.
const NULL: [u8; 4] = (-1_i32).to_be_bytes();
/// What there is only one of.
const JSONB_VERSION: u8 = 1;
/// Rows that are sent together, bytes, but for the last one's.
const CHUNK_BYTES: usize = 256 << 10;

/// One row, to be written field by field.
pub(crate) struct Row<'a>(&'a mut Vec<u8>);

/// Copies rows of so many fields by a statement. It must run to its end: a connection whose copy was
/// given up on the way answers the next statement with what belongs to this one.
///
/// # Errors
/// When the database is away or refuses one of them; none is there then.
pub(crate) async fn rows<T>(
    connection: &mut PgConnection,
    statement: &'static str,
    rows: &[T],
    (fields, write): (i16, impl Fn(&T, &mut Row<'_>)),
) -> Result<(), sqlx::Error> {
    let mut copy = connection.copy_in_raw(statement).await?;
    let mut bytes = HEADER.to_vec();
    for row in rows {
        bytes.extend(fields.to_be_bytes());
        write(row, &mut Row(&mut bytes));
        if bytes.len() >= CHUNK_BYTES {
            copy.send(&*bytes).await?;
            bytes.clear();
        }
    }
    bytes.extend(TRAILER);
    copy.send(&*bytes).await?;
    copy.finish().await?;
    Ok(())
}

impl Row<'_> {
    /// An `integer`.
    pub(crate) fn int4(&mut self, value: i32) {
        self.field(&value.to_be_bytes());
    }

    /// A `bigint`.
    pub(crate) fn int8(&mut self, value: i64) {
        self.field(&value.to_be_bytes());
    }

    /// A `uuid`.
    pub(crate) fn uuid(&mut self, value: Uuid) {
        self.field(value.as_bytes());
    }

    /// A `text`.
    pub(crate) fn text(&mut self, value: &str) {
        self.field(value.as_bytes());
    }

    /// A `text`, or none.
    pub(crate) fn text_or_null(&mut self, value: Option<&str>) {
        match value {
            Some(value) => self.text(value),
            None => self.null(),
        }
    }

    /// A `jsonb` as its text, or none.
    pub(crate) fn jsonb_or_null(&mut self, value: Option<&str>) {
        match value {
            Some(value) => {
                self.length(value.len() + 1);
                self.0.push(JSONB_VERSION);
                self.0.extend_from_slice(value.as_bytes());
            }
            None => self.null(),
        }
    }

    fn null(&mut self) {
        self.0.extend_from_slice(&NULL);
    }

    fn field(&mut self, value: &[u8]) {
        self.length(value.len());
        self.0.extend_from_slice(value);
    }

    /// More than fits is more than PostgreSQL takes, and refused by it.
    fn length(&mut self, bytes: usize) {
        let length = i32::try_from(bytes).unwrap_or(i32::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_their_length_before_them() {
        let mut bytes = Vec::new();
        let mut row = Row(&mut bytes);
        row.int4(7);
        row.text("ab");
        row.text_or_null(None);
        row.jsonb_or_null(Some("1"));
        assert_eq!(
            bytes,
            b"\0\0\0\x04\0\0\0\x07\0\0\0\x02ab\xff\xff\xff\xff\0\0\0\x02\x011"
        );
    }
}
