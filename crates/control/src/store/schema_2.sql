-- Version 2: whose state this is, how far each module has heard of revocations, and which clients try a candidate.
CREATE TABLE fact (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
-- Every revocation up to `seq` was taken by the module of this name. There are several where a candidate runs beside the
-- lane's own; one that is new hears all that is remembered.
CREATE TABLE delivery (
    target TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    at_s INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
DROP INDEX revocation_waiting;
ALTER TABLE revocation DROP COLUMN delivered_s;
CREATE TABLE cohort (
    database TEXT PRIMARY KEY,
    candidate TEXT NOT NULL,
    hundredths INTEGER NOT NULL,
    since_s INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- A candidate that a database's clients are no more sent to, and until when tokens that were good there may live.
CREATE TABLE former_candidate (
    database TEXT NOT NULL,
    candidate TEXT NOT NULL,
    until_s INTEGER NOT NULL,
    PRIMARY KEY (database, candidate)
) STRICT, WITHOUT ROWID;
