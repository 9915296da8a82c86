# Few targets, each of which sets up what it needs. `make` alone lists them.
#
# One target folder outside the clone, one profile, one set of features: RocksDB is compiled once on a machine, however many clones there are
# and whatever is run. That is why every cargo call here says --release --workspace.

CARGO_TARGET_DIR ?= $(HOME)/.cache/golden-signals/target
export CARGO_TARGET_DIR
# Shown in golden_signals_build_info.
SOURCE_REVISION ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
export SOURCE_REVISION
GOLDEN := $(CARGO_TARGET_DIR)/release/golden
CARGO_FLAGS := --release --workspace --locked
# Where bench puts its events, 2 GB: a folder in memory gives the steadiest figures.
BENCH_DIR ?= /tmp/golden-bench

# How many seeds `make simulate` runs, from which one on.
SEEDS ?= 2000
FROM ?= 1
# How many flips `make flips` makes, about one a minute.
FLIPS ?= 200
# The simulation with mistakes planted in it is a build of its own, and of the pure crates only.
PLANTED := RUSTFLAGS='--cfg planted' CARGO_TARGET_DIR=$(CARGO_TARGET_DIR)/planted cargo

.DEFAULT_GOAL := help
.PHONY: help page browser run test test-fast simulate model simulate-planted faults flips check fmt bench bench-kafka bench-router docs dashboards demo-stack setup packages prometheus build

help: ## lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## sets up, builds, and starts the demo; prints the links to open
	$(GOLDEN) run --demo

test: setup ## the whole suite, and all that it needs
	cargo test $(CARGO_FLAGS)
	$(PLANTED) test --release --locked -p golden-simulation

test-fast: ## the pure part: no C++ compiler, under a minute once built
	cargo test --locked -p platform-core -p golden-router -p golden-pipeline -p golden-overrides --lib

simulate: ## the pipeline on simulated brokers while everything goes wrong: make simulate SEEDS=100000 FROM=1, or FLIPS=100000
	cargo run --release --locked -p golden-simulation -- --from $(FROM) $(if $(filter command line,$(origin FLIPS)),--flips $(FLIPS),--seeds $(SEEDS))

model: ## tries every order of steps of router, controller and two deployments, in situations larger than the tests search (docs/model.md)
	cargo run --release --locked -p golden-model

simulate-planted: ## plants one mistake after the other and says at which seed each is found
	$(PLANTED) run --release --locked -p golden-simulation -- --planted --seeds 5000

faults: packages ## the matrix of faults on three Kafka brokers, half an hour, into docs/faults.md; needs Java 17, Maven, openssl
	cargo test $(CARGO_FLAGS) --test service --test broker -- --ignored --nocapture --skip flips::

flips: packages ## planned flips and flips of need on three Kafka brokers while things die, into docs/flips.md: make flips FLIPS=200 FROM=1
	FLIPS=$(FLIPS) FROM=$(FROM) cargo test $(CARGO_FLAGS) --test service -- flips:: --ignored --nocapture

check: packages prometheus ## formatting, lints, documentation, boards and rules; licences where cargo-deny is installed
	cargo fmt --all --check
	cargo clippy $(CARGO_FLAGS) --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc $(CARGO_FLAGS) --no-deps
	cargo test --release --locked -p golden-dashboards --test files --test promtool
	@if command -v cargo-deny >/dev/null; then cargo deny check licenses bans sources; else echo "not run: cargo-deny is not installed"; fi

fmt: ## formats everything
	cargo fmt --all

bench: build ## speed and memory against a plain reference, as ratios (docs/benchmarks.md)
	mkdir -p $(BENCH_DIR)
	$(CARGO_TARGET_DIR)/release/golden-bench speed --golden $(GOLDEN) --dir $(BENCH_DIR) $(BENCH_ARGS)
	$(CARGO_TARGET_DIR)/release/golden-bench memory --golden $(GOLDEN) --dir $(BENCH_DIR)
	$(CARGO_TARGET_DIR)/release/golden-bench scrape
	$(CARGO_TARGET_DIR)/release/golden-bench ingest --golden $(GOLDEN) --dir $(BENCH_DIR)/ingest
	$(CARGO_TARGET_DIR)/release/golden-bench push
	$(CARGO_TARGET_DIR)/release/golden-bench history --dir $(BENCH_DIR)/history

bench-kafka: build ## speed and latency from a Kafka broker of its own: PEERS=folder of built peers; needs Java 17 and Maven
	mkdir -p $(BENCH_DIR)
	$(CARGO_TARGET_DIR)/release/golden-bench kafka --golden $(GOLDEN) --dir $(BENCH_DIR)/kafka $(if $(PEERS),--peers $(PEERS)) $(BENCH_ARGS)

bench-router: build ## what forwarding costs, against a plain loop of the same client; needs Java 17 and Maven
	mkdir -p $(BENCH_DIR)
	$(CARGO_TARGET_DIR)/release/golden-bench router --golden $(GOLDEN) --dir $(BENCH_DIR)/router $(BENCH_ARGS)

page: browser ## builds the web page anew, into dashboards/page/dist, which is committed; needs Node 20
	cd dashboards/page && npm run build --silent

browser: ## Chromium and npm packages for the page's tests, where they can be had; says what is missing
	@dashboards/page/browser install

dashboards: ## writes the files of dashboards, rules and alerts from their definitions
	cargo run --release --locked -p golden-dashboards --bin golden-dashboards

demo-stack: build prometheus ## the demo with Prometheus, Alertmanager and, where it is installed, Grafana; prints the links to open
	@if command -v go >/dev/null; then tests/prometheus/prometheus-stack install --ui >/dev/null; fi
	dashboards/demo-stack $(GOLDEN) $(CARGO_TARGET_DIR)/release/golden-dashboards

docs: ## the documentation of the code
	cargo doc $(CARGO_FLAGS) --no-deps --open

setup: packages prometheus browser ## all that building and the tests need, Chromium for the page's tests too, where it can be had

packages: ## system packages for building alone; as root or with sudo, else it says what to install
	@./setup.sh

prometheus: ## Prometheus and Alertmanager for tests and the demo, built once; needs Go 1.26
	@if command -v go >/dev/null; then tests/prometheus/prometheus-stack install >/dev/null; fi

build: packages
	cargo build $(CARGO_FLAGS)
