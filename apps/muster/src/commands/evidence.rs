//! `muster evidence`: keys, and what signed evidence says and whether it holds.
//!
//! What always holds: nothing of a statement is shown that no given key vouches for; a folder or file with anything wrong
//! in it ends with exit code 1, and each thing that is wrong is a line that names the file and says what was compared.

mod shown;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use jiff::Timestamp;
use muster_gates::Sha256;
use muster_gates::evidence::{Algorithm, EvidenceDir, File, PublicKey, Signer, Trust, Verdict, verify, verify_one};
use muster_gates::limits::{ENVELOPE_BYTES_MAX, KEYS_MAX};
use muster_gates::promote::policy::duration;
use muster_gates::report::{html, summary};

use crate::outcome::{Exit, Failure, Outcome, one_line};
use crate::target::read_limited;
use crate::ui::{Ui, or_unread};

/// What there is to do with evidence.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum EvidenceCommand {
    /// Make a key that signs evidence
    Keygen(KeygenArgs),
    /// List the statements of a folder
    List(ListArgs),
    /// Show one statement
    Show(ShowArgs),
    /// Check that a folder, or one file, holds
    Verify(VerifyArgs),
    /// Write a folder as one HTML page with plots, and as Markdown for a pull request
    Report(ReportArgs),
}

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Writes the private key to FILE (for this user alone) and the public key to FILE.pub, both as PEM. A
key that exists is never replaced.

Example:
  muster evidence keygen operator.pem")]
