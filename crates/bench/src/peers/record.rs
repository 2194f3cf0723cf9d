//! What stands beside the figures: the machine, every setting, and what repeats a row.
//!
//! What always holds: settings are read from where they are used, so that they cannot say something else.

use super::results::Row;
use super::servers::{POSTGRES, REDIS};
use super::system::System;
use crate::limits::{APPEND_EVENTS, CEILING_EVENTS, PEERS_READ_EVENTS, PEERS_SEND_EVENTS_MAX};
use crate::machine::Machine;

/// Where it was measured, in one line.
pub(super) fn describe(machine: &Machine) -> String {
    let Machine { processor, cores, memory_mib, kernel, file_system, build, .. } = machine;
    format!("{cores} cores ({processor}), {memory_mib} MiB, Linux {kernel}, {file_system}; built {build}")
}

/// Every setting of every system that is not its default, and those defaults that matter.
pub(super) fn settings() -> Vec<String> {
    vec![
        "muster: defaults".into(),
        format!("redis-server {}", REDIS.join(" ")),
        "nats-server: jetstream, file storage, defaults; acknowledged before it is synced, synced every 2 minutes".into(),
        format!("postgres -c {}", POSTGRES.join(" -c ")),
        format!(
            "publisher: {APPEND_EVENTS} events handed over at a time; peers: up to {PEERS_SEND_EVENTS_MAX} events in a transaction \
             or statement, 8 on their way; readers ask for {PEERS_READ_EVENTS} at a time, as Muster's does"
        ),
        format!(
            "engine in-process: {CEILING_EVENTS:?} events in an append, or as many as fit into a mebibyte; in each repeat \
             the better"
        ),
        "redis streams: XADD in pipelines, each a transaction (MULTI/EXEC)".into(),
        "redis streams, xread: no consumer group, read from the id that the subscriber's database has".into(),
        "postgresql, copy: COPY in its binary format instead of INSERT".into(),
        "postgresql: ids from a sequence with CACHE 1000".into(),
        "outbox of peers: SQLite, WAL, synchronous=FULL, one row for a batch; never read back, repeats not recognised".into(),
        "subscriber: SQLite, WAL, synchronous=FULL, events and cursor in one transaction".into(),
        "both ends alone: the outbox and the store of the peers, at the same time, without a server; what the store is given \
         was made before the clock ran"
            .into(),
        format!(
            "both ends and the engine: as above, and the engine in a process of its own appends the same events at the same time, \
             {CEILING_EVENTS:?} in an append or as many as fit into a mebibyte, in each repeat the better, hashed and encoded \
             before the clock ran"
        ),
        "three syncs alone: a thread and a file each, written over what is there, one fdatasync for all that waits".into(),
    ]
}

/// What repeats a row as it was measured: its workload's command, with the name of a system that is measured only if named,
/// and the options that there were.
pub(super) fn repeats(row: &Row, options: &str) -> String {
    let copy = System::PostgresCopy;
    let named = if row.system == copy.name(true) { " --system postgres-copy" } else { "" };
    format!("{}{named}{options}", row.command)
}

#[cfg(test)]
mod tests {
    use super::super::results::Samples;
    use super::*;

    #[test]
    fn the_command_of_a_row_names_what_is_measured_only_if_named() {
        let mut samples = Samples::default();
        samples.add("w", "muster bench peers w", ("postgresql", "d"), "ms", 1.0);
        samples.add("w", "muster bench peers w", ("postgresql, copy", "d"), "ms", 1.0);
        let commands: Vec<String> = samples.rows("1").iter().map(|row| repeats(row, " --repeats 2")).collect();
        let copy = "muster bench peers w --system postgres-copy --repeats 2";
        assert_eq!(commands, ["muster bench peers w --repeats 2", copy]);
    }
}
