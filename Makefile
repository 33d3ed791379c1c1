# What people and CI run. Each target does its own set-up; `make` alone says what there is.

# Make's number of jobs is not cargo's.
CARGO := env -u MAKEFLAGS cargo
# The suites that need nothing but Rust: tests/kubernetes needs a control plane, and clients what boto3 needs.
SUITES := $(filter-out clients,$(notdir $(basename $(wildcard tests/*.rs crates/*/tests/*.rs))))
CRDS := crds/busgrant.dev_eventbuspermissions.yaml

# Property tests try the same cases in every run here, so that a red one is about the change. Hunt for others with
# PROPTEST_CASES=20000 cargo test --release -p busgrant-policy
export PROPTEST_RNG_SEED ?= 20261123

# Seconds that `make fuzz` gives each target.
FUZZ_SECONDS ?= 20

# How many times as much `make soak` tries.
SOAK ?= 10

# The processor of `make image`: amd64 or arm64.
ARCH ?= amd64

.PHONY: help check lint test fuzz soak bench demo generate chart chart-test image e2e release deny clean tools binaries test-binaries control-plane

help: ## Say what there is
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18

check: lint ## The loop: format, lint, unit and property tests; needs Rust alone
	$(CARGO) test --workspace --lib --bins $(SUITES:%=--test %)

lint: tools ## Format and clippy, warnings are errors
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	$(CARGO) clippy --workspace --all-targets --quiet -- -D warnings

# Tests on the control plane mostly wait, so more run at a time than there are cores.
test: ## Everything, on a real API server where Kubernetes is involved
	@$(MAKE) --no-print-directory --jobs=2 test-binaries control-plane
	RUST_TEST_THREADS=8 $(CARGO) test --workspace

fuzz: tools ## Fuzz the parsers and the plan, FUZZ_SECONDS=20 each; installs cargo-fuzz where it is missing
	@cargo fuzz --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-fuzz@0.13.1
	fuzz/run $(FUZZ_SECONDS)

soak: ## SOAK=10 times as many seeds and cases as the tests, and the larger searches; an hour or more
	@$(MAKE) --no-print-directory --jobs=2 test-binaries control-plane
	BUSGRANT_SOAK=$(SOAK) RUST_TEST_THREADS=8 $(CARGO) test --test kubernetes controller
	PROPTEST_RNG_SEED= PROPTEST_CASES=$$(($(SOAK) * 2000)) $(CARGO) test --release -p busgrant-policy
	$(CARGO) test -p busgrant-protocol -- --include-ignored
	$(MAKE) --no-print-directory fuzz FUZZ_SECONDS=$$(($(SOAK) * 60))

bench: tools control-plane ## What it costs against what it may; a quarter of an hour on a machine that does nothing else
	$(CARGO) bench -p busgrant-policy --bench plan
	$(CARGO) bench --bench cost

demo: ## The whole story, each step checked, on a real API server and a simulated EventBridge
	@$(MAKE) --no-print-directory --jobs=2 binaries control-plane
	hack/demo

generate: tools ## Write crds/ from the types in src/api
	$(CARGO) run --quiet -- crds >$(CRDS).new
	mv $(CRDS).new $(CRDS)

chart: ## Bring the chart's copy of crds/ and its README up to date
	hack/chart/update

chart-test: control-plane ## The chart: lint, snapshots, refusals and its life, with Helm 3 and 4 on a real API server
	hack/chart/test

image: tools ## The container image, without a container engine: dist/…oci.tar; ARCH=arm64 for the other processor
	hack/image --arch $(ARCH)

e2e: image ## The image, installed with Helm, in Pods of a real node; root, or kind, or a cluster that you name. ONLY="crash story"
	hack/image --program busgrant-sim
	hack/e2e/run $(if $(ONLY),--only $(ONLY))

release: tools ## What a release consists of, in dist/: chart, manifests, bill of materials, image, checksums
	hack/release

deny: ## Licences, sources and duplicates of what we depend on; needs cargo-deny
	$(CARGO) deny check bans licenses sources

clean: ## Remove what was built here; the control plane stays, in ~/.cache/busgrant
	$(CARGO) clean
	rm -rf dist

binaries: tools
	$(CARGO) build --workspace --bins

test-binaries: tools
	$(CARGO) test --workspace --no-run

control-plane:
	@hack/control-plane/install >/dev/null

tools:
	@command -v cargo >/dev/null || { \
	  echo "cargo is missing: install rustup, https://rustup.rs; rust-toolchain.toml says which Rust it gets" >&2; exit 1; }
	@command -v cc >/dev/null || { echo "a C compiler is missing: install gcc or clang (Debian: build-essential)" >&2; exit 1; }
