//! The test vectors for other languages, `vectors/*.json`: what each input gives.
//!
//! What always holds: this crate answers every vector as its file says, and the files hold exactly what the inputs below
//! give. `MUSTER_WRITE_VECTORS=1 cargo test -p muster-contract --test vectors` writes them anew; what changes in them is
//! a change of the protocol, and to be read as one.

use std::path::PathBuf;

use serde_json::{Value, json};

mod canonical;
mod codes;
mod decisions;
mod names;

/// A file of vectors: what it is about, what goes in, and how the crate answers one input.
struct Family {
    file: &'static str,
    about: &'static str,
    inputs: fn() -> Vec<Value>,
    answer: fn(&Value) -> Value,
}

const FAMILIES: &[Family] = &[
    Family {
        file: "topics.json",
        about: "A topic gives its stream; a stream gives its topic, or null where no topic maps to it. A text that is \
                neither gives its error code.",
        inputs: names::topics,
        answer: names::topic_answer,
    },
    Family {
        file: "patterns.json",
        about: "Whether a pattern matches a stream, whether it covers another pattern, and every pattern that matches a \
                stream.",
        inputs: names::patterns,
        answer: names::pattern_answer,
    },
    Family {
        file: "canonical.json",
        about: "A JSON text (or its bytes in hex, where they are no text) gives its canonical form after RFC 8785 and the \
                hash of that, or the reason why it has none.",
        inputs: canonical::inputs,
        answer: canonical::answer,
    },
    Family {
        file: "resume.json",
        about: "What a reader does that has applied this much of a stream that holds that much; null: nothing, no such \
                stream, no budget.",
        inputs: decisions::resumes,
        answer: decisions::resume_answer,
    },
    Family {
        file: "producer.json",
        about: "What the host does with numbers first, first + 1, … (count) of a producer whose highest accepted number is \
                last_accepted, and whether such a run lands where its producer expects its first event.",
        inputs: decisions::runs,
        answer: decisions::run_answer,
    },
    Family {
        file: "refusals.json",
        about: "A reducer's error string gives the refusal it carries, or null where it is none.",
        inputs: codes::refusals,
        answer: codes::refusal_answer,
    },
    Family {
        file: "codes.json",
        about: "Every error code: whether the same request may succeed later by itself, and whether it is certain that \
                nothing happened.",
        inputs: codes::codes,
        answer: codes::code_answer,
    },
];

fn path(family: &Family) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors").join(family.file)
}

fn text(family: &Family) -> String {
    std::fs::read_to_string(path(family)).unwrap_or_else(|error| panic!("{}: {error}", family.file))
}

/// The file as it should be: one vector a line, so that a change shows as the vector that it changes.
fn generate(family: &Family) -> String {
    let inputs = (family.inputs)();
    let lines: Vec<String> = inputs
        .iter()
        .map(|given| format!("    {}", json!({ "given": given, "gives": (family.answer)(given) })))
        .collect();
    format!("{{\n  \"about\": {},\n  \"vectors\": [\n{}\n  ]\n}}\n", json!(family.about), lines.join(",\n"))
}

#[test]
fn the_crate_answers_every_vector_as_its_file_says() {
    for family in FAMILIES {
        let file: Value = serde_json::from_str(&text(family)).expect("a vector file is JSON");
        let vectors = file["vectors"].as_array().expect("a list of vectors");
        assert!(!vectors.is_empty(), "{} is empty", family.file);
        for vector in vectors {
            assert_eq!((family.answer)(&vector["given"]), vector["gives"], "{}: {}", family.file, vector["given"]);
        }
    }
}

#[test]
fn the_files_hold_exactly_what_the_inputs_give() {
    let write = std::env::var_os("MUSTER_WRITE_VECTORS").is_some();
    for family in FAMILIES {
        let generated = generate(family);
        if write {
            std::fs::write(path(family), &generated).expect("the vectors folder can be written");
        }
        assert!(
            text(family) == generated,
            "{} is not what its inputs give; if the protocol was meant to change, run with MUSTER_WRITE_VECTORS=1",
            family.file
        );
    }
}

/// A field that must be a string.
fn string<'v>(given: &'v Value, field: &str) -> Option<&'v str> {
    given[field].as_str()
}
