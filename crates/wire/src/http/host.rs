//! What a host says of itself, and which program it runs now.

use reqwest::{Method, header};
use serde_json::Value;

use super::{HttpClient, HttpError, json};

impl HttpClient {
    /// What the host calls itself: its `Server` header (RFC 9110, section 10.2.4), asked of the health path. Hosts need
    /// not say.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn server_name(&self) -> Result<Option<String>, HttpError> {
        let context = "asking the host what it is";
        let answer = self.ask(Method::GET, self.endpoint.health_url(), None, context).await?;
        Ok(answer.headers.get(header::SERVER).and_then(|name| name.to_str().ok()).map(str::to_owned))
    }

    /// The hash of the program that the database runs now (Keccak-256, hexadecimal), from the host's system table
    /// `st_module`; `None` where this identity may not read it. The description of the database
    /// ([`HttpClient::database_info`]) names the program it was created with, which updates do not change.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn running_program(&self) -> Result<Option<String>, HttpError> {
        let answer = match self.sql("SELECT program_hash FROM st_module", true).await {
            Ok(answer) => answer,
            Err(HttpError::Status { status: 400..=403, .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let row = answer.statements.first().and_then(|statement| statement.rows.first());
        let cell = row.and_then(|row| row.first());
        cell.map(|cell| hash_of(cell.get()).map_err(|reason| self.malformed("reading which program runs", reason)))
            .transpose()
    }
}

/// A hash as SQL answers it: a 256-bit number in a product of one, or its hexadecimal text.
fn hash_of(cell: &str) -> Result<String, String> {
    let cell: Value = serde_json::from_str(cell).map_err(|error| error.to_string())?;
    json::hash(&cell)
}
