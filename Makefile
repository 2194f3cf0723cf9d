# What there is to run. Needs only make; scripts/toolchain finds or installs the rest, and says what it cannot.
# Set CARGO_TARGET_DIR to share one build cache between clones.
.DEFAULT_GOAL := help
.PHONY: desktop screenshots help toolchain module build demo up test bench lint fmt licences clean soak fuzz sim sim-mutants gate check-ops

help: ## list these targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@printf '  %-16s %s\n' .ci/run 'what must pass before a change lands: make toolchain, lint, test and demo, in this order'

demo: ## build what is missing, start a host, let two clients meet, then send events while things break
	@scripts/demo

desktop: ## build the diagnostics window and open it: make desktop ARGS="--lane dev"
	@scripts/cargo run --locked -q -p muster-desktop -- $(ARGS)

screenshots: ## take pictures of the window into docs/images, under Xvfb (installs Debian packages where it may)
	@scripts/cargo build --locked -q -p muster && scripts/cargo build --locked -q -p muster-desktop && scripts/screenshots

up: ## build what is missing, start everything on this machine with events that flow, and show it; Ctrl-C ends it
	@scripts/up

test: ## build and run every test: unit, integration, end to end (2 to 3 minutes once it is built)
	@scripts/test

bench: ## install the peers, build everything optimised and measure all of it (an hour and more; leave the machine alone)
	@scripts/bench $(ARGS)

soak: ## kill a host 200 times under load and look for what it lost; then every client that means harm
	@scripts/soak

fuzz: ## fuzz the decoding of messages, 20 minutes for each of three targets, and an hour the verifier of evidence (needs nightly and cargo-fuzz)
	@scripts/fuzz && scripts/fuzz-evidence

SEEDS ?= 2000
sim: ## simulate SEEDS=N seeds of crashes, cuts and full disks; shows the first that fails, as short as it can be made
	@scripts/cargo run --locked -q -p muster-sim -- --seeds $(SEEDS)

sim-mutants: ## take each rule out of a copy of the code, and see the simulator notice (needs Python 3.11)
	@scripts/sim-mutants

gate: ## let the module climb from local to staging to prod on three hosts, and refuse every planted fault (needs Python 3.11)
	@scripts/gate

check-ops: ## hold dashboard, alert rules and units to the programs that read them, and to real scrapes (needs Python 3.11)
	@scripts/check-ops

toolchain: ## check what this machine builds with, and install what is missing
	@scripts/toolchain

module: ## build the module to WebAssembly, and print where it lies
	@scripts/build-module

build: ## build the muster program, embedded host included
	@scripts/cargo build --locked -p muster

lint: ## formatting, and clippy with warnings denied
	@scripts/lint

fmt: ## format the code
	@cargo fmt --all

licences: ## check that nothing under the Business Source License is in a client
	@scripts/check-licences

clean: ## remove this clone's build results
	@cargo clean
