//! A publisher's process and its outbox: the real core, and a driver of the simulated world around it.
//!
//! What always holds: the driver does what the real one's words ask for (`muster_publisher::core`), later and less
//! reliably: a write is on disk when it is answered, and may or may not be before; a read comes when it comes; the
//! process may die between any two of its actions. `publish` returns once its events are synced.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use muster_contract::Refusal as WireRefusal;
use muster_contract::page::{Answer, NewEvent, ProducerState};
use muster_contract::producer::ProducerId;
use muster_publisher::core::{
    Action, CallId, Core, CoreConfig, Event, HostEvent, HostState, Refusal, StreamNo, producer_of,
};

use crate::context::{Context, Happening, ToNode};
use crate::disk::Disk;
use crate::limits::CALL_MS;
use crate::oracle::{Broken, Checked, Tag, broken};
use crate::process::{Doom, Fate, close, dial, wake};
use crate::rng::{Purpose, Rng};
use crate::wire::{ConnId, Down, Reply, Request, RequestId};
use outbox::{Outbox, OutboxTx};

pub mod outbox;
mod writing;

/// What the writer has to do, in order.
#[derive(Clone, Debug)]
enum Job {
    Publish { stream: String, tags: Vec<Tag>, events: Vec<NewEvent> },
    Tx(OutboxTx),
}

/// A batch to be read and sent, in order.
#[derive(Clone, Debug)]
struct Batch {
    call: CallId,
    conn: ConnId,
    stream: StreamNo,
    generation: u32,
    epoch: u64,
    first: u64,
    number: u64,
    events_max: u32,
    bytes_max: usize,
}

/// A process.
#[derive(Debug)]
struct Process {
    core: Core,
    conn: Option<ConnId>,
    /// The core's number of the connection.
    connection: u64,
    greeted: bool,
    calls: BTreeMap<RequestId, CallId>,
    /// Which streams, in which counting, the question under way is about.
    asked: (u32, Vec<StreamNo>),
    jobs: VecDeque<Job>,
    writing: Option<(Job, bool)>,
    reads: VecDeque<Batch>,
    tick_ms: Option<u64>,
}

/// A node with a publisher.
#[derive(Debug)]
pub struct Publisher {
    node: usize,
    name: String,
    id: ProducerId,
    /// Its disk.
    pub disk: Disk<Outbox>,
    /// Copies of the outbox's file, the newest last.
    copies: Vec<Outbox>,
    /// A copy has been put in the outbox's place.
    is_restored: bool,
    process: Option<Process>,
    life: u64,
    published: u64,
    last_request: RequestId,
    doom: Doom,
    read_errors: u32,
    wall_ms: i64,
    rng: Rng,
    disk_rng: Rng,
}

impl Publisher {
    /// A node with an empty outbox and no process.
    pub fn new(seed: u64, node: usize) -> Publisher {
        let mut rng = Rng::new(seed, Purpose::Process, node as u64);
        let id = ProducerId::from_random(u128::from(rng.bits()));
        Publisher {
            node,
            name: format!("pub{node}"),
            id,
            disk: Disk::default(),
            copies: Vec::new(),
            is_restored: false,
            process: None,
            life: 0,
            published: 0,
            last_request: 0,
            doom: Doom::default(),
            read_errors: 0,
            wall_ms: 1_700_000_000_000,
            rng,
            disk_rng: Rng::new(seed, Purpose::Disk, node as u64),
        }
    }

    /// Which life its process lives; it may be dead.
    pub fn life(&self) -> u64 {
        self.life
    }

    /// Whether it runs.
    pub fn is_up(&self) -> bool {
        self.process.is_some()
    }

    /// It will die after so many more actions; `None`: it will not.
    pub fn doom(&mut self, after: Option<u32>) {
        self.doom = Doom(after);
    }

    /// Its next reads will fail.
    pub fn fail_reads(&mut self, count: u32) {
        self.read_errors += count;
    }

    /// Its wall clock jumps.
    pub fn jump(&mut self, by_ms: i64) {
        self.wall_ms += by_ms;
    }

