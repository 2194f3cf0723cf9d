//! Something that listens where a host should.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::PATIENCE;

/// Something that is no host and answers every request as it is told to, or, where it is told nothing, never.
pub(crate) struct Stub {
    pub(crate) url: String,
    asked: Receiver<String>,
}

/// `GET /v1/ping` to a status and a body.
type Answers = fn(&str) -> Option<(u16, &'static str)>;

impl Stub {
    pub(crate) fn start(answers: Answers) -> Stub {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let (sender, asked) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let sender = sender.clone();
                thread::spawn(move || answer(stream, answers, &sender));
            }
        });
        Stub { url, asked }
    }

    /// Waits until it was asked for something.
    #[track_caller]
    pub(crate) fn wait_until_asked(&self) -> String {
        self.asked.recv_timeout(PATIENCE).expect("somebody asks")
    }
}

/// Reads one request and answers it. A client that goes away ends it.
fn answer(stream: TcpStream, answers: Answers, asked: &Sender<String>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).ok()?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().ok()?,
            Some(_) => {}
            None => break,
        }
    }
    std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink()).ok()?;
    let what = first.rsplit_once(' ')?.0.to_owned();
    let told = answers(&what);
    asked.send(what).ok()?;
    match told {
        Some((status, body)) => {
            let head = format!("HTTP/1.1 {status} -\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            (&stream).write_all(format!("{head}{body}").as_bytes()).ok()
        }
        // Held open until the client gives up.
        None => std::io::copy(&mut reader, &mut std::io::sink()).ok().map(drop),
    }
}
