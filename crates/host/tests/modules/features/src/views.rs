//! Views: for everybody and for each caller, computed by code and by a query.

use spacetimedb::{AnonymousViewContext, Identity, Query, ReducerContext, SpacetimeType, Table, ViewContext};

/// A task, which no client may read but through the views.
#[spacetimedb::table(accessor = task)]
pub struct Task {
    #[primary_key]
    #[auto_inc]
    pub id: u64,
    #[index(btree)]
    pub owner: Identity,
    #[index(btree)]
    pub done: bool,
    pub title: String,
}

/// How many tasks there are.
#[derive(SpacetimeType)]
pub struct TaskCount {
    pub open: u64,
}

/// The caller's own tasks.
#[spacetimedb::view(accessor = my_tasks, public)]
pub fn my_tasks(ctx: &ViewContext) -> Vec<Task> {
    ctx.db.task().owner().filter(ctx.sender()).collect()
}

/// One row, the same for everybody.
#[spacetimedb::view(accessor = open_task_count, public)]
pub fn open_task_count(ctx: &AnonymousViewContext) -> Option<TaskCount> {
    Some(TaskCount { open: ctx.db.task().done().filter(false).count() as u64 })
}

/// The same for everybody, by a query that the engine keeps up to date row by row.
#[spacetimedb::view(accessor = done_tasks, public)]
pub fn done_tasks(ctx: &AnonymousViewContext) -> impl Query<Task> {
    ctx.from.task().filter(|task| task.done.eq(true))
}

/// Adds a task for the caller.
#[spacetimedb::reducer]
pub fn add_task(ctx: &ReducerContext, title: String) {
    ctx.db.task().insert(Task { id: 0, owner: ctx.sender(), done: false, title });
}

/// Marks the caller's tasks with this title as done.
#[spacetimedb::reducer]
pub fn finish_task(ctx: &ReducerContext, title: String) {
    let mine: Vec<Task> = ctx.db.task().owner().filter(ctx.sender()).filter(|task| task.title == title).collect();
    for task in mine {
        ctx.db.task().id().update(Task { done: true, ..task });
    }
}
