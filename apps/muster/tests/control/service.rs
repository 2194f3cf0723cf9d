//! A service in a process of its own, the commands beside it, and a client that speaks plain HTTP to it.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use crate::support::{PATIENCE, Run, Running, Sandbox};

pub(crate) const AUDIENCE: &str = "muster-test";

/// A place for a service: its state, and the address that it always has.
pub(crate) struct Place {
    pub(crate) sandbox: Sandbox,
    pub(crate) authority: String,
}

impl Place {
    pub(crate) fn new() -> Place {
        // Free a moment ago; nobody else on this machine asks for a port by its number.
        let authority = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").to_string();
        let sandbox = Sandbox::new().with("MUSTER_CONTROL_STATE_DIR", "state").with("LOGNAME", "ada");
        Place { sandbox, authority }
    }

    pub(crate) fn issuer(&self) -> String {
        format!("http://{}", self.authority)
    }

    /// Starts the service.
    pub(crate) fn serve(&self, more: &[&str]) -> Running {
        let args = ["control", "serve", "--json", "--listen", &self.authority, "--audience", AUDIENCE];
        let running = self.sandbox.start(&[&args, more].concat());
        let ready = running.json();
        assert_eq!(
            (&ready["schema"], &ready["issuer"]),
            (&"muster.control.v1".into(), &self.issuer().into()),
            "{ready}"
        );
        running
    }

    /// Runs `muster control …` beside it.
    #[track_caller]
    pub(crate) fn control(&self, args: &[&str]) -> Run {
        self.sandbox.run(&[&["control"], args].concat())
    }

    /// Registers a client and gives its id and secret as HTTP Basic writes them.
    #[track_caller]
    pub(crate) fn client(&self, id: &str, more: &[&str]) -> String {
        let grant = ["clients", "add", id, "--scope", "sync.read", "--stream", "a.*"];
        let secret = self.control(&[&grant, more].concat()).done();
        basic(id, secret.trim())
    }

    /// Asks the service, and gives the status and the body.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
        let mut socket = TcpStream::connect(&self.authority).expect("connected");
        socket.set_read_timeout(Some(PATIENCE)).expect("set");
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}",
            self.authority,
            body.len()
        );
        socket.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("read");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.expect("a status"), body.to_owned())
    }

    /// Mints: the status, and the answer.
    pub(crate) fn mint(&self, who: &str, body: &str) -> (u16, Value) {
        let who = format!("Basic {who}");
        let headers = [
            ("authorization", who.as_str()),
            ("oa-client-build", "0.1.0"),
            ("oa-protocol-id", "spacetime.sync.v1"),
            ("oa-schema-version", "1"),
        ];
        let (status, body) = self.ask("POST", "/api/sync/token", &headers, body);
        (status, serde_json::from_str(&body).unwrap_or_else(|_| panic!("no JSON: {status} {body}")))
    }

    /// A token, which must be given.
    #[track_caller]
    pub(crate) fn token(&self, who: &str) -> String {
        let (status, answer) = self.mint(who, "");
        assert_eq!(status, 200, "{answer}");
        answer["token"].as_str().expect("a token").to_owned()
    }

    /// The value of a metric's line, which is everything before the last blank.
    pub(crate) fn metric(&self, series: &str) -> Option<i64> {
        let (status, text) = self.ask("GET", "/metrics", &[], "");
        assert_eq!(status, 200, "{text}");
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map(|number| number.parse().expect("a number"))
    }
}

pub(crate) fn basic(id: &str, secret: &str) -> String {
    BASE64_STANDARD.encode(format!("{id}:{secret}"))
}

/// Waits until `condition` holds.
#[track_caller]
pub(crate) fn eventually(what: &str, within: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + within;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within {within:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
