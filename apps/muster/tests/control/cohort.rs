//! A share of the clients is sent to a candidate.

use crate::service::Place;

#[test]
fn the_mint_names_the_database_and_a_larger_share_keeps_whom_a_smaller_one_had() {
    let place = Place::new();
    // All from one address, and quickly.
    let _service = place.serve(&["--database", "lane", "--address-burst", "5000"]);
    let backend = place.client("backend", &["--subject-prefix", "user:"]);
    let named = |subject: usize| {
        let (status, answer) = place.mint(&backend, &format!(r#"{{"subject":"user:{subject}"}}"#));
        assert_eq!(status, 200, "{answer}");
        answer["database"].as_str().expect("a database").to_owned()
    };
    let sent = || (0..60).filter(|subject| named(*subject) == "next").collect::<Vec<_>>();
    assert_eq!(sent(), Vec::<usize>::new());
    let mut before = Vec::new();
    for percent in ["10", "35", "100"] {
        let set = ["cohort", "set", "--candidate", "next", "--percent", percent, "--json"];
        let said = place.control(&set).json();
        assert_eq!((&said["cohort"]["database"], &said["cohort"]["candidate"]), (&"lane".into(), &"next".into()));
        let now = sent();
        assert!(before.iter().all(|subject| now.contains(subject)) && now.len() > before.len(), "{before:?} {now:?}");
        before = now;
    }
    assert_eq!(before.len(), 60);
    let shown = place.control(&["cohort", "show", "--json"]).json();
    assert_eq!(shown["cohorts"][0]["percent"], 100.0);
    place.control(&["cohort", "clear"]).done();
    assert_eq!(sent(), Vec::<usize>::new());
    let nothing = place.control(&["cohort", "clear"]).error(1);
    assert!(nothing.contains("no cohort"), "{nothing}");
    let log = place.control(&["audit", "--json"]).done();
    assert_eq!(log.matches("cohort.set").count(), 3);
    assert_eq!(log.matches("cohort.clear").count(), 1);
}

#[test]
fn a_share_that_is_none_and_a_candidate_that_is_the_lane_itself_are_refused() {
    let place = Place::new();
    let _service = place.serve(&["--database", "lane"]);
    let set = |candidate: &str, percent: &str| {
        ["cohort", "set", "--candidate", candidate, "--percent", percent].map(str::to_owned)
    };
    let refused = |args: [String; 6], code| place.control(&args.each_ref().map(String::as_str)).error(code);
    assert!(refused(set("next", "101"), 2).contains("0 to 100"));
    assert!(refused(set("lane", "5"), 1).contains("the database itself"));
}
