//! Help, usage and completions: what a person meets first.

use crate::support::Sandbox;

#[test]
fn help_texts_say_what_to_type() {
    let sandbox = Sandbox::new();
    let commands: [&[&str]; 26] = [
        &[],
        &["host"],
        &["publish"],
        &["describe"],
        &["logs"],
        &["sql"],
        &["call"],
        &["subscribe"],
        &["handshake"],
        &["gate"],
        &["evidence"],
        &["evidence", "keygen"],
        &["evidence", "verify"],
        &["evidence", "report"],
        &["promote"],
        &["demo"],
        &["bench"],
        &["bench", "connect"],
        &["emit"],
        &["tail"],
        &["streams"],
        &["outbox"],
        &["delete"],
        &["lane"],
        &["lane", "check"],
        &["completions"],
    ];
    for command in commands {
        let text = sandbox.run(&[command, &["--help"]].concat()).done();
        let name = [&["help"], command].concat().join("_");
        insta::with_settings!({ prepend_module_to_snapshot => false }, { insta::assert_snapshot!(name, text) });
    }
}

#[test]
fn wrong_usage_is_one_line_and_code_2() {
    let sandbox = Sandbox::new();
    let cases: [&[&str]; 9] = [
        &["publsh"],
        &["sql"],
        &["sql", "SELECT 1", "--jsn"],
        &["sql", "SELECT 1", "--lane", "dev", "--server", "http://127.0.0.1:1"],
        &["sql", "SELECT 1", "--lane", "DEV"],
        &["subscribe", "SELECT 1", "--until-idle", "soon"],
        &["host"],
        &["handshake", "--clients", "0"],
        &["demo", "--clients", "many"],
    ];
    let lines = cases.map(|args| format!("$ muster {}\n{}\n", args.join(" "), sandbox.run(args).error(2)));
    insta::with_settings!({ prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("wrong_usage", lines.join("\n"));
    });
}

#[test]
fn whoever_names_no_command_is_shown_which_there_are() {
    let sandbox = Sandbox::new();
    for (args, some) in [(&[][..], "handshake"), (&["lane"], "check"), (&["bench"], "connect")] {
        let run = sandbox.run(args);
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{args:?}");
        let help = sandbox.run(&[args, &["--help"]].concat()).done();
        assert_eq!(run.stderr, help, "{args:?}");
        assert!(help.contains("Commands:") && help.contains(&format!("  {some} ")), "{help}");
    }
}

#[test]
fn every_shell_gets_a_completion_script() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = Sandbox::new().run(&["completions", shell]).done();
        assert!(
            ["muster", "subscribe", "emit", "until-idle", "accept-loss"].iter().all(|word| script.contains(word)),
            "{shell}: {script}"
        );
    }
}

#[test]
fn colours_go_where_they_are_asked_for() {
    let colours = |sandbox: Sandbox, args: &[&str]| sandbox.run(args).stderr.contains('\u{1b}');
    let wrong = ["sql", "SELECT 1"];
    assert!(!colours(Sandbox::new(), &wrong), "not into a pipe");
    assert!(colours(Sandbox::new(), &[&["--color", "always"], &wrong[..]].concat()));
    let unwanted = || Sandbox::new().with("NO_COLOR", "1");
    assert!(!colours(unwanted().with("CLICOLOR_FORCE", "1"), &wrong), "NO_COLOR comes before CLICOLOR_FORCE");
    assert!(
        colours(unwanted(), &[&["--color", "always"], &wrong[..]].concat()),
        "but what is asked for outright first"
    );
    assert!(!colours(Sandbox::new().with("CLICOLOR_FORCE", "1"), &[&["--color", "never"], &wrong[..]].concat()));
}

#[test]
#[cfg(target_os = "linux")]
fn an_output_that_cannot_be_written_is_an_error_and_a_reader_that_left_is_none() {
    let sandbox = Sandbox::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("there");
    let child = sandbox.command(&["completions", "bash"]).stdout(full).spawn().expect("starts");
    assert_eq!(
        crate::support::finish(child).error(2),
        "cannot write to stdout (No space left on device (os error 28)); check where the output goes"
    );
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let child = sandbox.command(&["completions", "bash"]).stdout(writer).spawn().expect("starts");
    let run = crate::support::finish(child);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
}
