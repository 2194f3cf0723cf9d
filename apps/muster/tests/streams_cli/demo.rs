//! `muster demo`, interrupted.

use std::fs;
use std::net::TcpStream;

use crate::support::{Sandbox, muster_module};

#[test]
fn a_demonstration_that_is_told_to_end_takes_its_host_and_its_folder_with_it() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("temporary");
    fs::create_dir(&folder).expect("made");
    let sandbox = sandbox.with("TMPDIR", folder.to_str().expect("plain"));
    let mut demo = sandbox.start(&["demo", "--module", &muster_module()]);
    let host = demo.line();
    let address = host.rsplit_once("http://").expect("its address").1.trim_end_matches('/').to_owned();
    demo.wait_for_talk("streams ");
    assert!(TcpStream::connect(&address).is_ok(), "the host is there at {address}");
    assert_eq!(fs::read_dir(&folder).expect("readable").count(), 1);
    demo.signal("TERM");
    assert_eq!(demo.code(), Some(143));
    assert!(TcpStream::connect(&address).is_err(), "the host is gone");
    assert_eq!(fs::read_dir(&folder).expect("readable").count(), 0, "and what it had on the disk");
}
