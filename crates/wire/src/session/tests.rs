use spacetimedb_lib::Timestamp;

use super::*;
use crate::update::CallOutcome;

mod model;

const SECOND: Duration = Duration::from_secs(1);

fn session() -> Session {
    Session::new(Timeouts::default(), &Queues::default())
}

fn at(seconds: u64) -> Duration {
    SECOND * u32::try_from(seconds).expect("a short test")
}

fn ask(call: CallId, request: Request) -> Event {
    Event::Ask { call, request, timeout: at(30), deadline: at(30) }
}

fn subscribe() -> Request {
    Request::Subscribe { queries: vec!["SELECT * FROM t".into()] }
}

fn reducer() -> Request {
    Request::Reducer { name: "r".into(), args: Default::default() }
}

fn one_row() -> RowList {
    RowList { size_hint: RowSizeHint::FixedSize(1), rows_data: vec![1].into() }
}

fn applied(request_id: u32, id: u32) -> Event {
    let tables = vec![SingleTableRows { table: "t".into(), rows: one_row() }];
    let rows = QueryRows { tables };
    let query_set_id = QuerySetId { id };
    Event::Message(ServerMessage::SubscribeApplied(SubscribeApplied { request_id, query_set_id, rows }))
}

fn unsubscribed(request_id: u32, id: u32) -> Event {
    let query_set_id = QuerySetId { id };
    Event::Message(ServerMessage::UnsubscribeApplied(UnsubscribeApplied { request_id, query_set_id, rows: None }))
}

fn failed(request_id: Option<u32>, id: u32) -> Event {
    let query_set_id = QuerySetId { id };
    Event::Message(ServerMessage::SubscriptionError(SubscriptionError { request_id, query_set_id, error: "no".into() }))
}

fn change_of(ids: &[u32]) -> TransactionUpdate {
    let set = |id: &u32| {
        let empty = RowList { size_hint: RowSizeHint::RowOffsets(vec![]), rows_data: Default::default() };
        let rows = vec![TableUpdateRows::PersistentTable(PersistentTableRows { inserts: one_row(), deletes: empty })];
        QuerySetUpdate {
            query_set_id: QuerySetId { id: *id },
            tables: vec![TableUpdate { table_name: "t".into(), rows }],
        }
    };
    TransactionUpdate { query_sets: ids.iter().map(set).collect() }
}

fn changed(ids: &[u32]) -> Event {
    Event::Message(ServerMessage::TransactionUpdate(change_of(ids)))
}

fn reduced(request_id: u32, result: ReducerOutcome) -> Event {
    let timestamp = Timestamp::from_micros_since_unix_epoch(0);
    Event::Message(ServerMessage::ReducerResult(ReducerResult { request_id, timestamp, result }))
}

/// What the application is told, in short.
fn told(actions: &[Action]) -> Vec<String> {
    actions
        .iter()
        .map(|action| match action {
            Action::Send(ClientMessage::Subscribe(it)) => format!("send subscribe {}", it.query_set_id.id),
            Action::Send(ClientMessage::Unsubscribe(it)) => format!("send unsubscribe {}", it.query_set_id.id),
            Action::Send(_) => "send".into(),
            Action::Ping => "ping".into(),
            Action::Close => "close".into(),
            Action::Reply { call, result: Ok(Reply::Subscribed(it)) } => format!("{call}: live {}", it.query_set.id),
            Action::Reply { call, result: Ok(_) } => format!("{call}: ok"),
            Action::Reply { call, result: Err(error) } => format!("{call}: {error}"),
            Action::Deliver(Update::Transaction(it)) => {
                let ids: Vec<_> = it.query_sets.iter().map(|set| set.query_set.id).collect();
                format!("update of {ids:?}")
            }
            Action::Deliver(it) => format!("{it:?}"),
            Action::End(reason) => format!("end: {reason}"),
        })
        .collect()
}

/// A session with set 1 live.
fn with_a_live_set() -> Session {
    let mut session = session();
    session.on(at(0), ask(1, subscribe()));
    assert_eq!(told(&session.on(at(0), applied(1, 1))), ["1: live 1"]);
    session
}

#[test]
fn an_answer_goes_to_the_caller_who_asked() {
    let mut session = session();
    session.on(at(0), ask(10, reducer()));
    session.on(at(0), ask(11, reducer()));
    assert_eq!(told(&session.on(at(1), reduced(2, ReducerOutcome::OkEmpty))), ["11: ok"]);
    assert_eq!(told(&session.on(at(1), reduced(1, ReducerOutcome::OkEmpty))), ["10: ok"]);
}