    /// The process is gone. What it had not yet written is lost with it.
    pub fn die(&mut self, ctx: &mut Context, machine: bool) -> Checked {
        self.doom = Doom::default();
        if let Some(process) = self.process.take()
            && let Some(conn) = process.conn
        {
            close(ctx, conn);
        }
        if machine && self.disk.crash(&mut self.disk_rng) > 0 {
            ctx.coverage.hit("outbox lost unsynced transactions");
        }
        ctx.oracle.check_kept(self.node, &self.disk.seen().tags())
    }

    /// Somebody copies its file.
    pub fn copy(&mut self) {
        self.copies.push(self.disk.seen().clone());
    }

    /// The process is gone, and somebody puts a copy in the place of the outbox: what was published since is lost with
    /// what the host does not have of it. Of a copy that is not whole (the database's file without its write-ahead log)
    /// there is what an earlier one had, or nothing yet.
    pub fn restore(&mut self, ctx: &mut Context, whole: bool) -> Checked {
        self.die(ctx, false)?;
        let newest = self.copies.len().checked_sub(if whole { 1 } else { 2 });
        let copy = newest.map(|index| self.copies[index].clone()).unwrap_or_default();
        ctx.net.swallow_all_of(self.node, ctx.now_ms);
        ctx.oracle.on_outbox_restored(self.node, &copy.tags());
        self.disk.restore(copy);
        self.is_restored = true;
        Ok(())
    }

    /// Something happens to it.
    ///
    /// # Errors
    /// A broken promise.
    pub fn on(&mut self, ctx: &mut Context, what: ToNode) -> Result<Fate, Broken> {
        if matches!(what, ToNode::Start) {
            return self.start(ctx);
        }
        if self.process.is_none() {
            return Ok(Fate::Alive);
        }
        match what {
            ToNode::Start => Ok(Fate::Alive),
            ToNode::Tick => {
                self.process_mut().tick_ms = None;
                self.feed(ctx, Event::Tick)
            }
            ToNode::Down(conn, what) => self.down(ctx, conn, what),
            ToNode::Closed(conn) => self.closed(ctx, conn, "the connection is gone"),
            ToNode::OldClosed(connection) => {
                let message = "gone long ago".to_owned();
                self.feed(ctx, Event::Disconnected { connection, retryable: true, message })
            }
            ToNode::ConnectTimeout(conn) if !self.process_mut().greeted => self.closed(ctx, conn, "no greeting"),
            ToNode::ConnectTimeout(_) => Ok(Fate::Alive),
            ToNode::CallTimeout(request) => match self.process_mut().calls.contains_key(&request) {
                true => {
                    let conn = self.process_mut().conn.expect("calls belong to a connection");
                    self.closed(ctx, conn, "a call was not answered")
                }
                false => Ok(Fate::Alive),
            },
            ToNode::Written => self.written(ctx),
            ToNode::Read => self.read(ctx),
            ToNode::BackgroundSync | ToNode::Token | ToNode::NoToken(_) => Ok(Fate::Alive),
            ToNode::Publish { stream, count, equal } => {
                self.publish(ctx, stream, count, equal);
                self.write_next(ctx);
                Ok(Fate::Alive)
            }
        }
    }

    fn process_mut(&mut self) -> &mut Process {
        self.process.as_mut().expect("looked at before")
    }

    fn start(&mut self, ctx: &mut Context) -> Result<Fate, Broken> {
        self.life += 1;
        let config = CoreConfig {
            batch_events_max: ctx.setting.batch_events,
            stream_calls_max: ctx.setting.stream_calls,
            linger: Duration::from_millis(5),
            ..CoreConfig::default()
        };
        self.process = Some(Process {
            core: Core::new(config),
            conn: None,
            connection: 0,
            greeted: false,
            calls: BTreeMap::new(),
            asked: (0, Vec::new()),
            jobs: VecDeque::new(),
            writing: None,
            reads: VecDeque::new(),
            tick_ms: None,
        });
        // What an earlier life committed is there to be seen; this one syncs it before it trusts it.
        self.disk.sync();
        ctx.say(&self.name, format_args!("starts, life {}", self.life));
        let records: Vec<_> = self.disk.seen().streams.values().map(|stream| stream.record).collect();
        for record in records.into_iter().filter(|record| record.pending() > 0 || record.parked) {
            if self.feed(ctx, Event::Stored(record))? == Fate::Dead {
                return Ok(Fate::Dead);
            }
        }
        self.feed(ctx, Event::Start)
    }

