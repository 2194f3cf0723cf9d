//! `muster sql`, `call`, `subscribe`, `logs` and `lane check` on Muster's own module.

use serde_json::{Value, json};

use crate::support::variants::{Variant, module};
use crate::support::{Host, Sandbox, Stub, muster_module, sandbox_at};

fn published(host: &Host) -> Sandbox {
    let sandbox = sandbox_at(host, "presence");
    sandbox.run(&["publish", "-q", "--module", &muster_module()]).done();
    sandbox
}

fn rows(sandbox: &Sandbox, sql: &str) -> Vec<Value> {
    let answer = sandbox.run(&["sql", "--json", sql]).json();
    assert_eq!(answer["schema"], "muster.sql.v1");
    answer["statements"][0]["rows"].as_array().expect("rows").clone()
}

#[test]
fn a_name_is_set_and_read_back_in_clear_form() {
    let hosts = Sandbox::new();
    let host = Host::in_memory(&hosts);
    let sandbox = published(&host);
    sandbox.run(&["call", "set_name", "\"Ada\""]).done();
    let people = rows(&sandbox, "SELECT identity, name FROM person");
    let identity = people[0]["identity"].as_str().expect("an identity");
    assert!(identity.len() == 64 && identity.starts_with("c200"), "{identity}");
    assert_eq!(people, [json!({ "identity": identity, "name": "Ada" })]);
    let table = sandbox.run(&["sql", "SELECT identity, name FROM person"]).done();
    assert_eq!(table, format!("{:<64}  name\n{identity}  Ada\n", "identity"));
    let sessions = rows(&sandbox, "SELECT * FROM active_connection");
    assert_eq!(sessions.len(), 1, "the asker");
    let when = sessions[0]["connected_at"].as_str().expect("a time");
    assert!(when.starts_with("20") && when.ends_with('Z'), "{when}");
    let told = sandbox.run(&["call", "set_name", "\"\""]).error(1);
    assert!(told.starts_with("set_name refused, and nothing is changed: "), "{told}");
}

#[test]
fn a_subscription_shows_what_is_and_what_changes() {
    let hosts = Sandbox::new();
    let host = Host::in_memory(&hosts);
    let sandbox = published(&host);
    sandbox.run(&["call", "set_name", "\"Ada\""]).done();
    let mut watcher = sandbox.start(&["subscribe", "--json", "-n", "2", "SELECT * FROM person"]);
    let first = watcher.json();
    assert_eq!(
        (&first["op"], &first["initial"], &first["row"]["name"]),
        (&json!("insert"), &json!(true), &json!("Ada"))
    );
    sandbox.run(&["call", "set_name", "\"Grace\""]).done();
    let (gone, came) = (watcher.json(), watcher.json());
    assert_eq!((&gone["op"], &gone["row"]["name"]), (&json!("delete"), &json!("Ada")));
    assert_eq!(
        (&came["op"], &came["row"]["name"], &came["initial"]),
        (&json!("insert"), &json!("Grace"), &json!(false))
    );
    assert_eq!(gone["order"], came["order"], "one transaction");
    sandbox.run(&["call", "set_name", "\"Alan\""]).done();
    assert_eq!(watcher.code(), Some(0), "after two transactions it ends");
    let text = sandbox.run(&["subscribe", "-n", "0", "SELECT * FROM contract_info"]).done();
    assert!(text.starts_with("+ contract_info {\"id\":0,\"protocol_id\":\"spacetime.sync.v1\""), "{text}");
    let idle = sandbox.run(&["subscribe", "--until-idle", "0.2", "SELECT * FROM person"]).done();
    assert_eq!(idle.lines().count(), 1, "{idle}");
}

#[test]
fn an_interrupted_subscription_ends_well() {
    let hosts = Sandbox::new();
    let host = Host::in_memory(&hosts);
    let sandbox = published(&host);
    for signal in ["INT", "TERM"] {
        let mut watcher = sandbox.start(&["subscribe", "SELECT * FROM contract_info"]);
        watcher.line();
        watcher.signal(signal);
        assert_eq!(watcher.code(), Some(0), "SIG{signal}");
    }
}

#[test]
fn the_log_is_shown_and_followed() {
    let hosts = Sandbox::new();
    let host = Host::in_memory(&hosts);
    let sandbox = published(&host);
    let all = sandbox.run(&["logs"]).done();
    assert!(all.lines().count() >= 1 && all.starts_with("20"), "{all}");
    assert_eq!(sandbox.run(&["logs", "-n", "1"]).done().lines().count(), 1);
    assert_eq!(sandbox.run(&["logs", "-n", "0"]).done(), "", "none is none");
    let line = sandbox.run(&["logs", "-n", "1", "--json"]).json();
    assert!(line["ts"].is_i64() && line["message"].is_string(), "{line}");
    let mut follower = sandbox.start(&["logs", "-f", "-n", "1", "--json"]);
    follower.json();
    // A reducer that refuses is logged.
    sandbox.run(&["call", "set_name", "\"\""]).error(1);
    let mut seen = follower.json();
    while !seen["message"].as_str().expect("a text").contains("name") {
        seen = follower.json();
    }
    follower.signal("INT");
    assert_eq!(follower.code(), Some(0));
}

