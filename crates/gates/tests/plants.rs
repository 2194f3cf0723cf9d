//! The planted faults fit the module as it is, and are none of it.

use std::path::Path;

#[derive(serde::Deserialize)]
struct Plants {
    plant: Vec<Plant>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Plant {
    name: String,
    what: String,
    gate: String,
    names: String,
    edits: Vec<Edit>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    file: String,
    find: String,
    replace: String,
}

#[test]
fn every_plant_fits_the_module_once_and_the_module_has_none_of_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join("crates/gates/plants.toml")).expect("the plants");
    let plants: Plants = toml::from_str(&text).expect("well-formed");
    let mut gates: Vec<_> = plants.plant.iter().map(|plant| plant.gate.as_str()).collect();
    gates.sort_unstable();
    // `provision` is tried with another build, which is no fault of the module's.
    assert_eq!(gates, ["contract", "drills", "handshake", "replay", "security", "slo"]);
    for Plant { name, what, names, edits, .. } in &plants.plant {
        assert!(!edits.is_empty() && !what.is_empty() && !names.is_empty(), "{name}");
        for Edit { file, find, replace } in edits {
            assert!(file.starts_with("module/src/"), "{name}: only the module is planted");
            let source = std::fs::read_to_string(root.join(file)).expect("a file of the module");
            assert_eq!(source.matches(find.as_str()).count(), 1, "{name}: bring `find` in {file} up to date");
            assert!(replace.contains("planted"), "{name}: `replace` must say that it is planted");
        }
    }
    let mut folders = vec![root.join("module/src")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else {
                let source = std::fs::read_to_string(&entry).expect("a source");
                assert!(!source.contains("planted"), "{}: the module itself has a planted fault", entry.display());
                files += 1;
            }
        }
    }
    assert!(files > 10, "the module's sources were not found");
}