#[test]
fn the_callers_own_changes_come_before_the_answer() {
    let mut session = with_a_live_set();
    session.on(at(0), ask(2, reducer()));
    let ok = ReducerOk { ret_value: Default::default(), transaction_update: change_of(&[1]) };
    assert_eq!(told(&session.on(at(1), reduced(2, ReducerOutcome::Ok(ok)))), ["update of [1]", "2: ok"]);
}

#[test]
fn the_callers_own_changes_come_even_after_the_caller_gave_up() {
    let mut session = with_a_live_set();
    session.on(at(0), ask(2, reducer()));
    session.on(at(29), Event::Heard);
    let limit = "2: no answer within 30 s; the host may have carried it out";
    assert_eq!(told(&session.on(at(30), Event::Tick)), [limit]);
    let ok = ReducerOk { ret_value: Default::default(), transaction_update: change_of(&[1]) };
    assert_eq!(told(&session.on(at(31), reduced(2, ReducerOutcome::Ok(ok)))), ["update of [1]"]);
}

#[test]
fn a_reducers_refusal_is_an_answer_with_its_words() {
    let mut session = session();
    session.on(at(0), ask(1, reducer()));
    let error = spacetimedb_sats::bsatn::to_vec("too long").expect("encodes");
    let actions = session.on(at(1), reduced(1, ReducerOutcome::Err(error.into())));
    let [Action::Reply { result: Ok(Reply::Reducer(reply)), .. }] = &actions[..] else { panic!("{actions:?}") };
    assert!(matches!(reply.outcome, CallOutcome::Refused(_)));
    assert_eq!(reply.outcome.message().as_deref(), Some("too long"));
}

#[test]
fn a_caller_who_gave_up_keeps_its_place_until_the_host_answers() {
    let queues = Queues { in_flight: 1, ..Queues::default() };
    let mut session = Session::new(Timeouts::default(), &queues);
    session.on(at(0), ask(1, reducer()));
    assert_eq!(session.room(), 0);
    session.on(at(29), Event::Heard);
    session.on(at(30), Event::Tick);
    assert_eq!(session.room(), 0, "the host still has it in its queue");
    session.on(at(31), reduced(1, ReducerOutcome::OkEmpty));
    assert_eq!(session.room(), 1);
}

#[test]
fn a_request_that_waited_too_long_is_never_sent() {
    let mut session = session();
    let expected = "1: no answer within 30 s, the request was still waiting to be sent; the host has not seen it";
    assert_eq!(told(&session.on(at(30), ask(1, reducer()))), [expected]);
    let large = Request::Reducer { name: "r".into(), args: vec![0; OUTBOUND_BYTES_MAX].into() };
    let actions = session.on(at(0), ask(2, large));
    assert!(matches!(&actions[..], [Action::Reply { result: Err(CallError::TooLarge { .. }), .. }]), "{actions:?}");
}

#[test]
fn numbers_begin_again_without_meeting_one_that_is_still_in_use() {
    let mut session = with_a_live_set();
    session.on(at(0), ask(2, reducer()));
    (session.last_request_id, session.last_query_set) = (u32::MAX, u32::MAX);
    session.on(at(0), ask(3, reducer()));
    (session.last_request_id, session.last_query_set) = (1, 0);
    let actions = session.on(at(0), ask(4, subscribe()));
    let [Action::Send(ClientMessage::Subscribe(sent))] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!((sent.request_id, sent.query_set_id.id), (3, 2), "request 2 and set 1 are in use");
}

#[test]
fn only_live_sets_are_updated() {
    let mut session = with_a_live_set();
    session.on(at(1), ask(2, subscribe()));
    assert_eq!(told(&session.on(at(1), changed(&[1, 9]))), ["update of [1]"]);
    session.on(at(1), ask(3, Request::Unsubscribe { query_set: QuerySetId { id: 1 } }));
    assert!(session.on(at(1), changed(&[1])).is_empty(), "it is being unsubscribed");
    assert_eq!(told(&session.on(at(1), unsubscribed(3, 1))), ["3: ok"]);
}

#[test]
fn a_query_that_the_host_refuses_leaves_nothing_behind() {
    let mut session = session();
    session.on(at(0), ask(1, subscribe()));
    assert_eq!(told(&session.on(at(0), failed(Some(1), 1))), ["1: the host refused: no"]);
    let error = "2: the host refused: there is no live subscription 1";
    assert_eq!(told(&session.on(at(0), ask(2, Request::Unsubscribe { query_set: QuerySetId { id: 1 } }))), [error]);
}

#[test]
fn a_live_set_that_fails_is_told_once() {
    let mut session = with_a_live_set();
    let told_so = told(&session.on(at(1), failed(None, 1)));
    assert!(told_so.len() == 1 && told_so[0].starts_with("SubscriptionFailed"), "{told_so:?}");
    assert!(session.on(at(1), failed(None, 1)).is_empty());
    assert!(session.on(at(1), changed(&[1])).is_empty());
}

