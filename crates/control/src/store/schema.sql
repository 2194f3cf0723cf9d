-- The token service's database, version 1. Times are seconds since 1970. No secret stands here in clear: client secrets
-- as argon2id, refresh tokens as SHA-256, private keys in files of their own.
CREATE TABLE client (
    id TEXT PRIMARY KEY,
    description TEXT NOT NULL,
    disabled INTEGER NOT NULL DEFAULT 0,
    scopes TEXT NOT NULL,
    streams TEXT NOT NULL,
    role TEXT,
    subject_prefixes TEXT NOT NULL,
    permissions TEXT NOT NULL,
    access_lifetime_s INTEGER NOT NULL,
    session_lifetime_s INTEGER NOT NULL,
    created_s INTEGER NOT NULL
) STRICT;
CREATE TABLE client_secret (
    client_id TEXT NOT NULL REFERENCES client (id),
    phc TEXT NOT NULL,
    created_s INTEGER NOT NULL,
    expires_s INTEGER
) STRICT;
CREATE INDEX client_secret_client ON client_secret (client_id);
CREATE TABLE client_key (
    client_id TEXT NOT NULL REFERENCES client (id),
    kid TEXT NOT NULL,
    x TEXT NOT NULL,
    y TEXT NOT NULL,
    created_s INTEGER NOT NULL,
    PRIMARY KEY (client_id, kid)
) STRICT;
-- A client assertion is good once (RFC 7523 section 3, item 7).
CREATE TABLE assertion (
    client_id TEXT NOT NULL,
    jti TEXT NOT NULL,
    expires_s INTEGER NOT NULL,
    PRIMARY KEY (client_id, jti)
) STRICT, WITHOUT ROWID;
CREATE TABLE session (
    id TEXT PRIMARY KEY,
    client_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    actors TEXT NOT NULL,
    role TEXT,
    client_build TEXT,
    scopes TEXT NOT NULL,
    streams TEXT NOT NULL,
    parent TEXT,
    created_s INTEGER NOT NULL,
    used_s INTEGER NOT NULL,
    ends_s INTEGER NOT NULL,
    revoked_s INTEGER,
    reason TEXT
) STRICT;
CREATE INDEX session_client ON session (client_id);
CREATE INDEX session_parent ON session (parent);
CREATE INDEX session_ends ON session (ends_s);
CREATE TABLE refresh_token (
    hash BLOB PRIMARY KEY,
    session_id TEXT NOT NULL REFERENCES session (id),
    issued_s INTEGER NOT NULL,
    spent_s INTEGER
) STRICT;
CREATE INDEX refresh_token_session ON refresh_token (session_id);
CREATE TABLE access_token (
    jti TEXT PRIMARY KEY,
    session_id TEXT NOT NULL REFERENCES session (id),
    issued_s INTEGER NOT NULL,
    expires_s INTEGER NOT NULL,
    revoked_s INTEGER
) STRICT;
CREATE INDEX access_token_session ON access_token (session_id);
CREATE INDEX access_token_expires ON access_token (expires_s);
-- What the lane's module must be told. AUTOINCREMENT: a number is never given twice, so a reader's place in the feed
-- stays right after old rows are deleted.
CREATE TABLE revocation (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    at_s INTEGER NOT NULL,
    expires_s INTEGER NOT NULL,
    reason TEXT NOT NULL,
    delivered_s INTEGER
) STRICT;
CREATE INDEX revocation_waiting ON revocation (seq) WHERE delivered_s IS NULL;
CREATE TABLE signing_key (
    kid TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    since_s INTEGER NOT NULL,
    wanted INTEGER NOT NULL DEFAULT 0,
    x TEXT NOT NULL,
    y TEXT NOT NULL,
    created_s INTEGER NOT NULL
) STRICT;
-- Two keys never sign at once, whatever a program does.
CREATE UNIQUE INDEX signing_key_active ON signing_key (state) WHERE state = 'active';
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY,
    at_s INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL,
    hash BLOB NOT NULL
) STRICT;
CREATE TRIGGER audit_is_not_updated BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_is_not_replaced BEFORE INSERT ON audit
WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM audit)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
