//! Procedures: functions that return values, open their own transactions, and may fail half way.

use spacetimedb::{Identity, ProcedureContext, Table, Timestamp};

/// What procedures leave behind.
#[spacetimedb::table(accessor = ledger, public)]
pub struct Ledger {
    #[primary_key]
    #[auto_inc]
    pub id: u64,
    pub amount: i64,
}

/// A procedure's answer that is more than one value.
#[derive(spacetimedb::SpacetimeType)]
pub struct Receipt {
    pub id: u64,
    pub booked_for: Identity,
    pub at: Timestamp,
}

/// Returns a value and touches nothing.
#[spacetimedb::procedure]
pub fn add_up(_ctx: &mut ProcedureContext, a: u64, b: u64) -> u64 {
    a + b
}

/// Books in a transaction of its own.
#[spacetimedb::procedure]
pub fn book(ctx: &mut ProcedureContext, amount: i64) -> Receipt {
    let id = ctx.with_tx(|tx| tx.db.ledger().insert(Ledger { id: 0, amount }).id);
    Receipt { id, booked_for: ctx.sender(), at: ctx.timestamp }
}

/// Books once and then once more in a transaction that it takes back: an error is an ordinary value.
#[spacetimedb::procedure]
pub fn book_and_regret(ctx: &mut ProcedureContext, amount: i64) -> Result<u64, String> {
    let kept = ctx.with_tx(|tx| tx.db.ledger().insert(Ledger { id: 0, amount }).id);
    ctx.try_with_tx(|tx| {
        tx.db.ledger().insert(Ledger { id: 0, amount: -amount });
        Err(format!("kept {kept}, took the other back"))
    })
}

/// Panics.
#[spacetimedb::procedure]
pub fn panic_on_purpose(_ctx: &mut ProcedureContext) {
    panic!("on purpose");
}