#[test]
fn following_from_now_on_leaves_the_last_line_of_before_out() {
    // Hosts give one line where none is asked for.
    let stub = Stub::start(|asked| {
        let before = "{\"message\":\"before\"}\n";
        let both = "{\"message\":\"before\"}\n{\"message\":\"before\"}\n{\"message\":\"after\"}\n";
        asked.contains("num_lines=0").then_some((200, if asked.contains("follow=true") { both } else { before }))
    });
    let sandbox = Sandbox::new().with("MUSTER_SERVER", &stub.url).with("MUSTER_DATABASE", "db");
    let run = sandbox.run(&["logs", "-f", "-n", "0", "--json"]);
    assert_eq!(run.stdout, "{\"message\":\"before\"}\n{\"message\":\"after\"}\n", "the first only");
    assert_eq!(run.code, Some(2), "it ended by itself: {}", run.stderr);
}

#[test]
fn what_the_host_runs_by_itself_is_marked_and_not_to_be_called() {
    let hosts = Sandbox::new();
    let host = Host::in_memory(&hosts);
    let sandbox = published(&host);
    let shown = sandbox.run(&["describe"]).done();
    for line in [
        "table presence_refresh (private, schedules refresh_presence_summary)",
        "table person (public)",
        "reducer init()  (the host runs it when the database is made)",
    ] {
        assert!(shown.lines().any(|it| it == line), "{line}: {shown}");
    }
    let scheduled = "(scheduled: the host runs it when a row of `presence_refresh` is due)";
    let reducer = shown.lines().find(|it| it.starts_with("reducer refresh_presence_summary")).expect("there");
    assert!(reducer.ends_with(scheduled), "{reducer}");
    let document = sandbox.run(&["describe", "--json"]).json();
    let of = |kind: &str, name: &str, field: &str| {
        let all = document[kind].as_array().expect("a list");
        all.iter().find(|it| it["name"] == name).expect("there")[field].clone()
    };
    assert_eq!(of("reducers", "refresh_presence_summary", "scheduled_by"), json!("presence_refresh"));
    assert_eq!(of("reducers", "set_name", "scheduled_by"), json!(null));
    assert_eq!(of("tables", "presence_refresh", "schedules"), json!("refresh_presence_summary"));
    let call = ["call", "--anonymous", "refresh_presence_summary", "[1,{\"Interval\":[1]}]"];
    let told = sandbox.run(&call).error(2);
    assert!(told.contains("cannot be called: the host runs it when a row of `presence_refresh` is due"), "{told}");
    // Of what can be called, a misspelt one finds the nearest.
    let told = sandbox.run(&["call", "st_name", "\"Ada\""]).error(2);
    assert_eq!(told, "`presence` has no reducer or procedure `st_name`: did you mean set_name?");
    let told = sandbox.run(&["call", "set_name"]).error(2);
    assert_eq!(told, "set_name takes 1 argument (name: String), 0 given; give each as one JSON value");
}

#[test]
fn a_lane_is_checked_step_by_step() {
    let hosts = Sandbox::new();
    let host = Host::in_memory(&hosts);
    let published = published(&host);
    let lane = |database: &str| {
        format!(
            "OA_SPACETIME_DEV_HTTP_BASE_URL={}\nOA_SPACETIME_DEV_DATABASE={database}\n\
             OA_SPACETIME_DEV_TOKEN_ISSUER=https://issuer.example\nOA_SPACETIME_DEV_TOKEN_AUDIENCE=muster\n",
            host.url
        )
    };
    published.file("dev.envvars", lane("presence"));
    published.file("elsewhere.envvars", lane("elsewhere"));
    let check = |file: &'static str| ["lane", "check", "--lane", "dev", "--env-file", file, "--json"];
    let report = published.run(&check("dev.envvars")).json();
    let results = |report: &Value| -> Vec<String> {
        let steps = report["steps"].as_array().expect("steps");
        steps.iter().map(|step| step["result"].as_str().expect("a result").into()).collect()
    };
    assert_eq!(results(&report), ["ok"; 6], "{report}");
    assert_eq!((&report["lane"], &report["passed"]), (&json!("dev"), &json!(true)));
    let run = published.run(&check("elsewhere.envvars"));
    assert_eq!(run.code, Some(1));
    let report: Value = serde_json::from_str(&run.stdout).expect("one document");
    assert_eq!(results(&report), ["ok", "ok", "ok", "failed", "skipped", "skipped"], "{report}");
    let run = published.run(&["lane", "check", "--lane", "prod"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stdout.starts_with("failed lane        lane `prod` is not described"), "{}", run.stdout);
}

#[test]
fn a_module_that_is_not_ours_is_told_apart() {
    let hosts = Sandbox::new();
    let host = Host::in_memory(&hosts);
    let sandbox = sandbox_at(&host, "db");
    let wasm = sandbox.file("module.wasm", module(Variant::Plain));
    sandbox.run(&["publish", "-q", "--module", &wasm]).done();
    let run = sandbox.run(&["lane", "check"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stdout.contains("failed tables      schema_mismatch: table `person` does not exist"), "{}", run.stdout);
}
