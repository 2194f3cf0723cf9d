//! Lines out of a file or stdin, numbered and bounded.

use super::line::BadLine;
use crate::limits::EMIT_LINE_BYTES_MAX;
use muster_contract::limits::PAYLOAD_BYTES_MAX;
use std::io::{self, BufRead, BufReader, Read};

/// A line's bytes without its end, or why they were not kept.
pub(crate) type Bytes = Result<Vec<u8>, BadLine>;

/// Numbered lines, the first one 1. Blank lines count and are left out.
pub(crate) struct Lines<R> {
    from: BufReader<R>,
    number: u64,
    read: u64,
}

impl<R: Read> Lines<R> {
    /// Reads lines from `from`.
    pub(crate) fn new(from: BufReader<R>) -> Lines<R> {
        Lines { from, number: 0, read: 0 }
    }

    /// How many bytes of the input were used.
    pub(crate) const fn read(&self) -> u64 {
        self.read
    }

    /// Whether the next line may have to be waited for.
    pub(crate) fn may_wait(&self) -> bool {
        !self.from.buffer().contains(&b'\n')
    }

    /// The next line that is not blank, with its number; `None` at the end. A line that is too long is passed over to its
    /// end without being kept.
    ///
    /// # Errors
    /// What reading fails with.
    pub(crate) fn next(&mut self) -> io::Result<Option<(u64, Bytes)>> {
        loop {
            let Some(line) = self.one()? else { return Ok(None) };
            self.number += 1;
            match line {
                Ok(line) if line.iter().all(u8::is_ascii_whitespace) => {}
                line => return Ok(Some((self.number, line))),
            }
        }
    }

    fn one(&mut self) -> io::Result<Option<Bytes>> {
        let mut line = Vec::new();
        let (mut too_long, mut any) = (false, false);
        loop {
            let buffer = match self.from.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                buffer => buffer?,
            };
            if buffer.is_empty() {
                break;
            }
            any = true;
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let part = &buffer[..end.unwrap_or(buffer.len())];
            too_long |= line.len() + part.len() > EMIT_LINE_BYTES_MAX;
            if !too_long {
                line.extend_from_slice(part);
            }
            let used = end.map_or(buffer.len(), |end| end + 1);
            self.from.consume(used);
            self.read += used as u64;
            if end.is_some() {
                break;
            }
        }
        if !any {
            return Ok(None);
        }
        if too_long {
            return Ok(Some(Err(BadLine::TooLong { max: EMIT_LINE_BYTES_MAX, payload_max: PAYLOAD_BYTES_MAX })));
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(Some(Ok(line)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Through a buffer of seven bytes, so that lines cross its border.
    fn all(text: &[u8]) -> Vec<(u64, Bytes)> {
        let mut lines = Lines::new(BufReader::with_capacity(7, text));
        std::iter::from_fn(|| lines.next().unwrap()).collect()
    }

    #[test]
    fn lines_are_numbered_as_an_editor_does_and_blank_ones_are_left_out() {
        let read = all(b"one\n\n  \r\nfour is longer than the buffer\r\nfive");
        let expected: [(u64, &[u8]); 3] = [(1, b"one"), (4, b"four is longer than the buffer"), (5, b"five")];
        assert_eq!(read, expected.map(|(number, line)| (number, Ok(line.to_vec()))));
    }

    #[test]
    fn an_empty_file_has_no_lines() {
        assert!(all(b"").is_empty());
        assert!(all(b"\n\n").is_empty());
    }

    #[test]
    fn a_line_that_is_too_long_is_reported_and_the_next_one_is_read() {
        let mut text = vec![b'x'; EMIT_LINE_BYTES_MAX + 1];
        text.extend_from_slice(b"\nnext\n");
        let read = all(&text);
        assert!(matches!(read[0], (1, Err(BadLine::TooLong { .. }))));
        assert_eq!(read[1], (2, Ok(b"next".to_vec())));
        let longest = vec![b'x'; EMIT_LINE_BYTES_MAX];
        assert_eq!(all(&longest), [(1, Ok(longest.clone()))]);
    }
}
