-- Version 3: what has expired is found without looking at all the rest.
CREATE INDEX assertion_expires ON assertion (expires_s);
CREATE INDEX revocation_expires ON revocation (expires_s);
