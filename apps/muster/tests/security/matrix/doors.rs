//! The doors of a database, as a table.

use std::fmt;

use super::functions::{FUNCTIONS, Function};

/// Which column of the page a door is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Subscription,
    Query,
    Sql,
    Reducer,
    Procedure,
    Call,
    Wake,
}

impl Kind {
    pub(super) const ALL: [Kind; 7] =
        [Kind::Subscription, Kind::Query, Kind::Sql, Kind::Reducer, Kind::Procedure, Kind::Call, Kind::Wake];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Kind::Subscription => "subscription",
            Kind::Query => "one-off query",
            Kind::Sql => "HTTP SQL",
            Kind::Reducer => "reducer",
            Kind::Procedure => "procedure",
            Kind::Call => "HTTP call",
            Kind::Wake => "wake",
        }
    }
}

/// By what a session gets to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// WebSocket, `v1.json.spacetimedb`.
    V1,
    /// WebSocket, `v2.bsatn.spacetimedb`.
    V2,
    /// WebSocket, `v3.bsatn.spacetimedb`.
    V3,
    Http,
}

/// What opens it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// Being let in.
    Admission,
    /// A grant that has not ended, whatever it grants.
    Grant,
    Read,
    Write,
    Snapshot,
    Presence,
    /// Nothing that a token can say.
    Owner,
}

impl Needs {
    /// Whether it is about one stream.
    pub(super) fn stream(self) -> bool {
        matches!(self, Needs::Read | Needs::Write | Needs::Snapshot)
    }
}

/// What is behind it.
#[derive(Clone, Copy)]
pub(super) enum What {
    Function(&'static Function),
    Table(&'static str),
    Wake,
}

/// One door.
#[derive(Clone, Copy)]
pub(super) struct Door {
    pub(super) kind: Kind,
    pub(super) way: Way,
    pub(super) needs: Needs,
    pub(super) what: What,
}

impl Door {
    pub(super) fn name(&self) -> &'static str {
        match self.what {
            What::Function(function) => function.name,
            What::Table(table) => table,
            What::Wake => "a wake",
        }
    }
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} by {:?}", self.kind.name(), self.name(), self.way)
    }
}

/// Tables that sessions read, and what for. Events come from procedures alone.
pub(super) const TABLES: [(&str, Needs); 5] = [
    ("active_connection", Needs::Presence),
    ("person", Needs::Presence),
    ("presence_reader", Needs::Presence),
    ("contract_info", Needs::Admission),
    ("presence_summary", Needs::Admission),
];

/// Every door there is.
pub(super) fn doors() -> Vec<Door> {
    let mut doors = Vec::new();
    for (table, needs) in TABLES {
        let what = What::Table(table);
        for way in [Way::V1, Way::V2, Way::V3] {
            doors.push(Door { kind: Kind::Subscription, way, needs, what });
        }
        for (kind, way) in [(Kind::Query, Way::V2), (Kind::Query, Way::V3), (Kind::Sql, Way::Http)] {
            doors.push(Door { kind, way, needs, what });
        }
    }
    for function in &FUNCTIONS {
        let kind = if function.answer.is_some() { Kind::Procedure } else { Kind::Reducer };
        for (kind, way) in [(kind, Way::V2), (kind, Way::V3), (Kind::Call, Way::Http)] {
            doors.push(Door { kind, way, needs: function.needs, what: What::Function(function) });
        }
    }
    for way in [Way::V2, Way::V3] {
        doors.push(Door { kind: Kind::Wake, way, needs: Needs::Read, what: What::Wake });
    }
    doors
}
