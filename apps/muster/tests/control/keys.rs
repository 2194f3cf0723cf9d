//! The walk from one signing key to the next, as an operator sees it.

use serde_json::Value;

use crate::service::Place;

fn states(place: &Place) -> Vec<(String, String)> {
    let listed = place.control(&["keys", "list", "--json"]).json();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    listed["keys"].as_array().expect("keys").iter().map(|key| (text(&key["kid"]), text(&key["state"]))).collect()
}

#[test]
fn a_rotation_says_when_waits_and_walks_announced_active_retiring() {
    let place = Place::new();
    // Less than hosts need: they are told on this machine alone.
    let service = place.serve(&["--keys-announce", "2 s"]);
    let before = states(&place);
    assert_eq!(before.iter().map(|(_, state)| state.as_str()).collect::<Vec<_>>(), ["active", "announced"]);
    let done = place.control(&["keys", "rotate", "--wait", "--json"]).json();
    assert_eq!((&done["schema"], &done["done"]), (&"muster.control_rotation.v1".into(), &true.into()));
    assert_eq!((&done["active"], &done["next"]), (&before[0].0.clone().into(), &before[1].0.clone().into()));
    assert!(done["not_before_s"].as_i64().is_some_and(|at_s| at_s > 0), "{done}");
    let after = states(&place);
    assert_eq!(after[0], (before[0].0.clone(), "retiring".into()));
    assert_eq!(after[1], (before[1].0.clone(), "active".into()));
    assert_eq!(after[2].1, "announced");

    drop(service);
    let told = place.control(&["keys", "rotate", "--json"]).json();
    assert!(told["not_before_s"].is_null(), "nobody knows while no service runs: {told}");
    let refused = place.control(&["keys", "rotate", "--wait"]).error(2);
    assert!(refused.contains("muster control serve"), "{refused}");
}
