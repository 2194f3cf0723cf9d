//! Rows as they come from a host: packed bytes that know their table, decoded into types on demand.
//!
//! What always holds: the boundaries of a [`Rows`] were checked against its bytes when it was made, so iterating it
//! neither panics nor reads across rows, whatever a host sent.

use std::sync::Arc;

use bytes::Bytes;
use spacetimedb_sats::{Deserialize, bsatn};

use crate::messages::{QueryRows, RowList, RowSizeHint};

/// Rows of one table.
#[derive(Clone, PartialEq, Eq)]
pub struct Rows {
    table: Arc<str>,
    /// The first byte of every row; the end of the last row is the end of `data`.
    starts: Starts,
    data: Bytes,
}

#[derive(Clone, PartialEq, Eq)]
enum Starts {
    Every { size: usize, count: usize },
    At(Vec<usize>),
}

/// A row, or a list of rows, that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The bytes are no row of the type.
    #[error(
        "row {index} of table `{table}` cannot be decoded as {wanted}: {reason}; the host's table has another shape than this client expects"
    )]
    Undecodable {
        /// The table.
        table: String,
        /// The row's position in its list, from 0.
        index: usize,
        /// The Rust type.
        wanted: &'static str,
        /// What the decoder says.
        reason: String,
    },
    /// The host's row boundaries contradict its bytes.
    #[error("the host sent a list of rows of table `{table}` whose boundaries contradict its {bytes} bytes")]
    BadBoundaries {
        /// The table.
        table: String,
        /// How many bytes of rows came.
        bytes: usize,
    },
    /// There is no one row.
    #[error("table `{table}` has {count} rows where exactly one was expected")]
    NotOne {
        /// The table.
        table: String,
        /// How many came.
        count: usize,
    },
}

impl Rows {
    /// No rows of `table`.
    pub fn empty(table: &str) -> Rows {
        Rows { table: table.into(), starts: Starts::At(Vec::new()), data: Bytes::new() }
    }

    /// Checks a list of rows as a host sent it.
    ///
    /// # Errors
    /// [`RowError::BadBoundaries`].
    pub fn new(table: &str, list: RowList) -> Result<Rows, RowError> {
        let bad = |data: &Bytes| RowError::BadBoundaries { table: table.into(), bytes: data.len() };
        let RowList { size_hint, rows_data: data } = list;
        let starts = match size_hint {
            // No row takes no bytes: such a list could hold any number of them.
            RowSizeHint::FixedSize(0) if data.is_empty() => Starts::At(Vec::new()),
            RowSizeHint::FixedSize(0) => return Err(bad(&data)),
            RowSizeHint::FixedSize(size) => {
                let size = usize::from(size);
                if data.len() % size != 0 {
                    return Err(bad(&data));
                }
                Starts::Every { size, count: data.len() / size }
            }
            RowSizeHint::RowOffsets(offsets) => {
                Starts::At(checked_offsets(&offsets, data.len()).ok_or_else(|| bad(&data))?)
            }
        };
        Ok(Rows { table: table.into(), starts, data })
    }

    /// The table's name.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        match &self.starts {
            Starts::Every { count, .. } => *count,
            Starts::At(starts) => starts.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All rows' bytes together, in bytes.
    pub fn bytes(&self) -> usize {
        self.data.len()
    }

    /// The BSATN of each row, in the order the host sent them, which means nothing.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> + '_ {
        (0..self.len()).map(|index| self.row(index))
    }

    /// Decodes every row.
    ///
    /// Bytes behind the last field of `T` are ignored: a migration may have added columns at the end, which the
    /// contract allows (see `muster_contract::shape`). Whether the columns before them agree is checked on connecting.
    ///
    /// # Errors
    /// [`RowError::Undecodable`], for the first row that is not a `T`.
    pub fn decode<T: for<'de> Deserialize<'de>>(&self) -> Result<Vec<T>, RowError> {
        self.iter()
            .enumerate()
            .map(|(index, row)| {
                bsatn::from_reader(&mut &*row).map_err(|error| RowError::Undecodable {
                    table: self.table.to_string(),
                    index,
                    wanted: std::any::type_name::<T>(),
                    reason: error.to_string(),
                })
            })
            .collect()
    }

    /// Decodes the only row.
    ///
    /// # Errors
    /// [`RowError::NotOne`] if there are none or more; [`RowError::Undecodable`].
    pub fn decode_one<T: for<'de> Deserialize<'de>>(&self) -> Result<T, RowError> {
        let mut rows = self.decode()?;
        match (rows.pop(), rows.len()) {
            (Some(row), 0) => Ok(row),
            (_, _) => Err(RowError::NotOne { table: self.table.to_string(), count: self.len() }),
        }
    }

    fn row(&self, index: usize) -> &[u8] {
        match &self.starts {
            Starts::Every { size, .. } => &self.data[index * size..(index + 1) * size],
            Starts::At(starts) => {
                let end = starts.get(index + 1).copied().unwrap_or(self.data.len());
                &self.data[starts[index]..end]
            }
        }
    }
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Rows({}: {} rows, {} bytes)", self.table, self.len(), self.bytes())
    }
}

