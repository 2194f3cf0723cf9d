//! The mint: `POST /api/sync/token` over connections that stay, as many requests as it answers.

use std::time::{Duration, Instant};

use futures::future::try_join_all;
use muster_wire::Token;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::servers::{CLIENT, Servers};
use crate::error::BenchError;

/// How many requests wait for an answer at one time.
pub(super) const AT_ONCE: [usize; 2] = [1, 16];

/// A connection to the mint.
pub(super) struct Mint<'a> {
    socket: BufReader<TcpStream>,
    servers: &'a Servers,
}

fn failed(reason: impl std::fmt::Display) -> BenchError {
    BenchError::Session { system: "muster control", reason: reason.to_string() }
}

impl Mint<'_> {
    pub(super) async fn connect(servers: &Servers) -> Result<Mint<'_>, BenchError> {
        let socket = TcpStream::connect(servers.mint_address()).await.map_err(failed)?;
        socket.set_nodelay(true).map_err(failed)?;
        Ok(Mint { socket: BufReader::new(socket), servers })
    }

    /// A token for a subject.
    pub(super) async fn token(&mut self, subject: &str) -> Result<Token, BenchError> {
        let ask =
            json!({ "client_id": CLIENT, "client_secret": self.servers.secret(), "subject": subject }).to_string();
        let request = format!(
            "POST /api/sync/token HTTP/1.1\r\nhost: {}\r\noa-client-build: {}\r\noa-protocol-id: {}\r\n\
             oa-schema-version: {}\r\ncontent-length: {}\r\n\r\n{ask}",
            self.servers.mint_address(),
            muster_contract::OLDEST_CLIENT_BUILD,
            muster_contract::PROTOCOL_ID,
            muster_contract::SCHEMA_VERSION,
            ask.len()
        );
        self.socket.get_mut().write_all(request.as_bytes()).await.map_err(failed)?;
        let answer = self.answer().await?;
        let token = answer["token"].as_str().ok_or_else(|| failed(format!("no token: {answer}")))?;
        Token::new(token).map_err(failed)
    }

    async fn answer(&mut self) -> Result<Value, BenchError> {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if self.socket.read_line(&mut line).await.map_err(failed)? == 0 {
                return Err(failed("it closed the connection"));
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) =
                line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            {
                length = value.trim().parse().map_err(|_| failed(format!("a bad {name}")))?;
            }
        }
        let mut body = vec![0; length];
        self.socket.read_exact(&mut body).await.map_err(failed)?;
        serde_json::from_slice(&body).map_err(failed)
    }
}

/// Tokens a second, with so many requests at a time.
pub(super) async fn rate(servers: &Servers, at_once: usize, mint_ms: u64) -> Result<f64, BenchError> {
    let mut mints = try_join_all((0..at_once).map(|_| Mint::connect(servers))).await?;
    // The first request has the secret hashed; from then on it is remembered.
    for mint in &mut mints {
        mint.token("user:0").await?;
    }
    let (began, limit) = (Instant::now(), Duration::from_millis(mint_ms));
    let working = mints.iter_mut().enumerate().map(async |(index, mint)| {
        let (subject, mut made) = (format!("user:{index}"), 0u32);
        while began.elapsed() < limit {
            mint.token(&subject).await?;
            made += 1;
        }
        Ok::<_, BenchError>(made)
    });
    let made: u32 = try_join_all(working).await?.into_iter().sum();
    Ok(f64::from(made) / began.elapsed().as_secs_f64())
}
