//! Evidence: what a gate saw, or what a promotion decided, as signed statements in a folder.
//!
//! A statement is an in-toto Statement v1 (`statement.rs`) in a DSSE envelope (`dsse.rs`), signed with an operator's key
//! (`keys.rs`), one envelope a file; each statement names the envelope before it, so a folder is a chain (`folder.rs`).
//! What holds of a folder, and precisely what does not, is found out in `verify.rs`.
//!
//! What always holds: nothing of a payload is parsed before a trusted key's signature over its bytes holds, and no key is
//! chosen, trusted or refused because of what an envelope says about itself. There is no head file: where a folder ends,
//! only somebody outside of it can say ([`Trust::head`]).

mod decision;
mod dsse;
mod folder;
mod json;
mod keys;
mod statement;
mod verify;

pub use decision::{Act, Decision, Input};
pub use dsse::{Envelope, EnvelopeFault, PAYLOAD_TYPE, Signature, VerifiedPayload, pae};
pub use folder::{EvidenceDir, FolderError, SUFFIX, Written};
pub use keys::{Algorithm, KeyError, PublicKey, Signer};
pub use statement::{
    Body, CHAIN_FIELD, Link, PREDICATE_TEST_RESULT, PREDICATE_VSA, Previous, STATEMENT_TYPE, Statement,
};
pub use verify::{Code, Entry, File, Finding, Trust, Verdict, verify, verify_one};