    fn ask(&mut self, ctx: &mut Context, conn: ConnId, call: CallId, request: Request) {
        self.last_request += 1;
        let id = self.last_request;
        self.process_mut().calls.insert(id, call);
        ctx.send_up(conn, id, request);
        ctx.at(ctx.now_ms + CALL_MS, Happening::Node(self.node, self.life, ToNode::CallTimeout(id)));
    }

    fn down(&mut self, ctx: &mut Context, conn: ConnId, what: Down) -> Result<Fate, Broken> {
        if self.process_mut().conn != Some(conn) {
            return Ok(Fate::Alive);
        }
        match what {
            Down::Greeting => {
                self.process_mut().greeted = true;
                let connection = self.process_mut().connection;
                self.feed(ctx, Event::Connected { connection })
            }
            Down::Reply(request, reply) => {
                let Some(call) = self.process_mut().calls.remove(&request) else { return Ok(Fate::Alive) };
                let event = self.reply(ctx, call, reply);
                self.feed(ctx, event)
            }
            Down::Signal { .. } => Ok(Fate::Alive),
        }
    }

    fn reply(&mut self, ctx: &mut Context, call: CallId, reply: Reply) -> Event {
        let refused = |line: String| {
            let code = WireRefusal::from_wire(&line).map_or("internal".to_owned(), |it| it.code.as_str().to_owned());
            Event::Refused { call, refusal: Refusal::new(code, line) }
        };
        match reply {
            Reply::Reducer(Ok(())) => Event::Accepted { call },
            Reply::Reducer(Err(line)) => {
                ctx.say(&self.name, format_args!("is refused: {line}"));
                refused(line)
            }
            Reply::States(Answer::Ok(states)) => {
                let (generation, streams) = std::mem::take(&mut self.process_mut().asked);
                let state = |(no, state): (&StreamNo, &ProducerState)| {
                    let event =
                        self.disk.seen().streams.get(no).map_or(HostEvent::Unknown, |it| it.whose(generation, state));
                    HostState { epoch: state.epoch, number: state.number, event }
                };
                let states: Vec<_> = streams.iter().zip(&states).map(state).collect();
                ctx.say(&self.name, format_args!("hears {states:?}"));
                Event::States { call, states }
            }
            Reply::States(Answer::Refused(line)) => refused(line),
            other => refused(format!("{other:?}")),
        }
    }

    fn closed(&mut self, ctx: &mut Context, conn: ConnId, why: &str) -> Result<Fate, Broken> {
        if self.process_mut().conn != Some(conn) {
            return Ok(Fate::Alive);
        }
        let connection = self.process_mut().connection;
        self.let_go(ctx);
        self.feed(ctx, Event::Disconnected { connection, retryable: true, message: why.to_owned() })
    }

    fn let_go(&mut self, ctx: &mut Context) {
        let process = self.process_mut();
        process.calls.clear();
        process.reads.clear();
        process.greeted = false;
        if let Some(conn) = process.conn.take() {
            close(ctx, conn);
        }
    }

