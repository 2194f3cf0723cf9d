//! The plane from its first part to its last.
//!
//! What always holds: what was started is ended in the opposite order, whatever went wrong in between: the screen, the
//! runtime, the host (which drains), the token service; a part that ends by itself ends the others too.

use std::ffi::OsString;
use std::net::SocketAddr;

use muster_wire::Endpoint;
use serde::{Deserialize, Serialize};

use super::part::Part;
use super::runtime::Runtime;
use super::screen::Screen;
use super::{AUDIENCE, DATABASE, DESKTOP, Folder, lane};
use crate::demo::Events;
use crate::module_file::ModuleFile;
use crate::outcome::{Failure, one_line};
use crate::ui::Ui;

/// What the plane is to be.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// Where the host listens.
    pub(crate) listen: Option<SocketAddr>,
    /// Where the token service listens.
    pub(crate) control_listen: Option<SocketAddr>,
    /// The module.
    pub(crate) module: ModuleFile,
    /// What the runtime emits.
    pub(crate) events: Events,
    /// How many of them a second, on average.
    pub(crate) rate: f64,
}

/// What a server says once it answers.
#[derive(Debug, Deserialize)]
struct Ready {
    url: String,
    pid: u32,
}

/// A server, as it is told of.
#[derive(Debug, Serialize)]
struct Server {
    url: String,
    pid: u32,
}

/// What runs where.
#[derive(Debug, Serialize)]
pub(crate) struct Running {
    schema: &'static str,
    host: Server,
    control: Server,
    database: &'static str,
    data_dir: String,
    client: &'static str,
    client_secret_file: String,
    owner_token_file: String,
    outbox: String,
    events: String,
    rate: f64,
    screen: &'static str,
}

/// How it came to an end.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The screen was closed, which has the terminal.
    Closed,
    /// A part ended by itself.
    Died(Failure),
}

/// What runs.
#[derive(Debug, Default)]
pub(crate) struct Plane {
    host: Option<Part>,
    control: Option<Part>,
    runtime: Option<Runtime>,
    screen: Option<Part>,
    has_window: bool,
}

impl Plane {
    /// Starts everything but the screen, and says what runs where. What was started before an error is in `self`.
    ///
    /// # Errors
    /// [`Failure::CouldNot`] if a part does not start, or does not take another's word.
    pub(crate) async fn start(
        &mut self,
        ui: &Ui,
        folder: &Folder,
        wanted: Wanted,
        screen: &Screen,
    ) -> Result<Running, Failure> {
        let own = std::env::current_exe().map_err(|error| {
            Failure::could_not(format!("this program cannot find itself ({error})"), "start it again")
        })?;
        let addresses = folder.addresses(wanted.listen, wanted.control_listen)?;
        let issuer = format!("http://{}", addresses.control);
        ui.say("starting the host …");
        let arguments = host_arguments(folder, addresses.host, &issuer);
        let host: Ready = self.host.insert(Part::start("host", "host", folder, &own, &arguments)?).ready().await?;
        let endpoint = Endpoint::new(&host.url, DATABASE)?;
        lane::publish(ui, folder, &endpoint, &issuer, wanted.module).await?;
        ui.say("starting the token service …");
        let arguments = control_arguments(folder, addresses.control, &issuer, &host.url);
        let control = Part::start("token service", "control", folder, &own, &arguments)?;
        let control: Ready = self.control.insert(control).ready().await?;
        lane::clients(folder)?;
        let from = wanted.events.from.clone();
        self.runtime = Some(Runtime::start(*ui, folder, &endpoint, &issuer, wanted.rate, wanted.events)?);
        let shown = |path: std::path::PathBuf| path.display().to_string();
        Ok(Running {
            schema: "muster.up.v1",
            host: Server { url: host.url, pid: host.pid },
            control: Server { url: control.url, pid: control.pid },
            database: DATABASE,
            data_dir: folder.path().display().to_string(),
            client: DESKTOP,
            client_secret_file: shown(folder.secret(DESKTOP)),
            owner_token_file: shown(folder.owner_token()),
            outbox: shown(folder.outbox()),
            events: from,
            rate: wanted.rate,
            screen: screen.word(),
        })
    }

    /// Shows it.
    ///
    /// # Errors
    /// [`Failure::CouldNot`] if the screen does not start.
    pub(crate) fn show(&mut self, folder: &Folder, running: &Running, screen: &Screen) -> Result<(), Failure> {
        self.screen = screen.start(folder, &running.host.url, &running.control.url)?;
        self.has_window = matches!(screen, Screen::Window(_));
        Ok(())
    }

