//! The sizes of this crate, named with their unit.

/// The largest file of variables that is read, in bytes. A lane takes well below a kilobyte; a wrong path (a disk image,
/// a device) must not fill the memory before it can be said that it is wrong.
pub const FILE_BYTES_MAX: u64 = 1_024 * 1_024;
