//! What a lane's variables mean, and what each mistake in them looks like.

use std::io::Write;

use proptest::prelude::*;

use crate::*;

const COMPLETE: [(&str, &str); 4] = [
    ("OA_SPACETIME_DEV_HTTP_BASE_URL", "https://maincloud.spacetimedb.com"),
    ("OA_SPACETIME_DEV_DATABASE", "muster-dev"),
    ("OA_SPACETIME_DEV_TOKEN_ISSUER", "https://control.example/dev"),
    ("OA_SPACETIME_DEV_TOKEN_AUDIENCE", "muster-dev"),
];

fn parse(change: impl FnOnce(&mut Vec<(String, String)>)) -> Result<Lane, LaneError> {
    let mut pairs: Vec<_> = COMPLETE.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    change(&mut pairs);
    Lane::parse("dev".parse().expect("a lane name"), &Source::new("the environment", pairs))
}

fn with(key: &str, value: &str) -> Result<Lane, LaneError> {
    parse(|pairs| {
        pairs.retain(|(existing, _)| existing != key);
        pairs.push((key.into(), value.into()));
    })
}

#[test]
fn four_variables_describe_a_lane_and_the_rest_has_defaults() {
    let lane = parse(|_| ()).expect("a complete lane");
    assert_eq!(lane.http_base_url.as_str(), "https://maincloud.spacetimedb.com/");
    assert_eq!(lane.websocket_path, "/v1/database/{database}/subscribe");
    assert_eq!(lane.health_path, "/v1/ping");
    assert_eq!(lane.jwt_signing_key, None);
}

#[test]
fn all_missing_variables_are_named_at_once() {
    let error = parse(|pairs| pairs.truncate(1)).expect_err("three are missing");
    assert_eq!(
        error.to_string(),
        "lane `dev` is not described in the environment: set OA_SPACETIME_DEV_DATABASE, \
         OA_SPACETIME_DEV_TOKEN_ISSUER, OA_SPACETIME_DEV_TOKEN_AUDIENCE"
    );
}

#[test]
fn an_empty_value_counts_as_missing() {
    assert!(matches!(with("OA_SPACETIME_DEV_DATABASE", "  "), Err(LaneError::Missing { .. })));
}

#[test]
fn a_misspelt_variable_is_named_with_the_nearest_known_one() {
    let error = with("OA_SPACETIME_DEV_WEBSOKET_PATH", "/x").expect_err("a misspelt name");
    assert_eq!(
        error.to_string(),
        "OA_SPACETIME_DEV_WEBSOKET_PATH in the environment is not a lane variable: did you mean \
         OA_SPACETIME_DEV_WEBSOCKET_PATH?"
    );
}

#[test]
fn another_lanes_variables_do_not_matter() {
    assert!(with("OA_SPACETIME_PROD_NONSENSE", "x").is_ok());
}

#[test]
fn a_url_that_cannot_be_a_host_is_refused_with_the_reason() {
    let why = |value| with("OA_SPACETIME_DEV_HTTP_BASE_URL", value).expect_err("not a host's URL").to_string();
    assert!(why("localhost:3000").contains("must begin with http://"));
    assert!(why("maincloud").contains("is not a URL") && why("/relative").contains("write it as http://HOST:PORT"));
    assert!(why("https://u:p@host/").contains("user name or password"));
    assert!(!why("https://u:hunter2@host/").contains("hunter2"));
    assert!(why("https://host/?a=1").contains("query"));
}

#[test]
fn paths_are_checked() {
    assert!(with("OA_SPACETIME_DEV_WEBSOCKET_PATH", "/{database}/ws").is_ok());
    for bad in ["v1/x/{database}", "/fixed", "/{name}/{database}", "/{database}?x=1"] {
        assert!(matches!(with("OA_SPACETIME_DEV_WEBSOCKET_PATH", bad), Err(LaneError::Invalid { .. })), "{bad}");
    }
}

#[test]
fn a_secret_is_never_shown() {
    let lane = with("OA_SPACETIME_DEV_JWT_SIGNING_KEY", "hunter2").expect("a lane with a key");
    assert!(!format!("{lane:?}").contains("hunter2"));
    assert_eq!(lane.jwt_signing_key.expect("the key").expose(), "hunter2");
}