/// The offsets as positions, if they begin at the first byte, never fall, and lie inside the data.
fn checked_offsets(offsets: &[u64], data_len: usize) -> Option<Vec<usize>> {
    let starts: Vec<usize> = offsets.iter().map(|offset| usize::try_from(*offset).ok()).collect::<Option<_>>()?;
    let first_is_zero = starts.first().map_or(data_len == 0, |first| *first == 0);
    let last_is_inside = starts.last().is_none_or(|last| *last <= data_len);
    (first_is_zero && last_is_inside && starts.is_sorted()).then_some(starts)
}

/// Every table of an answer, checked.
pub(crate) fn checked_tables(rows: QueryRows) -> Result<Vec<Rows>, RowError> {
    rows.tables.into_iter().map(|table| Rows::new(&table.table, table.rows)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fixed(size: u16, data: &'static [u8]) -> RowList {
        RowList { size_hint: RowSizeHint::FixedSize(size), rows_data: Bytes::from_static(data) }
    }

    fn at(offsets: &[u64], data: &'static [u8]) -> RowList {
        RowList { size_hint: RowSizeHint::RowOffsets(offsets.to_vec()), rows_data: Bytes::from_static(data) }
    }

    #[test]
    fn rows_of_one_size_are_cut_evenly() {
        let rows = Rows::new("t", fixed(4, &[1, 0, 0, 0, 2, 0, 0, 0])).expect("two rows");
        assert_eq!(rows.decode::<u32>(), Ok(vec![1, 2]));
    }

    #[test]
    fn rows_of_many_sizes_are_cut_at_their_offsets() {
        let rows =
            Rows::new("t", at(&[0, 5, 9], &[1, 0, 0, 0, b'a', 0, 0, 0, 0, 2, 0, 0, 0, b'b', b'c'])).expect("rows");
        assert_eq!(rows.decode::<String>(), Ok(vec!["a".into(), String::new(), "bc".into()]));
    }

    #[test]
    fn bytes_behind_the_last_field_are_ignored() {
        let rows = Rows::new("t", fixed(4, &[7, 0, 0, 0])).expect("a row");
        assert_eq!(rows.decode::<u8>(), Ok(vec![7]));
    }

    #[test]
    fn a_row_that_is_too_short_is_named_with_its_table() {
        let rows = Rows::new("person", fixed(4, &[7, 0, 0, 0])).expect("a row");
        let error = rows.decode::<u64>().expect_err("four bytes are no u64").to_string();
        assert!(error.starts_with("row 0 of table `person` cannot be decoded as u64: "), "{error}");
        assert_eq!(error.lines().count(), 1);
    }

    #[test]
    fn boundaries_that_contradict_the_bytes_are_refused() {
        let bad = |list| matches!(Rows::new("t", list), Err(RowError::BadBoundaries { .. }));
        assert!(bad(fixed(0, &[1])));
        assert!(bad(fixed(3, &[1, 2, 3, 4])));
        assert!(bad(at(&[1], &[1, 2])), "bytes before the first row");
        assert!(bad(at(&[], &[1])), "bytes and no row");
        assert!(bad(at(&[0, 3, 2], &[1, 2, 3])), "falling");
        assert!(bad(at(&[0, 4], &[1, 2, 3])), "outside");
        assert!(bad(at(&[0, u64::MAX], &[1, 2, 3])), "far outside");
    }

    #[test]
    fn exactly_one_row_is_asked_for_by_name() {
        assert_eq!(
            Rows::empty("contract_info").decode_one::<u8>().expect_err("no row").to_string(),
            "table `contract_info` has 0 rows where exactly one was expected"
        );
        let two = Rows::new("t", fixed(1, &[1, 2])).expect("rows");
        assert_eq!(two.decode_one::<u8>(), Err(RowError::NotOne { table: "t".into(), count: 2 }));
    }

    proptest! {
        #[test]
        fn whatever_a_host_sends_rows_lie_inside_the_data(
            offsets in proptest::collection::vec(0u64..40, 0..8), size in 0u16..9, data in proptest::collection::vec(any::<u8>(), 0..32)
        ) {
            for size_hint in [RowSizeHint::FixedSize(size), RowSizeHint::RowOffsets(offsets)] {
                if let Ok(rows) = Rows::new("t", RowList { size_hint, rows_data: data.clone().into() }) {
                    let together: Vec<u8> = rows.iter().flatten().copied().collect();
                    prop_assert_eq!(&together, &data);
                }
            }
        }
    }
}
