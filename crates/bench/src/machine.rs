//! The machine and the build that figures belong to.

use std::path::Path;

use serde::Serialize;

use crate::error::BenchError;
use crate::proc::{read, status_kib};

/// Where something was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The processor, as it calls itself.
    pub processor: String,
    /// How many cores this process may use.
    pub cores: usize,
    /// Memory, in MiB.
    pub memory_mib: u64,
    /// Linux's release.
    pub kernel: String,
    /// The file system of the data folders.
    pub file_system: String,
    /// How this crate, and by default all of ours, was compiled: profile and optimisation level.
    pub build: String,
    /// Processes that ran or wanted to, on average over one, five and fifteen minutes, before and after the run.
    pub load_average: [String; 2],
}

impl Machine {
    /// This machine, with data in `folder`; the load after the run is added by [`Machine::after`].
    ///
    /// # Errors
    /// [`BenchError::Io`] where there is no `/proc`.
    pub fn here(folder: &Path) -> Result<Machine, BenchError> {
        let folder = folder.canonicalize().map_err(BenchError::io(folder.display().to_string()))?;
        Ok(Machine {
            // Not every architecture names it.
            processor: read("/proc/cpuinfo", |text| Some(processor(text)))?,
            cores: std::thread::available_parallelism().map_or(1, Into::into),
            memory_mib: read("/proc/meminfo", |text| status_kib(text, "MemTotal"))? / 1_024,
            kernel: read("/proc/sys/kernel/osrelease", |text| Some(text.trim().to_owned()))?,
            file_system: read("/proc/self/mounts", |text| file_system(text, &folder))?,
            build: concat!(env!("MUSTER_BENCH_PROFILE"), ", opt-level ", env!("MUSTER_BENCH_OPT_LEVEL")).to_owned(),
            load_average: [load_average()?, String::new()],
        })
    }

    /// The same, once the run is over.
    ///
    /// # Errors
    /// As [`Machine::here`].
    pub fn after(mut self) -> Result<Machine, BenchError> {
        self.load_average[1] = load_average()?;
        Ok(self)
    }
}

fn load_average() -> Result<String, BenchError> {
    read("/proc/loadavg", |text| Some(text.split_ascii_whitespace().take(3).collect::<Vec<_>>().join(" ")))
}

fn processor(cpuinfo: &str) -> String {
    let name = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.trim_start().strip_prefix(':'));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |name| name.trim().to_owned())
}

/// The type of the file system that is mounted closest above `folder`.
fn file_system(mounts: &str, folder: &Path) -> Option<String> {
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        Some((Path::new(fields.next()?), fields.next()?))
    });
    // A later mount on the same place hides an earlier one.
    let above = mounts.filter(|(place, _)| folder.starts_with(place));
    above.max_by_key(|(place, _)| place.components().count()).map(|(_, kind)| kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_mount_above_a_folder_counts() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\nx /tmpx xfs rw 0 0\n";
        let of = |folder: &str| file_system(mounts, Path::new(folder));
        assert_eq!(of("/tmp/data").as_deref(), Some("tmpfs"));
        assert_eq!(of("/tmpx/data").as_deref(), Some("xfs"));
        assert_eq!(of("/home").as_deref(), Some("ext4"));
    }

    #[test]
    fn a_processor_without_a_name_is_its_architecture() {
        assert_eq!(processor("processor\t: 0\nmodel name\t: Fast One @ 3 GHz\n"), "Fast One @ 3 GHz");
        assert_eq!(processor("processor : 0\n"), std::env::consts::ARCH);
    }

    #[test]
    fn this_machine_can_be_described() {
        let machine = Machine::here(&std::env::temp_dir()).expect("Linux").after().expect("Linux");
        assert!(machine.cores > 0 && machine.memory_mib > 0 && !machine.load_average[1].is_empty());
    }
}
