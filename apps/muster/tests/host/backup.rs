//! `muster host backup`, while the host runs in a process of its own.

use crate::support::variants::{Variant, module};
use crate::support::{Host, Sandbox};

#[test]
fn a_copy_of_a_running_hosts_folder_starts_and_the_original_goes_on() {
    let sandbox = Sandbox::new();
    let host = Host::start(&sandbox, &["--data-dir", "data"]);
    let wasm = sandbox.file("module.wasm", module(Variant::Plain));
    host.publish(&sandbox, "db", &wasm);
    let add = |host: &Host, item: &str| {
        let item = format!("\"{item}\"");
        sandbox.run(&["call", "add", &item, "--server", &host.url, "--database", "db"])
    };
    let items = |host: &Host| {
        let rows = ["sql", "--json", "SELECT * FROM item", "--anonymous", "--server", &host.url, "--database", "db"];
        sandbox.run(&rows).json()["statements"][0]["rows"].as_array().expect("rows").len()
    };
    add(&host, "before").done();
    let told = sandbox.run(&["host", "backup", "--data-dir", "data", "--to", "copy"]).done();
    assert!(told.starts_with("copied 1 database, ") && told.ends_with(", to copy\n"), "{told}");
    add(&host, "after").done();

    let restored = Host::start(&sandbox, &["--data-dir", "copy"]);
    assert_eq!((items(&restored), items(&host)), (1, 2));
    let json = sandbox.run(&["host", "backup", "--json", "--data-dir", "copy", "--to", "second"]).json();
    assert_eq!((&json["schema"], &json["databases"]), (&"muster.host_backup.v1".into(), &1.into()));

    let taken = sandbox.run(&["host", "backup", "--data-dir", "data", "--to", "copy"]).error(2);
    assert_eq!(taken, "copy is there already; name a folder that is not there yet, or an empty one");
    let none = sandbox.run(&["host", "backup", "--data-dir", ".config", "--to", "third"]).error(2);
    assert!(none.contains("is no data folder of a host"), "{none}");
}
