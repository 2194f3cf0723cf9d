use super::*;

#[test]
fn a_line_is_read_and_kept() {
    let line =
        br#"{"level":"Info","ts":1700000000000000,"target":"muster_module","function":"set_name","message":"hello"}"#;
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

use std::io::{Read, Write};
use std::net::TcpListener;

/// Answers one request with these bytes, and then says nothing more until the client has gone.
fn host_that_says(answer: &'static str) -> HttpClient {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    std::thread::spawn(move || {
        let Ok((mut stream, _)) = listener.accept() else { return };
        let mut asked = [0; 4_096];
        if stream.read(&mut asked).is_ok() && stream.write_all(answer.as_bytes()).is_ok() {
            let _ = stream.read(&mut asked);
        }
    });
    let endpoint = crate::Endpoint::new(&url, "db").expect("an endpoint");
    HttpClient::new(endpoint, None).expect("a client").with_timeout(Duration::from_millis(300))
}

async fn first_line(client: &HttpClient) -> Result<Option<String>, HttpError> {
    client.logs(None, false).await?.next().await.transpose().map(|record| record.map(|record| record.raw))
}

#[tokio::test]
async fn a_page_is_not_shown_as_a_log() {
    for page in [
        "HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: 7\r\n\r\n<html>\n",
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 7\r\n\r\n<html>\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>",
    ] {
        let error = first_line(&host_that_says(page)).await.expect_err("a page");
        assert!(matches!(error, HttpError::Malformed { .. }), "{error}");
    }
    let log = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{\"a\": 1}\n";
    assert_eq!(first_line(&host_that_says(log)).await, Ok(Some("{\"a\": 1}".into())));
    // A log by its name, whose first line a crash has cut.
    let cut = "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ncontent-length: 4\r\n\r\n{\"a\n";
    assert_eq!(first_line(&host_that_says(cut)).await, Ok(Some("{\"a".into())));
}

#[tokio::test]
async fn a_log_that_stops_coming_is_waited_for_no_longer_than_the_limit() {
    let client = host_that_says("HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{\"a\": 1}\n");
    let mut log = client.logs(None, false).await.expect("it begins");
    assert!(log.next().await.expect("a line").is_ok());
    let second = tokio::time::timeout(Duration::from_secs(20), log.next()).await.expect("within the limit");
    let error = second.expect("not at its end").expect_err("silence");
    assert!(matches!(error, HttpError::Network(NetworkError::Timeout { .. })), "{error}");
    assert!(log.next().await.is_none(), "after an error it is at its end");
}
