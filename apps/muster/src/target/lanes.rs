//! Which lanes a file describes: for whoever gave the file and forgot the name.

use std::path::Path;

use muster_lane::{LaneName, PREFIX, Variable};

use super::files::read_limited;
use crate::limits::CONFIG_FILE_BYTES_MAX;
use crate::outcome::Failure;

/// What to say to somebody who gave `--env-file` and no `--lane`.
pub(super) fn unnamed(file: &Path) -> Failure {
    let shown = file.display();
    let lanes = match read_limited("--env-file", file, CONFIG_FILE_BYTES_MAX) {
        Ok(bytes) => described(&String::from_utf8_lossy(&bytes)),
        Err(failure) => return failure,
    };
    let cause = |what: &str| format!("--env-file {shown} is given, and no lane is named: {what}");
    match lanes.as_slice() {
        [] => {
            Failure::could_not(cause("the file describes none"), "is it the right file? Name its lane with --lane NAME")
        }
        [one] => Failure::could_not(cause("the file describes one"), format!("add --lane {one}")),
        several => {
            let flags: Vec<_> = several.iter().map(|lane| format!("--lane {lane}")).collect();
            Failure::could_not(cause("the file describes several"), format!("add {}", flags.join(" or ")))
        }
    }
}

/// The lanes whose address stands in the text of a file, in its order. A hyphen in a lane's name and an underscore look
/// the same in a variable's, and no lane's name has the latter.
fn described(text: &str) -> Vec<LaneName> {
    let suffix = Variable::HttpBaseUrl.suffix();
    let keys = text.lines().filter_map(|line| {
        let line = line.trim_start();
        line.strip_prefix("export ").unwrap_or(line).split_once('=').map(|(key, _)| key.trim())
    });
    let name = |key: &str| key.strip_prefix(PREFIX)?.strip_suffix(suffix)?.strip_suffix('_').map(str::to_owned);
    let mut lanes: Vec<LaneName> =
        keys.filter_map(name).filter_map(|name| name.to_lowercase().replace('_', "-").parse().ok()).collect();
    lanes.dedup();
    lanes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        described(text).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_lane_is_described_where_its_address_is() {
        let file = "# OA_SPACETIME_NO_HTTP_BASE_URL=x\nexport OA_SPACETIME_EU_TEST_HTTP_BASE_URL=http://x\n\
                    OA_SPACETIME_EU_TEST_DATABASE=db\n OA_SPACETIME_PROD_HTTP_BASE_URL = http://y\n";
        assert_eq!(names(file), ["eu-test", "prod"]);
        assert_eq!(names("OA_SPACETIME_HTTP_BASE_URL=x\nHTTP_BASE_URL=y\nnothing\n"), Vec::<String>::new());
    }
}
