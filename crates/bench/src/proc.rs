//! Memory and processor time of a process, from `/proc` (Linux, `proc(5)`).
//!
//! What always holds: parsing is pure; a file that looks otherwise than documented is an error and never a zero.

use std::time::Duration;

use crate::error::BenchError;

/// Ticks of processor time in a second, as `/proc` counts them: `USER_HZ`, 100 on every Linux that this builds for.
const TICKS_PER_SECOND: f64 = 100.0;

/// The resident memory of a process, in KiB.
pub(crate) fn resident_kib(pid: u32) -> Result<u64, BenchError> {
    let path = format!("/proc/{pid}/status");
    read(&path, |text| status_kib(text, "VmRSS"))
}

/// The most resident memory that a process ever had, in KiB.
pub(crate) fn peak_kib(pid: u32) -> Result<u64, BenchError> {
    read(&format!("/proc/{pid}/status"), |text| status_kib(text, "VmHWM"))
}

/// The processor time that a process has used, all threads, user and system.
pub(crate) fn cpu_time(pid: u32) -> Result<Duration, BenchError> {
    read(&format!("/proc/{pid}/stat"), cpu_of_stat)
}

/// A process and its children, and theirs.
#[cfg(feature = "peers")]
pub(crate) fn tree(root: u32) -> Vec<u32> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // Processes may end meanwhile.
        if let Ok(parent) = read(&format!("/proc/{pid}/stat"), |text| stat_field(text, 1)) {
            parents.push((pid, parent));
        }
    }
    let mut tree = vec![root];
    let mut at = 0;
    while let Some(&one) = tree.get(at) {
        tree.extend(parents.iter().filter(|(_, parent)| *parent == u64::from(one)).map(|(pid, _)| *pid));
        at += 1;
    }
    tree
}

/// The processor time of a process, of the children that it has waited for, and of those that live.
#[cfg(feature = "peers")]
pub(crate) fn tree_cpu_time(root: u32) -> Result<Duration, BenchError> {
    let waited = read(&format!("/proc/{root}/stat"), |text| Some(stat_field(text, 13)? + stat_field(text, 14)?))?;
    let mut time = Duration::from_secs_f64(waited as f64 / TICKS_PER_SECOND);
    for pid in tree(root) {
        time += cpu_time(pid).unwrap_or_default();
    }
    Ok(time)
}

/// The memory of a process and its children in KiB, each shared page in equal parts (`Pss`).
#[cfg(feature = "peers")]
pub(crate) fn tree_memory_kib(root: u32) -> Result<u64, BenchError> {
    let of = |pid| read(&format!("/proc/{pid}/smaps_rollup"), |text| status_kib(text, "Pss"));
    let own = of(root)?;
    Ok(own + tree(root).into_iter().skip(1).map(|pid| of(pid).unwrap_or_default()).sum::<u64>())
}

/// A number of `stat`, counted from the state, field 3, as 0.
#[cfg(feature = "peers")]
fn stat_field(text: &str, index: usize) -> Option<u64> {
    let (_, behind_name) = text.rsplit_once(')')?;
    behind_name.split_ascii_whitespace().nth(index)?.parse().ok()
}

/// Reads a file of `/proc` and what it says.
pub(crate) fn read<T>(path: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, BenchError> {
    let text = std::fs::read_to_string(path).map_err(BenchError::io(path))?;
    let unreadable = || std::io::Error::other("it does not look as documented");
    parse(&text).ok_or_else(unreadable).map_err(BenchError::io(path))
}

/// A field of `status` or `meminfo` in KiB.
pub(crate) fn status_kib(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// `utime` and `stime` of `stat`, fields 14 and 15. The name, field 2, may have blanks and parentheses in it.
fn cpu_of_stat(text: &str) -> Option<Duration> {
    let (_, behind_name) = text.rsplit_once(')')?;
    let mut fields = behind_name.split_ascii_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(Duration::from_secs_f64((user + system) as f64 / TICKS_PER_SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_the_field_of_that_very_name() {
        let status = "Name:\tmuster\nVmRSSX:\t   1 kB\nVmRSS:\t  20480 kB\n";
        assert_eq!(status_kib(status, "VmRSS"), Some(20_480));
        assert_eq!(status_kib(status, "VmHWM"), None);
    }

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let stat = "7 (a ) b) S 1 1 1 0 -1 4194304 1 0 0 0 150 50 9 9 20 0 4 0 100 0 0";
        assert_eq!(cpu_of_stat(stat), Some(Duration::from_secs(2)));
        assert_eq!(cpu_of_stat("7 nothing"), None);
    }

    #[test]
    fn this_process_has_memory() {
        assert!(resident_kib(std::process::id()).expect("readable") > 0);
        cpu_time(std::process::id()).expect("readable");
    }
}