    /// Waits until something ends by itself. A window that was closed, or could not be opened, is nothing of the kind.
    pub(crate) async fn ended(&mut self, ui: &Ui) -> Ending {
        loop {
            let Plane { host, control, runtime, screen, .. } = self;
            tokio::select! {
                failure = part(host) => return Ending::Died(failure),
                failure = part(control) => return Ending::Died(failure),
                failure = async { match runtime { Some(it) => it.ended().await, None => std::future::pending().await } } => {
                    return Ending::Died(failure);
                }
                status = async { match screen { Some(it) => it.wait().await, None => std::future::pending().await } } => {
                    let Some(closed) = self.screen.take() else { continue };
                    match status {
                        // Whoever has no display that works wants the rest all the same.
                        Ok(status) if !status.success() && self.has_window => {
                            let failure = closed.said(status);
                            ui.complain(format!("{failure}; everything else goes on until Ctrl-C"));
                        }
                        Ok(status) if !status.success() => return Ending::Died(closed.said(status)),
                        _ if !self.has_window => return Ending::Closed,
                        _ => ui.say("the window was closed; everything else goes on until Ctrl-C"),
                    }
                }
            }
        }
    }

    /// Ends everything, in order. What does not end well is said.
    pub(crate) async fn stop(&mut self, ui: &Ui) -> bool {
        let mut is_well = true;
        let mut judge = |stopped: Result<(), Failure>| {
            if let Err(failure) = stopped {
                ui.complain(failure.to_string());
                is_well = false;
            }
        };
        if let Some(screen) = self.screen.take() {
            // A screen that is told to end may say so in its exit code.
            let _ = screen.stop().await;
        }
        if let Some(runtime) = self.runtime.take() {
            ui.say("stopping the runtime …");
            runtime.stop().await;
        }
        if let Some(host) = self.host.take() {
            ui.say("stopping the host …");
            judge(host.stop().await);
        }
        if let Some(control) = self.control.take() {
            ui.say("stopping the token service …");
            judge(control.stop().await);
        }
        is_well
    }

    /// The same for a plane in which a part has died: it has been told of already.
    pub(crate) async fn stop_after_death(&mut self, ui: &Ui) {
        for place in [&mut self.host, &mut self.control] {
            if place.as_mut().is_some_and(Part::is_gone) {
                *place = None;
            }
        }
        self.stop(ui).await;
    }
}

async fn part(part: &mut Option<Part>) -> Failure {
    match part {
        Some(part) => part.ended().await,
        None => std::future::pending().await,
    }
}

fn host_arguments(folder: &Folder, listen: SocketAddr, issuer: &str) -> Vec<OsString> {
    let flags: [OsString; 9] = [
        "host".into(),
        "--json".into(),
        "--listen".into(),
        listen.to_string().into(),
        "--trust-issuer".into(),
        issuer.into(),
        "--data-dir".into(),
        folder.host().into(),
        "--color=never".into(),
    ];
    flags.into()
}

fn control_arguments(folder: &Folder, listen: SocketAddr, issuer: &str, host: &str) -> Vec<OsString> {
    let flags: [OsString; 16] = [
        "control".into(),
        "serve".into(),
        "--json".into(),
        "--listen".into(),
        listen.to_string().into(),
        "--issuer".into(),
        issuer.into(),
        "--audience".into(),
        AUDIENCE.into(),
        "--database".into(),
        DATABASE.into(),
        "--revocations-server".into(),
        host.into(),
        "--state-dir".into(),
        folder.control().into(),
        "--color=never".into(),
    ];
    flags.into()
}

impl Running {
    /// For people.
    pub(crate) fn text(&self) -> String {
        let Running { host, control, database, data_dir, client, client_secret_file, owner_token_file, .. } = self;
        let Server { url: host, pid: host_pid } = host;
        let Server { url: control, pid: control_pid } = control;
        let screen = match self.screen {
            "window" => "muster-desktop, in a window",
            "terminal" => "muster-top, in this terminal; q ends it and everything",
            _ => "none",
        };
        format!(
            "host      {host}  database {database}, process {host_pid}\n\
             control   {control}  tokens for `runtime` and `desktop`, process {control_pid}\n\
             runtime   some {} events a second, of {}\n\
             screen    {screen}\n\
             data      {data_dir}  logs in logs/\n\
             \n\
             Follow the events:\n  muster tail --server {host} --database {database} --control {control} --client-id {client} \\\n      \
             --client-secret-file {client_secret_file} 'runtime.*'\n\
             See who is connected:\n  muster sql --server {host} --database {database} --token-file {owner_token_file} \\\n      \
             'SELECT * FROM active_connection'",
            self.rate,
            one_line(&self.events),
        )
    }
}
