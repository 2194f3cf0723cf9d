//! A database's logs, line by line.
//!
//! What always holds: a line is kept as the host wrote it; what is known of its fields is read beside it, so that a
//! host with other fields still shows its lines; an answer that is no log (a page, say) is an error and never shown as one;
//! a log that is not followed has an end in time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use reqwest::{Method, Response, header};
use serde::Deserialize;
use spacetimedb_lib::Timestamp;

use super::{HttpClient, HttpError};
use crate::error::NetworkError;
use crate::limits::{LOG_LINE_BYTES_MAX, LOG_MS_MAX, ms};

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
    /// What was tried, for errors.
    context: String,
    /// Until when all of it must have come, and how long the host may be silent; none for one that is followed.
    limits: Option<(Instant, Duration)>,
    /// Whether it is known that these are log lines.
    is_log: bool,
}

impl HttpClient {
    /// Reads the database's log (`GET /v1/database/…/logs`): the last `num_lines` lines, all that the host has if
    /// `None`, and with `follow` also those to come, without end. Without `follow` all of it must come within
    /// [`LOG_MS_MAX`], and each piece within this client's limit.
    ///
    /// # Errors
    /// [`HttpError`]; status 401 (400 on some hosts) if the database belongs to another; [`HttpError::Malformed`] if the
    /// answer is a page.
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
        let content_type = response.headers().get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
        let kind = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if kind == "text/html" {
            return Err(self.malformed(&context, format!("it is {kind}, and not a log")));
        }
        Ok(LogStream {
            client: self.clone(),
            response: Some(response),
            partial: BytesMut::new(),
            ready: VecDeque::new(),
            limits: (!follow).then(|| (Instant::now() + ms(LOG_MS_MAX), self.timeout)),
            // What SpacetimeDB's hosts call it. A line of theirs that a crash has cut is shown as it is.
            is_log: kind == "application/x-ndjson",
            context,
        })
    }
}

impl LogStream {
    /// The first line of an answer whose kind is not known must be a log's: a JSON object.
    fn checked(&mut self, record: LogRecord) -> Result<LogRecord, HttpError> {
        if !self.is_log && !is_object(&record.raw) {
            self.response = None;
            self.ready.clear();
            self.partial.clear();
            let start: String = record.raw.chars().take(40).collect();
            return Err(self.client.malformed(&self.context, format!("its first line is no log record: {start}")));
        }
        self.is_log = true;
        Ok(record)
    }

    /// The next line; `None` at the end. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`HttpError::Network`] if the connection breaks or the host is silent for too long; [`HttpError::Malformed`] if what
    /// comes is no log. After an error the stream is at its end.
    pub async fn next(&mut self) -> Option<Result<LogRecord, HttpError>> {
        loop {
            if let Some(record) = self.ready.pop_front() {
                return Some(self.checked(record));
            }
            let (chunk, waited) = next_chunk(self.response.as_mut()?, self.limits).await;
            let Some(chunk) = chunk else {
                self.response = None;
                let authority = self.client.endpoint.authority();
                return Some(Err(NetworkError::Timeout { authority, limit: waited }.into()));
            };
            match chunk {
                Ok(Some(chunk)) => take_lines(&mut self.partial, &chunk, &mut self.ready),
                Ok(None) => {
                    self.response = None;
                    let rest = std::mem::take(&mut self.partial);
                    if !rest.is_empty() {
                        return Some(self.checked(LogRecord::parse(&rest)));
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

/// The next piece of the answer, or none if it does not come in time; and how long that is.
async fn next_chunk(
    response: &mut Response,
    limits: Option<(Instant, Duration)>,
) -> (Option<reqwest::Result<Option<Bytes>>>, Duration) {
    let Some((end, silence)) = limits else {
        return (Some(response.chunk().await), Duration::MAX);
    };
    let left = end.saturating_duration_since(Instant::now());
    let in_time = tokio::time::timeout(silence.min(left), response.chunk()).await;
    (in_time.ok(), if left < silence { ms(LOG_MS_MAX) } else { silence })
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

fn is_object(line: &str) -> bool {
    serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(line).is_ok()
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
mod tests;
