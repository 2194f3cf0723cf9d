//! TLS through the program: a host with certificate files, clients over https and wss.

use crate::support::variants::{Variant, module};
use crate::support::{Host, Sandbox};

/// The certificate of an authority, as PEM, and of a host of the name `localhost` that it signed.
struct Issued {
    authority: String,
    chain: String,
    key: String,
}

fn issue() -> Issued {
    let authority_key = rcgen::KeyPair::generate().expect("a key");
    let mut authority = rcgen::CertificateParams::new(Vec::<String>::new()).expect("no names");
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    authority.distinguished_name.push(rcgen::DnType::CommonName, "An authority for a test");
    let authority_pem = authority.self_signed(&authority_key).expect("signed").pem();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().expect("a key");
    let host = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let chain = host.signed_by(&key, &issuer).expect("signed").pem();
    Issued { authority: authority_pem, chain, key: key.serialize_pem() }
}

#[test]
fn clients_that_trust_the_authority_work_over_https_and_wss_and_others_hear_why_not() {
    let issued = issue();
    let sandbox = Sandbox::new();
    sandbox.file("chain.pem", &issued.chain);
    sandbox.file("key.pem", &issued.key);
    sandbox.file(
        "host.toml",
        "in_memory = true\nlisten = 'localhost:0'\n[tls]\ncertificates = 'chain.pem'\nkey = 'key.pem'\n",
    );
    let process = sandbox.start(&["host", "--config", "host.toml", "--json"]);
    let url = process.json()["url"].as_str().expect("a URL").to_owned();
    let port = url.strip_prefix("https://127.0.0.1:").expect("TLS").to_owned();
    let named = format!("https://localhost:{port}");
    let client = |authority: &str, url: &str| {
        let client = Sandbox::new().with("MUSTER_SERVER", url).with("MUSTER_DATABASE", "db");
        let trusted = client.file("trusted.pem", authority);
        client.with("SSL_CERT_FILE", trusted)
    };

    let trusting = client(&issued.authority, &named);
    let wasm = trusting.file("module.wasm", module(Variant::Plain));
    trusting.run(&["publish", "-q", "--module", &wasm]).done();
    let mut watcher = trusting.start(&["subscribe", "--json", "SELECT * FROM item"]);
    trusting.run(&["call", "add", "\"over TLS\""]).done();
    assert_eq!(watcher.json()["row"]["name"], "over TLS", "it came over wss");
    watcher.signal("TERM");
    watcher.code();

    let stranger = client(&issue().authority, &named);
    let untrusted = stranger.run(&["sql", "SELECT * FROM item"]).error(2);
    assert!(untrusted.contains("certificate"), "{untrusted}");
    let misnamed = client(&issued.authority, &url).run(&["sql", "SELECT * FROM item"]).error(2);
    assert!(misnamed.contains("certificate"), "{misnamed}");
    drop(process);
}

#[test]
fn files_that_do_not_belong_together_are_one_clear_line() {
    let (one, other) = (issue(), issue());
    let sandbox = Sandbox::new();
    sandbox.file("chain.pem", &one.chain);
    sandbox.file("key.pem", &one.key);
    sandbox.file("other.pem", &other.key);
    let told = |chain: &str, key: &str| {
        let at = ["host", "--in-memory", "--listen", "127.0.0.1:0", "--tls-certificates", chain, "--tls-key", key];
        sandbox.run(&at).error(2)
    };
    for (line, named) in [
        (told("chain.pem", "other.pem"), "TLS file other.pem: "),
        (told("key.pem", "key.pem"), "TLS file key.pem: "),
        (told("none.pem", "key.pem"), "TLS file none.pem: "),
    ] {
        assert!(line.starts_with(named) && line.contains("private key of its first"), "{line}");
    }
    let host = Host::start(&sandbox, &["--in-memory"]);
    let unencrypted = host.url.replace("http://", "https://");
    let line = sandbox.run(&["sql", "SELECT 1", "--server", &unencrypted, "--database", "db"]).error(2);
    assert!(line.to_lowercase().contains("tls"), "{line}");
}
