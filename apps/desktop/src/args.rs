//! The command line of the window.

use std::path::PathBuf;

use eframe::egui::Theme;
use muster_panel::Pane;

/// Shows who is connected to a lane, and how the sync is doing.
#[derive(Clone, Debug, clap::Parser)]
#[command(
    name = "muster-desktop",
    version,
    about,
    after_help = "\
Without a lane the window opens empty; Ctrl+L asks for one. What was seen is kept in a store of its
own, so that the window has something to show, with its age, also where the host is away.

Examples:
  muster-desktop --lane dev
  muster-desktop --server http://127.0.0.1:3000 --database presence --theme dark"
)]
pub struct Args {
    /// Where to, and as whom.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Keep cursors and events in this file [default: one for each database, below the folder of state]
    #[arg(long, value_name = "FILE")]
    pub store: Option<PathBuf>,
    /// Look into this outbox [default: where `muster emit` keeps the one of the database]
    #[arg(long, value_name = "FILE")]
    pub outbox: Option<PathBuf>,
    /// Follow only these streams or patterns
    #[arg(long = "stream", value_name = "STREAM")]
    pub streams: Vec<String>,
    /// Begin with what comes from now on, in streams that the store does not have
    #[arg(long)]
    pub from_now: bool,
    /// light or dark [default: the system's]
    #[arg(long, value_parser = theme)]
    pub theme: Option<Theme>,
    /// Zoom, 1 is 100 % [default: the system's]
    #[arg(long, value_name = "FACTOR", value_parser = scale)]
    pub scale: Option<f32>,
    /// The pane to begin with
    #[arg(long, value_name = "PANE", value_parser = pane)]
    pub pane: Option<Pane>,
    /// The window's size in points
    #[arg(long, value_name = "WxH", value_parser = size, hide = true)]
    pub size: Option<(f32, f32)>,
    /// Write frame times and memory to this file, a line every ten seconds
    #[arg(long, value_name = "FILE", hide = true)]
    pub measure: Option<PathBuf>,
    /// Print the log to stderr
    #[arg(short, long)]
    pub verbose: bool,
}

/// Where to, and as whom.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct PlaceArgs {
    /// A lane, from the variables OA_SPACETIME_<NAME>_*
    #[arg(long, value_name = "NAME", conflicts_with_all = ["server", "database"])]
    pub lane: Option<String>,
    /// Read the lane's variables from this file, not from the environment
    #[arg(long, value_name = "FILE", requires = "lane")]
    pub env_file: Option<PathBuf>,
    /// A host's URL
    #[arg(long, value_name = "URL", env = "MUSTER_SERVER", requires = "database")]
    pub server: Option<String>,
    /// A database, by name or identity
    #[arg(long, value_name = "NAME", env = "MUSTER_DATABASE")]
    pub database: Option<String>,
    /// Read the token from this file [default: $MUSTER_TOKEN]
    #[arg(long, value_name = "FILE", conflicts_with = "control")]
    pub token_file: Option<PathBuf>,
    /// Fetch tokens from this token service, and renew them
    #[arg(long, value_name = "URL", env = "MUSTER_CONTROL_URL", requires = "client_id")]
    pub control: Option<String>,
    /// As this client of the token service
    #[arg(long, value_name = "ID", env = "MUSTER_CONTROL_CLIENT_ID")]
    pub client_id: Option<String>,
    /// The file with the client's secret
    #[arg(long, value_name = "FILE", env = "MUSTER_CONTROL_CLIENT_SECRET_FILE", conflicts_with = "private_key_file")]
    pub client_secret_file: Option<PathBuf>,
    /// The file with the client's private key (PEM, P-256)
    #[arg(long, value_name = "FILE", env = "MUSTER_CONTROL_PRIVATE_KEY_FILE")]
    pub private_key_file: Option<PathBuf>,
}

fn theme(text: &str) -> Result<Theme, String> {
    match text {
        "light" => Ok(Theme::Light),
        "dark" => Ok(Theme::Dark),
        _ => Err("write light or dark".into()),
    }
}

fn scale(text: &str) -> Result<f32, String> {
    text.parse().ok().filter(|scale| (0.5..=4.0).contains(scale)).ok_or_else(|| "write a number from 0.5 to 4".into())
}

fn pane(text: &str) -> Result<Pane, String> {
    let name = |pane: &Pane| pane.title().to_lowercase();
    Pane::ALL
        .into_iter()
        .find(|pane| name(pane) == text)
        .ok_or_else(|| format!("write one of {}", Pane::ALL.iter().map(name).collect::<Vec<_>>().join(", ")))
}

fn size(text: &str) -> Result<(f32, f32), String> {
    let (width, height) = text.split_once('x').ok_or("write WIDTHxHEIGHT")?;
    match (width.parse(), height.parse()) {
        (Ok(width), Ok(height)) => Ok((width, height)),
        _ => Err("write WIDTHxHEIGHT".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[test]
    fn arguments_are_sound_and_what_is_wrong_is_said() {
        Args::command().debug_assert();
        let args = Args::try_parse_from(["x", "--lane", "dev", "--theme", "dark", "--pane", "sync", "--scale", "2"]);
        let args = args.expect("good arguments");
        assert_eq!((args.theme, args.pane, args.scale), (Some(Theme::Dark), Some(Pane::Sync), Some(2.0)));
        for wrong in [["--theme", "pink"], ["--pane", "nothing"], ["--scale", "99"], ["--env-file", "x"]] {
            Args::try_parse_from(["x"].into_iter().chain(wrong)).expect_err(wrong[0]);
        }
    }
}
