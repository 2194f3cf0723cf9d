//! Tells the crate how it is compiled, because a figure without its build profile says nothing.

fn main() {
    let of = |name| std::env::var(name).unwrap_or_else(|_| "unknown".into());
    // `dev` and what inherits from it are called `debug` here.
    println!("cargo::rustc-env=MUSTER_BENCH_PROFILE={}", of("PROFILE"));
    println!("cargo::rustc-env=MUSTER_BENCH_OPT_LEVEL={}", of("OPT_LEVEL"));
    println!("cargo::rerun-if-changed=build.rs");
}
