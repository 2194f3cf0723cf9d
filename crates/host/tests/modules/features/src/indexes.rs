//! Every kind of index and constraint, and an auto-increment column.

use spacetimedb::{ProcedureContext, ReducerContext, Table, TxContext};

/// A person, found in many ways.
#[spacetimedb::table(
    accessor = member,
    public,
    index(accessor = by_team_and_rank, btree(columns = [team, rank]))
)]
pub struct Member {
    #[primary_key]
    #[auto_inc]
    pub id: u64,
    #[unique]
    pub email: String,
    #[unique]
    #[index(direct)]
    pub seat: u32,
    #[index(btree)]
    pub age: u8,
    #[index(hash)]
    pub city: String,
    pub team: String,
    pub rank: u32,
}

/// Adds a person; the id is the host's to choose.
#[spacetimedb::reducer]
pub fn add_member(
    ctx: &ReducerContext,
    email: String,
    seat: u32,
    age: u8,
    city: String,
    team: String,
    rank: u32,
) -> Result<(), String> {
    let member = Member { id: 0, email, seat, age, city, team, rank };
    ctx.db.member().try_insert(member).map(|_| ()).map_err(|e| e.to_string())
}

/// Which index [`find_members`] asks.
#[derive(spacetimedb::SpacetimeType, Clone)]
pub enum Search {
    /// The unique index.
    Email(String),
    /// The direct index.
    Seat(u32),
    /// The btree index, from and up to and including.
    Ages(AgeRange),
    /// The hash index.
    City(String),
    /// The btree index over two columns, by its first alone.
    Team(String),
    /// The btree index over two columns, by both.
    TeamAndRank(TeamAndRank),
}

/// From and up to and including.
#[derive(spacetimedb::SpacetimeType, Clone)]
pub struct AgeRange {
    pub from: u8,
    pub to: u8,
}

/// Both columns of the index.
#[derive(spacetimedb::SpacetimeType, Clone)]
pub struct TeamAndRank {
    pub team: String,
    pub rank: u32,
}

/// The ids of those whom an index finds, in order.
#[spacetimedb::procedure]
pub fn find_members(ctx: &mut ProcedureContext, search: Search) -> Vec<u64> {
    ctx.with_tx(|tx| ids(tx, search.clone()))
}

fn ids(tx: &TxContext, search: Search) -> Vec<u64> {
    let members = tx.db.member();
    let mut found: Vec<u64> = match search {
        Search::Email(email) => members.email().find(email).map(|m| m.id).into_iter().collect(),
        Search::Seat(seat) => members.seat().find(seat).map(|m| m.id).into_iter().collect(),
        Search::Ages(AgeRange { from, to }) => members.age().filter(from..=to).map(|m| m.id).collect(),
        Search::City(city) => members.city().filter(&city).map(|m| m.id).collect(),
        Search::Team(team) => members.by_team_and_rank().filter(&team).map(|m| m.id).collect(),
        Search::TeamAndRank(TeamAndRank { team, rank }) => {
            members.by_team_and_rank().filter((&team, rank)).map(|m| m.id).collect()
        }
    };
    found.sort_unstable();
    found
}
