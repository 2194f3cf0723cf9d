//! `muster call FUNCTION [ARG…]`: one reducer or procedure, once.

use muster_contract::refusal::Refusal;
use muster_wire::http::{CallReply, HttpError, ModuleSchema};
use serde_json::Value;

use crate::outcome::{Exit, Failure, Outcome, one_line};
use crate::schema::{self, RunBy};
use crate::table;
use crate::target::{Target, TargetArgs, check_new_name};
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
    let reply = match reply {
        Ok(reply) => reply,
        Err(error) => return Err(explain(error, &args, &target).await),
    };
    match reply {
        CallReply::Returned(Some(json)) => ui.print(json)?,
        CallReply::Returned(None) => ui.say(format!("{}: done", args.function)),
        CallReply::Refused(why) => return Err(refused(&args.function, &why)),
    }
    Ok(Exit::Done)
}

/// A refusal in Muster's own form is said in words; anybody else's module speaks for itself.
fn refused(function: &str, why: &str) -> Failure {
    let cause = |why: &str| format!("{function} refused, and nothing is changed: {why}");
    match Refusal::from_wire(why) {
        Some(refusal) => Failure::no(cause(&format!("{} ({})", refusal.message, refusal.code)), refusal.code.remedy()),
        None => Failure::no(cause(&one_line(why)), "`muster logs` may say more"),
    }
}

fn parse((position, text): (usize, &String)) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|_| {
        let cause = format!("argument {} is not JSON: {}", position + 1, one_line(text));
        // A quote of the shell's own would end its quotes: then an example must do.
        let meant = if text.contains('\'') { "Ada" } else { text.trim_matches('"') };
        let quoted = Value::from(meant);
        Failure::could_not(cause, format!("a text needs double quotes inside the shell's: '{quoted}'"))
    })
}

/// What to do about the host's refusal. The schema that it serves says more than its words: it is read where a call did
/// not fit, and only then.
async fn explain(error: HttpError, args: &CallArgs, target: &Target) -> Failure {
    let function = &args.function;
    match error.status() {
        Some(400) if check_new_name(target.database()).is_err() => target.explain(error),
        Some(400 | 404) => match target.http() {
            // A schema that cannot be had is no second error: the host's words still hold.
            Ok(http) => misfit(&error, args, target, http.schema().await.ok().as_ref()),
            Err(failure) => failure,
        },
        Some(503 | 507) if refused_before(&error) => {
            Failure::CouldNot(format!("{}; {function} did not run", target.explain(error)))
        }
        Some(500..) => Failure::could_not(
            target.explain(error).to_string(),
            format!("whether {function} ran is not known: look before you call it again"),
        ),
        _ => target.explain(error),
    }
}

/// Whether these are the embedded host's words for a database that stopped before this call came to it.
fn refused_before(error: &HttpError) -> bool {
    error.said().is_some_and(|said| said.starts_with("database ") && said.contains(" has stopped: "))
}

/// A call that does not fit what the module offers. Pure.
fn misfit(error: &HttpError, args: &CallArgs, target: &Target, schema: Option<&ModuleSchema>) -> Failure {
    let (name, said) = (&args.function, one_line(error.said().unwrap_or_default()));
    let database = target.database();
    let Some(schema) = schema else {
        return Failure::could_not(
            format!("`{database}` or its `{name}` cannot be called ({said})"),
            "check both names; `muster describe` shows what there is",
        );
    };
    let Some(function) = schema::function(schema, name) else {
        let cause = format!("`{database}` has no reducer or procedure `{name}`");
        return match schema::nearest(schema, name) {
            Some(near) => Failure::CouldNot(format!("{cause}: did you mean {}?", table::visible(&near.name))),
            None => Failure::could_not(cause, "`muster describe` shows what there is"),
        };
    };
    match schema::run_by(schema, function) {
        RunBy::Lifecycle(when) => Failure::could_not(
            format!("{name} cannot be called: the host runs it {}", schema::in_words(when)),
            "call another; `muster describe` shows what there is",
        ),
        RunBy::Schedule(table) => Failure::could_not(
            format!("{name} cannot be called: the host runs it when a row of `{}` is due", table::visible(table)),
            "call another; `muster describe` shows what there is",
        ),
        RunBy::Callers if function.params.len() != args.args.len() => Failure::could_not(
            format!("{name} takes {}, {} given", schema::arguments(function), args.args.len()),
            if function.params.is_empty() { "leave them out" } else { "give each as one JSON value" },
        ),
        RunBy::Callers => Failure::could_not(
            format!("{name} takes {}, and the host does not take what is given ({said})", schema::arguments(function)),
            "give each as one JSON value of its type",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_musters_own_is_said_in_words_and_anybody_elses_as_it_came() {
        let ours = refused("append_events", r#"{"code":"rate_limited","message":"too many"}"#).to_string();
        assert!(ours.contains("nothing is changed: too many (rate_limited)") && !ours.contains('{'), "{ours}");
        let theirs = refused("fail", "on purpose\nand more").to_string();
        assert!(theirs.contains("nothing is changed: on purpose and more; `muster logs`"), "{theirs}");
    }
}