pub(crate) struct KeygenArgs {
    /// Where the private key goes
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// How it signs
    #[arg(long, value_name = "NAME", default_value = "ed25519")]
    algorithm: AlgorithmArg,
    /// Print one JSON object (muster.evidence.keygen.v1)
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum AlgorithmArg {
    /// Ed25519 (RFC 8032)
    Ed25519,
    /// ECDSA on P-256 with SHA-256
    Es256,
}

/// Whose signatures count.
#[derive(Debug, clap::Args)]
struct TrustArgs {
    /// A public key whose signatures count (PEM); may be given several times
    #[arg(long = "key", value_name = "FILE.pub", required = true)]
    keys: Vec<PathBuf>,
}

impl TrustArgs {
    fn trust(&self) -> Result<Trust, Failure> {
        if self.keys.len() > KEYS_MAX {
            return Err(Failure::could_not(
                format!("{} keys were given", self.keys.len()),
                format!("give at most {KEYS_MAX}"),
            ));
        }
        let keys = self.keys.iter().map(|path| PublicKey::read(path)).collect::<Result<_, _>>();
        Ok(Trust::new(keys.map_err(could_not)?, Timestamp::now()))
    }
}

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  muster evidence list evidence --key operator.pem.pub")]
pub(crate) struct ListArgs {
    /// The folder
    #[arg(value_name = "DIR")]
    place: PathBuf,
    #[command(flatten)]
    trust: TrustArgs,
    /// Print one JSON object (muster.evidence.list.v1)
    #[arg(long)]
    json: bool,
}

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  muster evidence show evidence/000002-staging-handshake-5f0c2a11.dsse.json --key operator.pem.pub")]
pub(crate) struct ShowArgs {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    trust: TrustArgs,
    /// Print the statement itself, as it is signed, in one line
    #[arg(long)]
    json: bool,
}

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Needs nothing but public keys. Of a folder it checks every signature and that the statements are one
unbroken chain; of a single file, its signature and its statement. That the end of a folder is
missing can only be seen with --head, known from an earlier verification or from SUMMARY.md.

What may not hold: malformed, truncated, tampered_payload, tampered_signature, wrong_payload_type,
foreign_signer, unknown_predicate, bad_statement, contradiction, reordered, replayed, expired,
from_the_future.

Exit codes: 0 it holds; 1 it does not, and each reason is a line; 2 it could not be looked at.

Examples:
  muster evidence verify evidence --key operator.pem.pub
  muster evidence verify evidence --key a.pub --key b.pub --max-age 24h --json")]
pub(crate) struct VerifyArgs {
    /// The folder, or one file of it
    #[arg(value_name = "DIR|FILE")]
    place: PathBuf,
    #[command(flatten)]
    trust: TrustArgs,
    /// Refuse what is older, such as 90s, 10m, 24h or 7d
    #[arg(long, value_name = "TIME", value_parser = duration)]
    max_age: Option<Duration>,
    /// The SHA-256 of an envelope that the folder must hold, known from elsewhere
    #[arg(long, value_name = "SHA256")]
    head: Option<Sha256>,
    /// Print one JSON object (muster.evidence.verify.v1)
    #[arg(long)]
    json: bool,
}

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  muster evidence report evidence --key operator.pem.pub --html report.html --summary SUMMARY.md")]
pub(crate) struct ReportArgs {
    /// The folder
    #[arg(value_name = "DIR")]
    place: PathBuf,
    #[command(flatten)]
    trust: TrustArgs,
    /// Where the page goes
    #[arg(long, value_name = "FILE", default_value = "report.html")]
    html: PathBuf,
    /// Where the Markdown goes
    #[arg(long, value_name = "FILE", default_value = "SUMMARY.md")]
    summary: PathBuf,
}

/// Runs.
pub(crate) fn run(ui: &Ui, command: EvidenceCommand) -> Outcome {
    match command {
        EvidenceCommand::Keygen(args) => keygen(ui, &args),
        EvidenceCommand::List(args) => list(ui, &args),
        EvidenceCommand::Show(args) => show(ui, &args),
        EvidenceCommand::Verify(args) => check(ui, &args),
        EvidenceCommand::Report(args) => report(ui, &args),
    }
}

fn could_not(error: impl std::fmt::Display) -> Failure {
    Failure::CouldNot(error.to_string())
}

fn keygen(ui: &Ui, args: &KeygenArgs) -> Outcome {
    let algorithm = match args.algorithm {
        AlgorithmArg::Ed25519 => Algorithm::Ed25519,
        AlgorithmArg::Es256 => Algorithm::Es256,
    };
    let signer = Signer::generate(algorithm);
    let public = signer.create(&args.file).map_err(could_not)?;
    let fingerprint = signer.public().fingerprint();
    or_unread(if args.json {
        ui.print_json(&serde_json::json!({
            "schema": "muster.evidence.keygen.v1",
            "algorithm": algorithm.as_str(),
            "fingerprint": fingerprint,
            "private": args.file,
            "public": public,
        }))
    } else {
        let (private, public) = (args.file.display(), public.display());
        ui.print(format!("private      {private}\npublic       {public}\nfingerprint  {fingerprint}"))
    })?;
    Ok(Exit::Done)
}

/// A folder's files, or the one file.
fn files(place: &Path) -> Result<(Vec<File>, bool), Failure> {
    if place.is_dir() {
        let files = EvidenceDir::existing(place).and_then(|dir| dir.files()).map_err(could_not)?;
        if files.is_empty() {
            return Err(Failure::no(
                format!("{} holds no signed evidence", place.display()),
                "gates leave it there with --evidence-dir and --evidence-key",
            ));
        }
        return Ok((files, true));
    }
    let bytes = read_limited("the evidence", place, ENVELOPE_BYTES_MAX as u64)?;
    let name = place.file_name().unwrap_or(place.as_os_str()).to_string_lossy().into_owned();
    Ok((vec![File { name, bytes }], false))
}

fn verified(place: &Path, trust: &Trust) -> Result<Verdict, Failure> {
    let (files, is_folder) = files(place)?;
    Ok(match (is_folder, files.first()) {
        (false, Some(file)) => verify_one(file, trust),
        _ => verify(&files, trust),
    })
}

fn check(ui: &Ui, args: &VerifyArgs) -> Outcome {
    if args.head.is_some() && !args.place.is_dir() {
        return Err(Failure::could_not("--head is about a folder, and this is one file", "name the folder"));
    }
    let trust = Trust { max_age: args.max_age, head: args.head, ..args.trust.trust()? };
    let verdict = verified(&args.place, &trust)?;
    or_unread(if args.json {
        ui.print_json(&shown::Verified::of(&verdict))
    } else {
        ui.print(shown::verified(&verdict))
    })?;
    Ok(if verdict.holds() { Exit::Done } else { Exit::No })
}

fn list(ui: &Ui, args: &ListArgs) -> Outcome {
    let verdict = verified(&args.place, &args.trust.trust()?)?;
    if args.json {
        ui.print_json(&shown::Listed::of(&verdict))?
    } else {
        ui.print(shown::listed(&verdict))?
    }
    complain(ui, &verdict)
}

fn show(ui: &Ui, args: &ShowArgs) -> Outcome {
    let verdict = verified(&args.file, &args.trust.trust()?)?;
    for entry in &verdict.entries {
        if args.json {
            let json = String::from_utf8(entry.statement.to_json()).expect("JSON is text");
            ui.print(json)?;
        } else {
            ui.print(shown::entry(entry))?;
        }
    }
    complain(ui, &verdict)
}

fn report(ui: &Ui, args: &ReportArgs) -> Outcome {
    let trust = args.trust.trust()?;
    let verdict = verified(&args.place, &trust)?;
    for (path, text) in [(&args.html, html(&verdict, trust.now)), (&args.summary, summary(&verdict))] {
        let written = std::fs::write(path, text);
        written.map_err(|error| {
            Failure::could_not(format!("{} cannot be written ({error})", path.display()), "name another file")
        })?;
        ui.say(format!("wrote {}", path.display()));
    }
    complain(ui, &verdict)
}

/// What does not hold, on stderr, for commands whose output is something else.
fn complain(ui: &Ui, verdict: &Verdict) -> Outcome {
    for finding in &verdict.findings {
        ui.complain(one_line(&shown::finding(finding)));
    }
    Ok(if verdict.holds() { Exit::Done } else { Exit::No })
}
