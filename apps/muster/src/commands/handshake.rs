//! `muster handshake`: arguments, and what a person or a script sees. What it does stands in
//! [`muster_gates::gates::handshake`].

use std::num::{NonZeroU16, NonZeroU32};
use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_gates::gates::handshake::{self, Clients, CouldNotRun, Evidence, Plan, Stage};
use muster_wire::http::HttpError;
use muster_wire::{CallError, ConnectError, NetworkError};

use crate::limits::HANDSHAKE_PATIENCE_MS;
use crate::outcome::{Exit, Failure, Outcome};
use crate::target::{Target, TargetArgs};
use crate::ui::{Ui, or_unread};

/// [`HANDSHAKE_PATIENCE_MS`] in seconds.
const PATIENCE_S: NonZeroU32 = NonZeroU32::new((HANDSHAKE_PATIENCE_MS / 1_000) as u32).expect("it is a second or more");

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Counts the rows of `active_connection` before, while N clients hold a subscription, and after they
have closed, over SQL and through the subscriptions. Who asks is left out of every count. It writes
nothing but the sessions themselves.

The clients are anonymous, unless the lane takes tokens and it is said which: with --control each
has a token of its own, and --token-file or MUSTER_TOKEN serves all. They need `presence.read` where
the lane asks for it.

Exit codes: 0 passed; 1 it ran and a count was wrong; 2 it could not run.

Examples:
  muster handshake --lane dev
  muster handshake --server http://127.0.0.1:3000 --database presence --clients 50 --json
  muster handshake --lane prod --control https://control.example --client-id probe \\
    --client-secret-file probe.secret")]