#[test]
fn a_subscription_that_nobody_waits_for_any_more_is_undone() {
    let mut session = session();
    session.on(at(0), ask(1, subscribe()));
    session.on(at(29), Event::Heard);
    session.on(at(30), Event::Tick);
    assert_eq!(told(&session.on(at(31), applied(1, 1))), ["send unsubscribe 1"]);
    assert!(session.on(at(31), changed(&[1])).is_empty());
    assert!(session.on(at(32), unsubscribed(2, 1)).is_empty());
    assert_eq!(session.room(), Queues::default().in_flight);

    let mut session = with_a_live_set();
    assert_eq!(told(&session.on(at(1), Event::Unclaimed(QuerySetId { id: 1 }))), ["send unsubscribe 1"]);
}

#[test]
fn an_answer_that_nobody_asked_for_ends_the_session() {
    let violations = [
        reduced(1, ReducerOutcome::OkEmpty),
        unsubscribed(7, 1),
        Event::Message(ServerMessage::InitialConnection(InitialConnection {
            identity: Default::default(),
            connection_id: spacetimedb_lib::ConnectionId::ZERO,
            token: "t".into(),
        })),
    ];
    for violation in violations {
        let mut session = session();
        session.on(at(0), ask(1, subscribe()));
        let told_so = told(&session.on(at(0), violation.clone()));
        assert!(told_so.last().is_some_and(|last| last.starts_with("end: the host broke the protocol")), "{told_so:?}");
        assert!(session.has_ended());
    }
}

#[test]
fn a_silent_connection_is_pinged_and_then_given_up() {
    let mut session = session();
    session.on(at(0), ask(1, reducer()));
    assert_eq!(session.next_deadline(), at(10));
    assert_eq!(told(&session.on(at(10), Event::Tick)), ["ping"]);
    assert_eq!(told(&session.on(at(20), Event::Tick)), ["ping"]);
    assert_eq!(
        told(&session.on(at(30), Event::Tick)),
        [
            "1: the connection ended before the answer (silent for 30 s); the host may have carried it out",
            "end: silent for 30 s"
        ]
    );
}

#[test]
fn a_connection_that_hears_something_lives() {
    let mut session = session();
    for second in 1..=100 {
        assert!(session.on(at(second), Event::Heard).is_empty());
        assert!(session.on(at(second), Event::Tick).is_empty());
    }
    assert_eq!(session.next_deadline(), at(110));
}

#[test]
fn silence_does_not_count_while_the_application_is_slow_but_pings_go_on() {
    let mut session = session();
    let mut pings = 0;
    for second in 1..=100 {
        session.on(at(second), Event::NotListening);
        let told_so = told(&session.on(at(second), Event::Tick));
        pings += told_so.iter().filter(|it| *it == "ping").count();
        assert!(!session.has_ended(), "after {second} s: {told_so:?}");
    }
    assert_eq!(pings, 10, "or the host would take this client for dead");
    assert_eq!(told(&session.on(at(130), Event::Tick)), ["end: silent for 30 s"]);
}

#[test]
fn closing_lets_answers_in_and_ends_when_the_host_agrees_or_time_is_up() {
    let mut session = session();
    session.on(at(0), ask(1, reducer()));
    session.on(at(0), ask(2, reducer()));
    assert_eq!(told(&session.on(at(1), Event::Close)), ["close"]);
    assert!(session.on(at(1), Event::Close).is_empty(), "once is enough");
    let late = "3: the connection ended before the answer (closed by this client); the host has not seen it";
    assert_eq!(told(&session.on(at(1), ask(3, reducer()))), [late]);
    assert_eq!(told(&session.on(at(2), reduced(1, ReducerOutcome::OkEmpty))), ["1: ok"]);
    let unanswered =
        "2: the connection ended before the answer (closed by this client); the host may have carried it out";
    let mut impatient = told(&session.on(at(6), Event::Tick));
    assert_eq!(impatient.pop().as_deref(), Some("end: closed by this client"));
    assert_eq!(impatient, [unanswered]);

    let mut agreed = with_a_live_set();
    agreed.on(at(1), Event::Close);
    let goodbye = Event::HostClosed { code: 1000, said: String::new() };
    assert_eq!(told(&agreed.on(at(2), goodbye)), ["end: closed by this client"]);
}

#[test]
fn after_the_end_nothing_happens_any_more() {
    let mut session = session();
    session.on(at(0), Event::Failed(ClosedReason::Lost { reason: "cut".into() }));
    assert!(session.has_ended());
    for event in [Event::Tick, Event::Heard, Event::Close, changed(&[1])] {
        assert!(session.on(at(1), event).is_empty());
    }
    assert_eq!(session.on(at(1), ask(1, reducer())).len(), 1, "but a caller is answered");
}
