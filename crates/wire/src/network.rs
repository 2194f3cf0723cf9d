//! Errors of the HTTP library, told apart by what a person must do about them.
//!
//! What always holds: the library's own texts, which name neither address nor remedy and run over several causes, never
//! reach the user as they are.

use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use crate::endpoint::Endpoint;
use crate::error::{NetworkError, quote};

/// Lets the host's name lead where the endpoint says.
pub(crate) fn directed(client: reqwest::ClientBuilder, endpoint: &Endpoint) -> reqwest::ClientBuilder {
    match endpoint.way() {
        Some((name, address)) => client.resolve(name, address),
        None => client,
    }
}

/// What an error of the HTTP library means. `limit` is the timeout that was set, for the message.
pub(crate) fn classify(error: &reqwest::Error, authority: &str, limit: Duration) -> NetworkError {
    let authority = authority.to_string();
    if error.is_timeout() {
        return NetworkError::Timeout { authority, limit };
    }
    let reason = quote(&innermost(error).to_string());
    for cause in causes(error) {
        if let Some(io) = cause.downcast_ref::<io::Error>()
            && is_file_limit(io)
        {
            return NetworkError::FileLimit { authority, reason };
        }
        if let Some(tls) = tls_error(cause) {
            return NetworkError::Tls { authority, reason: quote(&tls.to_string()) };
        }
        if let Some(io) = cause.downcast_ref::<io::Error>()
            && error.is_connect()
        {
            match io.kind() {
                io::ErrorKind::ConnectionRefused => return NetworkError::Refused { authority },
                io::ErrorKind::TimedOut => return NetworkError::Timeout { authority, limit },
                _ => {}
            }
        }
        // hyper-util gives name resolution no type of its own, only this text.
        if cause.to_string().starts_with("dns error") {
            // A resolver that may open neither its files nor a socket says that there is no such name.
            if let Some(limit) = file_limit_now() {
                return NetworkError::FileLimit { authority, reason: quote(&limit.to_string()) };
            }
            return NetworkError::Dns { authority, reason };
        }
    }
    if error.is_connect() {
        NetworkError::Unreachable { authority, reason }
    } else {
        NetworkError::Broken { authority, reason }
    }
}

/// Whether no more files may be open in this process (`EMFILE`) or on this machine (`ENFILE`). The standard library has no
/// stable kind for either; the numbers are those of Linux, the BSDs and macOS, and Windows' `WSAEMFILE`.
fn is_file_limit(error: &io::Error) -> bool {
    let numbers: &[i32] = if cfg!(windows) { &[10_024] } else { &[23, 24] };
    error.raw_os_error().is_some_and(|number| numbers.contains(&number))
}

/// What the system says if no more files may be open right now.
fn file_limit_now() -> Option<io::Error> {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).err().filter(is_file_limit)
}

/// The TLS error in this cause. Errors of I/O may hold one another, and `source` leaves out what they hold directly.
fn tls_error<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
        return Some(tls);
    }
    tls_error(cause.downcast_ref::<io::Error>()?.get_ref()?)
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
}

fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    causes(error).last().unwrap_or(error)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn too_many_open_files_is_told_from_other_errors() {
        assert!(is_file_limit(&io::Error::from_raw_os_error(24)));
        assert!(!is_file_limit(&io::Error::from_raw_os_error(111)) && !is_file_limit(&io::Error::other("24")));
        let told =
            NetworkError::FileLimit { authority: "h:1".into(), reason: "Too many open files".into() }.to_string();
        assert!(told.contains("ulimit -n") && !told.contains("network"), "{told}");
    }
}
