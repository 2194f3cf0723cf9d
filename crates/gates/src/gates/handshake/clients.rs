//! As whom the clients of a handshake come.
//!
//! What always holds: a token of the service goes to one client alone, and each has a subject of its own where the service
//! lets this client name subjects; a service that is busy is asked again, for as long as the handshake has patience.

use std::time::{Duration, Instant};

use muster_contract::backoff;
use muster_wire::Token;
use muster_wire::lease::{Control, Refused, Retry, Source, fetch};

/// What subjects of clients begin with, where the service allows it and nothing else is said.
pub const SUBJECT_PREFIX: &str = "handshake:";

/// As whom the clients come.
#[derive(Clone, Debug)]
pub enum Clients {
    /// Without a token: each is somebody new.
    Anonymous,
    /// All with this token.
    Same(Token),
    /// Each with a token of its own.
    Each {
        /// Who gives them.
        service: Box<Control>,
        /// What each client's subject begins with; [`SUBJECT_PREFIX`] where the service allows that, and else all come as
        /// the subject that the service takes this client for.
        subject_prefix: Option<String>,
    },
}

/// The clients' tokens.
#[derive(Clone, Debug)]
pub(super) enum Tokens {
    None,
    Same(Token),
    Each {
        service: Box<Control>,
        /// What each subject begins with, where they have subjects of their own.
        subjects: Option<String>,
    },
}

impl Clients {
    /// Finds out which subjects the clients may have.
    pub(super) async fn tokens(&self, patience: Duration) -> Result<Tokens, Refused> {
        let (service, prefix) = match self {
            Clients::Anonymous => return Ok(Tokens::None),
            Clients::Same(token) => return Ok(Tokens::Same(token.clone())),
            Clients::Each { service, subject_prefix } => (service, subject_prefix),
        };
        // Another run's clients are others.
        let begin = |prefix: &str| Some(format!("{prefix}{:08x}-", rand::random::<u32>()));
        let subjects = begin(prefix.as_deref().unwrap_or(SUBJECT_PREFIX));
        let named = Tokens::Each { service: service.clone(), subjects };
        match named.of(0, patience).await {
            Ok(_) => Ok(named),
            // It may be the client itself that is refused: that shows as soon as one asks without a subject.
            Err(refused) if refused.code == "unauthorized" && prefix.is_none() => {
                Ok(Tokens::Each { service: service.clone(), subjects: None })
            }
            Err(refused) => Err(refused),
        }
    }
}

impl Tokens {
    /// The token of one client.
    pub(super) async fn of(&self, number: u64, patience: Duration) -> Result<Option<Token>, Refused> {
        let (service, subjects) = match self {
            Tokens::None => return Ok(None),
            Tokens::Same(token) => return Ok(Some(token.clone())),
            Tokens::Each { service, subjects } => (service.as_ref().clone(), subjects),
        };
        let service = match subjects {
            Some(begin) => service.subject(format!("{begin}{number}")),
            None => service,
        };
        let (source, deadline) = (Source::Control(Box::new(service)), Instant::now() + patience);
        let mut attempt = 0;
        loop {
            let refused = match fetch(&source).await {
                Ok(granted) => return Ok(Some(granted.token)),
                Err(refused) => refused,
            };
            let Retry::Soon { not_before } = refused.retry else { return Err(refused) };
            let wait = Duration::from_millis(backoff::wait_ms(attempt, rand::random()));
            let wait = wait.max(not_before.unwrap_or_default());
            if Instant::now() + wait > deadline {
                return Err(refused);
            }
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    /// For the evidence.
    pub(super) const fn words(&self) -> &'static str {
        match self {
            Tokens::None => "anonymous",
            Tokens::Same(_) => "one token for all",
            Tokens::Each { subjects: None, .. } => "a token each, of one subject",
            Tokens::Each { subjects: Some(_), .. } => "a token and a subject each",
        }
    }
}
