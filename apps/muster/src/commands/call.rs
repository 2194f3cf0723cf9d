//! `muster call FUNCTION [ARG…]`: one reducer or procedure, once.

use muster_wire::http::{CallReply, HttpError};
use serde_json::Value;

use crate::outcome::{Exit, Failure, Outcome, one_line};
use crate::target::{Target, TargetArgs};
use crate::ui::Ui;

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints what a procedure returns, as SATS-JSON; a reducer returns nothing. Exit code 1 if it refuses
or panics; nothing is changed then.

Examples:
  muster call --lane dev set_name '\"Ada\"'
  muster call --server http://127.0.0.1:3000 --database presence set_name '\"Ada\"'")]
pub(crate) struct CallArgs {
    /// The reducer or procedure
    function: String,
    /// Its arguments, each one JSON value (SpacetimeDB's SATS-JSON); texts have double quotes
    #[arg(value_name = "ARG-JSON", allow_negative_numbers = true)]
    args: Vec<String>,
    #[command(flatten)]
    target: TargetArgs,
}

/// Calls.
pub(crate) async fn run(ui: &Ui, args: CallArgs) -> Outcome {
    let values = args.args.iter().enumerate().map(parse).collect::<Result<Vec<_>, _>>()?;
    let target = args.target.resolve(ui).await?;
    let reply = target.http()?.call(&args.function, &Value::Array(values)).await;
    match reply.map_err(|error| explain(error, &args.function, &target))? {
        CallReply::Returned(Some(json)) => ui.print(json)?,
        CallReply::Returned(None) => ui.say(format!("{}: done", args.function)),
        CallReply::Refused(why) => {
            return Err(Failure::no(
                format!("{} refused, and nothing is changed: {}", args.function, one_line(&why)),
                "`muster logs` may say more",
            ));
        }
    }
    Ok(Exit::Done)
}

fn parse((position, text): (usize, &String)) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|_| {
        let cause = format!("argument {} is not JSON: {}", position + 1, one_line(text));
        Failure::could_not(cause, "a text needs double quotes inside the shell's: '\"Ada\"'")
    })
}

/// The host's words are kept; what to do about them is clearer here.
fn explain(error: HttpError, function: &str, target: &Target) -> Failure {
    let said = |error: &HttpError| one_line(error.said().unwrap_or_default());
    match error.status() {
        Some(400) => Failure::could_not(
            format!("the host does not take this call of {function} ({})", said(&error)),
            "`muster describe` shows the parameters",
        ),
        Some(404) => Failure::could_not(
            format!("`{}` or its `{function}` does not exist ({})", target.database(), said(&error)),
            "check both names; `muster describe` shows what there is",
        ),
        Some(500..) => Failure::could_not(
            target.explain(error).to_string(),
            format!("whether {function} ran is not known: look before you call it again"),
        ),
        _ => target.explain(error),
    }
}
