//! Why a lane cannot be read. One line each: cause, name, remedy.

/// Why a lane cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LaneError {
    /// The lane's name cannot be part of a variable's name.
    #[error("`{0}` is not a lane name: use lower-case letters, digits and hyphens, beginning with a letter")]
    Name(String),
    /// Required variables are not set.
    #[error("lane `{lane}` is not described in {origin}: set {}", .missing.join(", "))]
    Missing {
        /// The lane.
        lane: String,
        /// The full names of all that are missing.
        missing: Vec<String>,
        /// Where they were looked for.
        origin: String,
    },
    /// A variable has the lane's prefix and is not one of those known.
    #[error("{name} in {origin} is not a lane variable: did you mean {nearest}?")]
    Unknown {
        /// The variable as it is set.
        name: String,
        /// The known one nearest to it.
        nearest: String,
        /// Where it was found.
        origin: String,
    },
    /// A variable of the lane is not text.
    #[error("{name} in {origin} is not UTF-8; set it to UTF-8 text, or unset it")]
    NotUtf8 {
        /// The variable; what of its name is not UTF-8 is replaced.
        name: String,
        /// Where it was found.
        origin: String,
    },
    /// A value cannot be used.
    #[error("{name}: {why}")]
    Invalid {
        /// The variable.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// The file of variables cannot be read.
    #[error("cannot read lane variables from {path}: {why}")]
    File {
        /// The file.
        path: String,
        /// What the system, or the file's line, says.
        why: String,
    },
}
