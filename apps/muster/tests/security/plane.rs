//! A lane that takes tokens: issuer, host, module, and sessions by each protocol version.

use muster_contract::{Client, Refusal};
use muster_host::Host;
use muster_wire::http::{CallReply, HttpError};
use muster_wire::{ConnectError, ConnectOptions, Identity, Protocol, Token, connect};

use crate::issuer::{AUDIENCE, Issuer};
use crate::lane::{Lane, PATIENCE, Session};

/// Everything of a lane.
pub(crate) struct Plane {
    pub(crate) issuer: Issuer,
    pub(crate) lane: Lane,
}

impl Plane {
    /// One that takes tokens of its issuer, and nobody else.
    pub(crate) async fn closed() -> Plane {
        let plane = Plane::open().await;
        plane.close(false, None).await;
        plane
    }

    /// One that is open to everybody, on a host that trusts the issuer.
    pub(crate) async fn open() -> Plane {
        let issuer = Issuer::start().await;
        let host = Host::builder().in_memory().trusted_issuer(issuer.url()).start().await.expect("the host starts");
        let module = std::fs::read(crate::support::muster_module()).expect("the module's file");
        let lane = Lane::with(host, module).await;
        Plane { issuer, lane }
    }

    /// Takes tokens from now on.
    pub(crate) async fn close(&self, allow_anonymous: bool, revoker: Option<Identity>) {
        self.configure(allow_anonymous, false, revoker).await;
    }

    /// Takes tokens from now on, and shows who is connected only to those that grant it, or to everybody.
    pub(crate) async fn configure(&self, allow_anonymous: bool, presence_needs_scope: bool, revoker: Option<Identity>) {
        let arguments = (self.issuer.url(), AUDIENCE, allow_anonymous, presence_needs_scope, revoker);
        self.lane.owner().await.call("configure_auth", &arguments).await.expect("configured");
    }

    /// A session with what a token of these scopes and streams grants.
    pub(crate) async fn join(&self, sub: &str, scopes: &[&str], streams: &[&str]) -> Session {
        self.enter(self.issuer.token(sub, scopes, streams)).await
    }

    /// A session with this token.
    pub(crate) async fn enter(&self, token: Token) -> Session {
        self.lane.place.join(Some(token)).await
    }

    /// Tries to come in by one protocol version.
    pub(crate) async fn knock(&self, token: Option<Token>, protocol: Protocol) -> Result<Session, ConnectError> {
        let mut options = ConnectOptions::new(self.lane.place.endpoint()).expect(Client::of_this_build());
        options.protocols = vec![protocol];
        options.token = token;
        (options.timeouts.connect, options.timeouts.call) = (PATIENCE, PATIENCE);
        let (connection, incoming) = connect(options).await?;
        Ok(Session { connection, incoming })
    }

    /// Streams `a.x`, `ab.x` and `a` of two events each and a snapshot, made by the owner.
    pub(crate) async fn filled(&self) -> Session {
        let owner = self.lane.owner().await;
        for (stream, first) in [("a.x", 1), ("ab.x", 1), ("a", 1)] {
            owner.emit(stream, first..=first + 1).await;
            let epoch = owner.streams(stream).await.streams[0].epoch;
            owner.put_snapshot(stream, epoch, 2, "{}").await.expect("put");
        }
        owner
    }
}

/// The code of a refusal.
pub(crate) fn code<T: std::fmt::Debug>(result: Result<T, Refusal>) -> muster_contract::Code {
    result.expect_err("must be refused").code
}

/// Whether a call over HTTP did nothing and told nothing.
pub(crate) fn turned_away(reply: &Result<CallReply, HttpError>) -> bool {
    !matches!(reply, Ok(CallReply::Returned(_)))
}
