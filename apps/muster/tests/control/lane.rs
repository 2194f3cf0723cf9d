//! A lane of processes: the token service, and a host that trusts it and takes only its tokens.

use crate::service::Place;
use crate::support::{Host, Running, Sandbox, muster_module};

/// A lane: a service, and a host that trusts it, with the module told of both.
pub(crate) struct Lane {
    pub(crate) place: Place,
    pub(crate) host: Host,
    owner: Sandbox,
}

impl Lane {
    pub(crate) fn new() -> Lane {
        let place = Place::new();
        let issuer = place.issuer();
        let owner = Sandbox::new();
        let host = Host::start(&owner, &["--in-memory", "--trust-issuer", &issuer]);
        let lane = Lane { place, host, owner };
        let made = lane.place.control(&["init", "--issuer", &issuer, "--audience", "muster-test", "--json"]).json();
        let revoker = made["revoker"].as_str().expect("an identity");
        lane.open("lane", revoker);
        lane
    }

    /// Publishes a database, and lets only this issuer's tokens in.
    pub(crate) fn open(&self, database: &str, revoker: &str) {
        self.host.publish(&self.owner, database, &muster_module());
        self.configure(database, revoker, false);
    }

    /// Only this issuer's tokens come in; who is connected is seen by those that have the scope for it, or by all.
    pub(crate) fn configure(&self, database: &str, revoker: &str, presence_needs_scope: bool) {
        let arguments = [
            format!("\"{}\"", self.place.issuer()),
            "\"muster-test\"".into(),
            "false".into(),
            presence_needs_scope.to_string(),
            format!("{{\"some\":{{\"__identity__\":\"0x{revoker}\"}}}}"),
        ];
        let call = ["call", "--server", &self.host.url, "--database", database, "configure_auth"];
        let all: Vec<&str> = call.into_iter().chain(arguments.iter().map(String::as_str)).collect();
        self.owner.run(&all).done();
    }

    pub(crate) fn serve(&self) -> Running {
        self.place.serve(&["--database", "lane", "--revocations-server", &self.host.url])
    }
}