pub(crate) struct HandshakeArgs {
    /// How many clients meet
    #[arg(long, value_name = "N", default_value = "2", value_parser = clients)]
    clients: NonZeroU16,
    /// Leave a file with every count, identity and time in this folder, made if missing
    #[arg(long, value_name = "DIR")]
    evidence_dir: Option<PathBuf>,
    /// What each client's subject begins with, where a token service gives the tokens; it must allow that to this client
    /// [default: `handshake:` where it does, else all have one subject]
    #[arg(long, value_name = "TEXT")]
    subject_prefix: Option<String>,
    /// How long any one state may take to come about
    #[arg(long, value_name = "SECONDS", default_value_t = PATIENCE_S, value_parser = whole_seconds)]
    patience: NonZeroU32,
    /// Print one JSON object (muster.handshake.v1)
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// How many clients are to meet. None could not fail, so none would prove nothing.
pub(crate) fn clients(text: &str) -> Result<NonZeroU16, String> {
    text.parse().map_err(|_| match text.parse::<u128>() {
        Ok(1..) => format!("that is more clients than can meet; write a number from 1 to {}", u16::MAX),
        _ => format!("it takes at least 1 client to meet; write a number from 1 to {}", u16::MAX),
    })
}

fn whole_seconds(text: &str) -> Result<NonZeroU32, String> {
    text.parse().map_err(|_| "write whole seconds, at least 1".into())
}

/// Runs.
pub(crate) async fn run(ui: &Ui, args: HandshakeArgs) -> Outcome {
    // Before any client connects: a handshake whose evidence has no place is not worth the while.
    args.evidence_dir.as_deref().map(prepare).transpose()?;
    let come_as = come_as(&args)?;
    let target = args.target.resolve(ui).await?;
    let plan = Plan {
        lane: target.place.lane.as_ref().map(|lane| lane.name.to_string()),
        endpoint: target.place.endpoint.clone(),
        token: target.token.clone(),
        come_as,
        clients: args.clients.get().into(),
        patience: Duration::from_secs(args.patience.get().into()),
    };
    let evidence = handshake::meet(&plan, progress(ui)).await.map_err(|error| match error {
        CouldNotRun::Http(HttpError::Network(NetworkError::Timeout { limit, .. })) => {
            out_of_patience(&target, "a request about the database", limit)
        }
        CouldNotRun::Http(error) => target.explain(error),
        CouldNotRun::Connect(ConnectError::Network(NetworkError::Timeout { limit, .. })) => {
            out_of_patience(&target, "a client that connects", limit)
        }
        CouldNotRun::Call(CallError::Timeout { limit, .. }) => {
            out_of_patience(&target, "a client's subscription", limit)
        }
        other => Failure::CouldNot(other.to_string()),
    })?;
    let written = args.evidence_dir.as_deref().map(|folder| write_to(folder, &evidence)).transpose();
    // Whether anybody reads it changes nothing about what was counted.
    or_unread(if args.json { ui.print_json(&evidence.report) } else { ui.print(summary(&evidence)) })?;
    for problem in &evidence.problems {
        ui.say(format!("  {problem}"));
    }
    // After the result: it counts whether or not the file could be written, and the exit code then says that it was not.
    if let Some(path) = written? {
        ui.say(format!("evidence   {}", path.display()));
    }
    Ok(if evidence.report.passed { Exit::Done } else { Exit::No })
}

/// As whom the clients come: what is only found, such as a saved token, is for the one who asks.
fn come_as(args: &HandshakeArgs) -> Result<Clients, Failure> {
    let subject_prefix = args.subject_prefix.clone();
    if let Some(service) = args.target.service()? {
        return Ok(Clients::Each { service: Box::new(service), subject_prefix });
    }
    if subject_prefix.is_some() {
        return Err(Failure::could_not("--subject-prefix is for tokens of a token service", "add --control URL"));
    }
    Ok(args.target.token_said_outright()?.map_or(Clients::Anonymous, Clients::Same))
}

/// Makes the folder for the evidence, if missing, and sees that a file can be written there.
fn prepare(folder: &Path) -> Result<(), Failure> {
    handshake::prepare(folder).map_err(|error| no_place(folder, &error))
}

/// Writes the evidence into `folder`, made if missing, and returns the file's path.
pub(crate) fn write_to(folder: &Path, evidence: &Evidence) -> Result<PathBuf, Failure> {
    handshake::write_to(folder, evidence).map_err(|error| no_place(folder, &error))
}

fn no_place(folder: &Path, error: &std::io::Error) -> Failure {
    Failure::could_not(
        format!("cannot write the evidence to {} ({error})", folder.display()),
        "name a folder that can be written, with space left, as --evidence-dir",
    )
}

/// The host did not answer in time: who, what was waited for, and how to wait longer.
fn out_of_patience(target: &Target, awaited: &str, limit: Duration) -> Failure {
    Failure::could_not(
        format!(
            "the host at {} did not answer {awaited} within {} s",
            target.place.endpoint.authority(),
            limit.as_secs_f32()
        ),
        "check whether it is overloaded and the address right, or wait longer with --patience SECONDS",
    )
}

/// Says on stderr what is being waited for, when asked to (`-v`).
pub(crate) fn progress(ui: &Ui) -> impl Fn(Stage) + '_ {
    |stage| {
        ui.detail(match stage {
            Stage::Before => "counting the sessions that are there",
            Stage::Connecting => "connecting the clients",
            Stage::Meeting => "waiting until everybody sees everybody",
            Stage::Parting => "closing, and waiting until nobody is seen",
        });
    }
}

/// The result as one line.
pub(crate) fn summary(evidence: &Evidence) -> String {
    let report = &evidence.report;
    let (style, word) = if report.passed {
        (anstyle::AnsiColor::Green.on_default(), "passed")
    } else {
        (anstyle::AnsiColor::Red.on_default(), "FAILED")
    };
    format!(
        "handshake  {} client{}: {} sessions before, {} during, {} after; {style}{word}{style:#} in {} ms",
        report.clients,
        if report.clients == 1 { "" } else { "s" },
        report.baseline,
        report.during,
        report.after,
        report.elapsed_ms
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::target_for_tests;

    #[test]
    fn a_number_of_clients_out_of_range_gets_the_range() {
        assert_eq!(clients("65535").map(NonZeroU16::get), Ok(u16::MAX));
        for wrong in ["0", "65536", "100000000", "many", "-1"] {
            assert!(clients(wrong).expect_err("refused").ends_with("write a number from 1 to 65535"), "{wrong}");
        }
        assert!(clients("100000000").expect_err("refused").starts_with("that is more"));
    }

    #[test]
    fn out_of_patience_names_the_host_what_was_awaited_and_the_flag() {
        let target = target_for_tests("http://127.0.0.1:3000", "db");
        let told = out_of_patience(&target, "a client's subscription", Duration::from_secs(2)).to_string();
        assert!(
            told.starts_with("the host at 127.0.0.1:3000 did not answer a client's subscription within 2 s"),
            "{told}"
        );
        assert!(told.contains("--patience"), "{told}");
    }
}
