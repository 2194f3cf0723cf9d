//! The demonstration's events: a file's, or the sample that is built in.

use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::emit::line::{Emitted, parse};
use crate::emit::lines::Lines;
use crate::limits::EMIT_READ_BYTES;
use crate::outcome::Failure;

/// Where a full set of events lies beside a checkout, if anywhere.
const BESIDE: &str = "../shared/data/agent-events.ndjson.gz";

/// The first 400 events of that set.
const SAMPLE: &[u8] = include_bytes!("../../samples/agent-events.ndjson");

/// Events, in the order of their file.
#[derive(Debug)]
pub(crate) struct Events {
    /// The events.
    pub(crate) events: Vec<Emitted>,
    /// Where they are from, in words.
    pub(crate) from: String,
}

impl Events {
    /// The events in `file`; or, without one, those beside the checkout; or the sample.
    ///
    /// # Errors
    /// [`Failure::CouldNot`] if the file cannot be read, or has a line that is no event.
    pub(crate) fn load(file: Option<&Path>) -> Result<Events, Failure> {
        let beside = Some(PathBuf::from(BESIDE)).filter(|path| path.is_file());
        match file.map(Path::to_path_buf).or(beside) {
            Some(path) => {
                let bytes = std::fs::read(&path).map_err(|error| unreadable(&path, &error.to_string()))?;
                let events = read(&bytes).map_err(|why| unreadable(&path, &why))?;
                Ok(Events { events, from: path.display().to_string() })
            }
            None => {
                let events = read(SAMPLE).map_err(|why| Failure::could_not(why, "please report this"))?;
                Ok(Events { events, from: "the sample that is built in".into() })
            }
        }
    }
}

fn unreadable(path: &Path, why: &str) -> Failure {
    let cause = format!("the events in {} cannot be read ({why})", path.display());
    Failure::could_not(cause, "give others with --events FILE, or none for the sample")
}

/// Reads lines, compressed or not.
fn read(bytes: &[u8]) -> Result<Vec<Emitted>, String> {
    let input: Box<dyn Read + '_> =
        if bytes.starts_with(&[0x1f, 0x8b]) { Box::new(MultiGzDecoder::new(bytes)) } else { Box::new(bytes) };
    let mut lines = Lines::new(BufReader::with_capacity(EMIT_READ_BYTES, input));
    let mut events = Vec::new();
    while let Some((number, line)) = lines.next().map_err(|error| error.to_string())? {
        let event = line.and_then(|line| parse(&line, None));
        events.push(event.map_err(|bad| format!("line {number}: {bad}"))?);
    }
    if events.is_empty() { Err("it has none".into()) } else { Ok(events) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_sample_has_events_of_several_streams() {
        let events = read(SAMPLE).unwrap();
        let streams: std::collections::BTreeSet<_> = events.iter().map(|event| event.topic.stream().clone()).collect();
        assert!(events.len() == 400 && streams.len() > 1, "{} events, {} streams", events.len(), streams.len());
    }

    #[test]
    fn compressed_events_are_the_same_events() {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(SAMPLE).unwrap();
        assert_eq!(read(&packed.finish().unwrap()), read(SAMPLE));
        assert!(read(b"").is_err() && read(b"{}\n").unwrap_err().starts_with("line 1: "));
    }
}
