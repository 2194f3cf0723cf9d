//! A token service that sends a client to another database: the window goes there with everything that it shows.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use muster_panel::TokenChoice;
use muster_wire::lease::{Control, Credential, Secret, Source};

use crate::plane::Plane;
use crate::{EVENTS, payloads};

/// A token service that knows one token, and says for which database it is. It is asked again every two seconds.
struct Service {
    url: String,
    database: Arc<Mutex<Option<&'static str>>>,
}

impl Service {
    fn start(token: String) -> Service {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let database: Arc<Mutex<Option<&'static str>>> = Arc::default();
        let said = database.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut reader = BufReader::new(&mut stream);
                let (mut line, mut length) = (String::new(), 0);
                while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                    if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().expect("a length");
                    }
                    line.clear();
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).expect("a question");
                let database = *said.lock().expect("whole");
                let answer = serde_json::json!({
                    "token": token, "expires_in": 60, "refresh_after_in": 2, "scopes": [], "granted_streams": [],
                    "database": database,
                })
                .to_string();
                let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
                let _ = write!(stream, "{head}content-length: {}\r\n\r\n{answer}", answer.len());
            }
        });
        Service { url, database }
    }
}

#[test]
fn the_window_goes_where_the_token_service_sends_it_with_both_of_its_connections() {
    let mut plane = Plane::start();
    plane.publish(EVENTS, &payloads(3));
    plane.another_database("candidate");
    let client = muster_wire::http::HttpClient::new(plane.endpoint(), None).expect("a client");
    let token = plane.runtime.block_on(client.create_identity()).expect("an identity").token;
    let service = Service::start(token.expose().to_string());
    let mut target = plane.target();
    let control = Control::new(&service.url, "desk", Credential::Secret(Secret::new("x"))).expect("a service");
    target.token = TokenChoice::Renewed(Source::Control(Box::new(control)));
    let mut window = plane.window(target);
    window.wait_until_all_are_live();
    let total = |window: &crate::plane::Window<'_>| window.harness.state().panel().facts().sessions.total;
    // The window's two, and the publisher's.
    window.wait("three sessions of the lane's database", |window| total(window) == Some(3));

    *service.database.lock().expect("whole") = Some("candidate");
    window.wait("the other database is named", |window| window.shows("candidate"));
    window.wait("its sessions are the window's own two", |window| total(window) == Some(2));
    window.wait("it has no streams", |window| window.harness.state().panel().facts().sync.streams.is_empty());
    window.wait_until_all_are_live();

    *service.database.lock().expect("whole") = None;
    window.wait("back again", |window| total(window) == Some(3) && !window.shows("candidate"));
    window.wait_until_all_are_live();
    plane.close(window);
}