#[test]
fn a_lane_name_becomes_part_of_a_variable_name() {
    assert_eq!("eu-west-2".parse::<LaneName>().expect("a name").prefix(), "OA_SPACETIME_EU_WEST_2_");
    for bad in ["", "Prod", "2nd", "a b", "a_b"] {
        assert!(bad.parse::<LaneName>().is_err(), "{bad:?}");
    }
}

#[test]
fn a_file_is_read_like_a_shell_would_and_a_broken_line_is_refused_without_showing_it() {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    writeln!(file, "# a lane\nexport OA_SPACETIME_DEV_DATABASE='muster dev' # quoted\nPATH=/nowhere").expect("written");
    let source = from_file(file.path()).expect("a readable file");
    assert_eq!(source.pairs, [("OA_SPACETIME_DEV_DATABASE".to_string(), "muster dev".to_string())]);

    writeln!(file, "JWT hunter2").expect("written");
    let error = from_file(file.path()).err().expect("a broken line").to_string();
    assert!(error.contains("KEY=VALUE") && !error.contains("hunter2"), "{error}");
}

#[test]
fn a_lane_whose_name_begins_anothers_is_read_beside_it() {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for lane in ["EU", "EU_WEST", "EU_WEST_2"] {
        pairs.extend(COMPLETE.iter().map(|(key, value)| (key.replace("DEV", lane), value.to_string())));
    }
    for name in ["eu", "eu-west", "eu-west-2"] {
        let source = Source::new("here", pairs.clone());
        assert_eq!(Lane::parse(name.parse().expect("a name"), &source).expect(name).database, "muster-dev");
    }
    pairs.push(("OA_SPACETIME_EU_DATABSE".into(), "x".into()));
    let misspelt = Lane::parse("eu".parse().expect("a name"), &Source::new("here", pairs));
    assert!(matches!(misspelt, Err(LaneError::Unknown { .. })), "{misspelt:?}");
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_text_is_named_and_another_lanes_does_not_matter() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    let complete = || COMPLETE.iter().map(|(key, value)| (OsString::from(key), OsString::from(value)));
    let with = |key: &[u8], value: &[u8]| {
        let other = (OsString::from_vec(key.to_vec()), OsString::from_vec(value.to_vec()));
        let source = Source::from_os("the environment", complete().chain([other]));
        Lane::parse("dev".parse().expect("a lane name"), &source)
    };
    let error = with(b"OA_SPACETIME_DEV_WEBSOCKET_PATH", b"/\xff/{database}").expect_err("not text").to_string();
    assert!(error.starts_with("OA_SPACETIME_DEV_WEBSOCKET_PATH in the environment is not UTF-8"), "{error}");
    assert!(matches!(with(b"OA_SPACETIME_DEV_\xff", b"x"), Err(LaneError::NotUtf8 { .. })));
    assert!(with(b"OA_SPACETIME_PROD_DATABASE", b"\xff").is_ok());
    assert!(with(b"PATH\xff", b"\xff").is_ok());
}

#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_refused_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    for path in [pipe.as_path(), std::path::Path::new("/dev/zero"), folder.path()] {
        let error = from_file(path).err().expect("no regular file").to_string();
        assert!(error.contains("regular file"), "{error}");
    }
}

#[test]
fn a_file_that_is_too_large_or_not_text_is_refused() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let with = |bytes: Vec<u8>| {
        std::fs::write(file.path(), bytes).expect("written");
        from_file(file.path()).map(|_| ()).map_err(|error| error.to_string())
    };
    let limit = usize::try_from(limits::FILE_BYTES_MAX).expect("it fits");
    assert_eq!(with(vec![b'\n'; limit]), Ok(()));
    assert!(with(vec![b'\n'; limit + 1]).expect_err("too large").contains("larger than"));
    assert!(with(b"A=\xff\n".to_vec()).expect_err("not text").contains("not UTF-8"));
}

proptest! {
    #[test]
    fn no_value_of_any_variable_makes_the_parser_panic(index in 0..Variable::ALL.len(), value in ".*") {
        let name = "dev".parse().expect("a lane name");
        let _ = with(&Variable::ALL[index].full_name(&name), &value);
    }
}
