//! How long one `fdatasync` takes on the file system of the data folders: what a confirmed answer waits for at least.

use std::fs::File;
use std::io::Write;
use std::time::Instant;

use crate::child::data_folder;
use crate::error::BenchError;
use crate::limits::{SYNC_BYTES, SYNCS};
use crate::stats::ms;

/// Milliseconds of each of [`SYNCS`] appends of [`SYNC_BYTES`] that were made durable one by one.
pub(crate) fn sync_ms() -> Result<Vec<f64>, BenchError> {
    let folder = data_folder()?;
    let mut file = File::create(folder.path().join("log")).map_err(BenchError::io("a file in the data folder"))?;
    (0..SYNCS).map(|_| append(&mut file).map_err(BenchError::io("a file in the data folder"))).collect()
}

/// Milliseconds of several such appends together, one after the other, so many times.
#[cfg(feature = "peers")]
pub(crate) fn several_ms(several: usize, times: u64) -> Result<Vec<f64>, BenchError> {
    let folder = data_folder()?;
    let failed = || BenchError::io("a file in the data folder");
    let mut file = File::create(folder.path().join("log")).map_err(failed())?;
    (0..times)
        .map(|_| (0..several).map(|_| append(&mut file)).sum::<std::io::Result<f64>>().map_err(failed()))
        .collect()
}

fn append(file: &mut File) -> std::io::Result<f64> {
    file.write_all(&[7; SYNC_BYTES])?;
    let began = Instant::now();
    file.sync_data()?;
    Ok(ms(began.elapsed()))
}