    /// Tells the core, and does what it says; the process may die before any of it.
    fn feed(&mut self, ctx: &mut Context, event: Event) -> Result<Fate, Broken> {
        let random = self.rng.bits();
        let now = Duration::from_millis(ctx.now_ms);
        let before = self.process_mut().core.counters();
        let actions = self.process_mut().core.on(now, random, event);
        let after = self.process_mut().core.counters();
        ctx.coverage.add("publisher: duplicate found when asked", after.duplicates - before.duplicates);
        ctx.coverage.add("publisher: numbers rebased", after.rebased - before.rebased);
        ctx.coverage.add("publisher: another epoch noticed", after.epochs - before.epochs);
        ctx.coverage.add("publisher: stream parked", after.parked - before.parked);
        ctx.coverage.add("publisher: call refused", after.refused_calls - before.refused_calls);
        for action in actions {
            if self.doom.strikes() {
                return Ok(Fate::Dead);
            }
            self.carry_out(ctx, action)?;
        }
        self.write_next(ctx);
        let process = self.process.as_mut().expect("alive");
        let deadline = process.core.next_deadline();
        wake(ctx, self.node, self.life, &mut process.tick_ms, deadline);
        Ok(Fate::Alive)
    }

    fn carry_out(&mut self, ctx: &mut Context, action: Action) -> Checked {
        match action {
            Action::Connect { connection } => {
                if self.process_mut().conn.is_some() {
                    return broken(0, format!("{}: connects while connected", self.name));
                }
                let conn = dial(ctx, self.node, self.life);
                self.process_mut().conn = Some(conn);
                self.process_mut().connection = connection;
            }
            Action::Disconnect { connection } => {
                if self.process_mut().connection == connection {
                    self.let_go(ctx);
                }
            }
            Action::Ask { call, generation, streams } => {
                let Some(conn) = self.process_mut().conn else { return Ok(()) };
                self.process_mut().asked = (generation, streams.clone());
                let outbox = self.disk.seen();
                let streams = streams.iter().map(|no| outbox.streams[no].id.clone()).collect();
                let producer = producer_of(self.id, generation).to_string();
                let request = Request::ProducerState { producer, streams };
                self.ask(ctx, conn, call, request);
            }
            Action::Append { call, stream, generation, epoch, first, number, events_max, bytes_max } => {
                let Some(conn) = self.process_mut().conn else { return Ok(()) };
                let batch = Batch { call, conn, stream, generation, epoch, first, number, events_max, bytes_max };
                self.process_mut().reads.push_back(batch);
                let wait_ms = self.disk_rng.between(0, ctx.setting.disk_ms.1.min(20));
                ctx.at(ctx.now_ms + wait_ms, Happening::Node(self.node, self.life, ToNode::Read));
            }
            Action::RenewToken { .. } | Action::TokenTaken { .. } => {}
            Action::Save(record) => self.process_mut().jobs.push_back(Job::Tx(OutboxTx::Save(record))),
            Action::Park { stream, refusal } => {
                ctx.say(&self.name, format_args!("parks stream {stream}: {}", refusal.code));
                self.process_mut().jobs.push_back(Job::Tx(OutboxTx::Park(stream)));
            }
            Action::Forget(upto) => {
                self.check_forget(ctx, &upto)?;
                self.process_mut().jobs.push_back(Job::Tx(OutboxTx::Forget(upto)));
            }
        }
        Ok(())
    }

    /// A person accepts what parked streams lost. Returns how many there were.
    pub fn accept_parked(&mut self, ctx: &mut Context) -> usize {
        let parked = self.parked();
        if self.is_restored && !parked.is_empty() {
            // As its words say: what it holds goes out as new events, some perhaps twice.
            ctx.oracle.on_repeats_accepted(self.node);
        }
        if let Some(process) = &mut self.process {
            process.jobs.extend(parked.iter().map(|no| Job::Tx(OutboxTx::Accept(*no))));
            self.write_next(ctx);
        }
        parked.len()
    }

    /// Streams that wait for a person.
    pub fn parked(&self) -> Vec<StreamNo> {
        let streams = self.disk.seen().streams.iter();
        streams.filter(|(_, stream)| stream.record.parked).map(|(no, _)| *no).collect()
    }

    /// How many events are not confirmed.
    pub fn pending(&self) -> u64 {
        self.disk.seen().streams.values().map(|stream| stream.record.pending()).sum()
    }
}
