//! A database's logs, line by line.
//!
//! What always holds: a line is kept as the host wrote it; what is known of its fields is read beside it, so that a
//! host with other fields still shows its lines.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use reqwest::{Method, Response};
use serde::Deserialize;
use spacetimedb_lib::Timestamp;

use super::{HttpClient, HttpError};
use crate::limits::LOG_LINE_BYTES_MAX;

/// One line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// The line as the host wrote it: a JSON object, without the line's end.
    pub raw: String,
    /// Its level in lower case: `error`, `warn`, `info`, `debug`, `trace`, `panic`; empty if unknown.
    pub level: String,
    /// When, by the host's clock.
    pub timestamp: Option<Timestamp>,
    /// The message; the whole line if it is not a log record.
    pub message: String,
    /// Who logged, usually the module's crate and path.
    pub target: Option<String>,
    /// The reducer or procedure that ran.
    pub function: Option<String>,
    /// The source file.
    pub filename: Option<String>,
    /// The line in it.
    pub line_number: Option<u32>,
}

/// Log lines as they come.
#[derive(Debug)]
pub struct LogStream {
    client: HttpClient,
    response: Option<Response>,
    partial: BytesMut,
    ready: VecDeque<LogRecord>,
}

impl HttpClient {
    /// Reads the database's log (`GET /v1/database/…/logs`): the last `num_lines` lines, all that the host has if
    /// `None`, and with `follow` also those to come, without end.
    ///
    /// # Errors
    /// [`HttpError`]; status 401 (400 on some hosts) if the database belongs to another.
    pub async fn logs(&self, num_lines: Option<u32>, follow: bool) -> Result<LogStream, HttpError> {
        let context = format!("reading the log of `{}`", self.endpoint.database());
        let mut url = self.endpoint.database_url(&["logs"]);
        {
            let mut query = url.query_pairs_mut();
            if let Some(num_lines) = num_lines {
                query.append_pair("num_lines", &num_lines.to_string());
            }
            query.append_pair("follow", if follow { "true" } else { "false" });
        }
        let response = self.open(Method::GET, url, &context).await?;
        Ok(LogStream {
            client: self.clone(),
            response: Some(response),
            partial: BytesMut::new(),
            ready: VecDeque::new(),
        })
    }
}

impl LogStream {
    /// The next line; `None` at the end. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`HttpError::Network`] if the connection breaks. After an error the stream is at its end.
    pub async fn next(&mut self) -> Option<Result<LogRecord, HttpError>> {
        loop {
            if let Some(record) = self.ready.pop_front() {
                return Some(Ok(record));
            }
            let chunk = self.response.as_mut()?.chunk().await;
            match chunk {
                Ok(Some(chunk)) => take_lines(&mut self.partial, &chunk, &mut self.ready),
                Ok(None) => {
                    self.response = None;
                    let rest = std::mem::take(&mut self.partial);
                    if !rest.is_empty() {
                        return Some(Ok(LogRecord::parse(&rest)));
                    }
                }
                Err(error) => {
                    self.response = None;
                    return Some(Err(self.client.network(&error)));
                }
            }
        }
    }
}

/// Cuts complete lines off. A line beyond the limit is cut in two, so that one without end cannot fill the memory.
fn take_lines(partial: &mut BytesMut, chunk: &Bytes, ready: &mut VecDeque<LogRecord>) {
    for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
        partial.extend_from_slice(piece);
        if piece.ends_with(b"\n") || partial.len() >= LOG_LINE_BYTES_MAX {
            let line = std::mem::take(partial);
            if !line.trim_ascii().is_empty() {
                ready.push_back(LogRecord::parse(&line));
            }
        }
    }
}

#[derive(Default, Deserialize)]
struct RawRecord {
    #[serde(default)]
    level: String,
    ts: Option<i64>,
    message: Option<String>,
    target: Option<String>,
    function: Option<String>,
    filename: Option<String>,
    line_number: Option<u32>,
}

impl LogRecord {
    /// Reads one line, whatever it is.
    pub fn parse(line: &[u8]) -> LogRecord {
        let raw = String::from_utf8_lossy(line).trim_end().to_string();
        let known: RawRecord = serde_json::from_str(&raw).unwrap_or_default();
        LogRecord {
            level: known.level.to_ascii_lowercase(),
            timestamp: known.ts.map(Timestamp::from_micros_since_unix_epoch),
            message: known.message.unwrap_or_else(|| raw.clone()),
            target: known.target,
            function: known.function,
            filename: known.filename,
            line_number: known.line_number,
            raw,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_and_kept() {
        let line = br#"{"level":"Info","ts":1700000000000000,"target":"muster_module","function":"set_name","message":"hello"}"#;
        let record = LogRecord::parse(line);
        assert_eq!((record.level.as_str(), record.message.as_str()), ("info", "hello"));
        assert_eq!(record.timestamp, Some(Timestamp::from_micros_since_unix_epoch(1_700_000_000_000_000)));
        assert_eq!(record.raw.as_bytes(), line);
        assert_eq!(LogRecord::parse(b"not json\n").message, "not json");
    }

    #[test]
    fn lines_are_whole_however_the_network_cuts_them() {
        let text = b"{\"message\":\"one\"}\n\n{\"message\":\"two\"}\nrest";
        for cut in 0..text.len() {
            let (mut partial, mut ready) = (BytesMut::new(), VecDeque::new());
            for chunk in [&text[..cut], &text[cut..]] {
                take_lines(&mut partial, &Bytes::copy_from_slice(chunk), &mut ready);
            }
            let messages: Vec<_> = ready.iter().map(|record| record.message.as_str()).collect();
            assert_eq!((messages, &partial[..]), (vec!["one", "two"], &b"rest"[..]), "cut at {cut}");
        }
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let (mut partial, mut ready) = (BytesMut::new(), VecDeque::new());
        for _ in 0..3 {
            take_lines(&mut partial, &Bytes::from(vec![b'x'; LOG_LINE_BYTES_MAX]), &mut ready);
        }
        assert_eq!((ready.len(), partial.len()), (3, 0));
    }
}
