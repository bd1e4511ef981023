# The entry points of the project; `make` lists them. What they do is in image/, tests/ and .ci/.
# PROFILE: the cargo profile of the appliance (release; the tests use test-image, which links in seconds).
# IMAGE: the disk image to make.

PROFILE ?= release
IMAGE ?= build/lb.img
LB_IMAGE = cargo run --quiet --package lb-image --

.DEFAULT_GOAL := help

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: deps
deps: ## install the Debian packages that the build, the lab and the tests need
	@image/deps

# --- the image

.PHONY: image
image: ## build the disk image build/lb.img (no root needed)
	@image/deps image
	@cargo build --package appliance --profile $(PROFILE)
	@mkdir -p $(dir $(IMAGE))
	@cargo tree --package appliance --edges normal --prefix none --format '{p}' > $(dir $(IMAGE))crates.txt
	@set -e; kernel=$$(image/kernel/build); \
	target=$$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'); \
	$(LB_IMAGE) build --kernel "$$kernel/bzImage" --appliance "$$target/$(subst dev,debug,$(PROFILE))/appliance" \
		--crates $(dir $(IMAGE))crates.txt --out $(IMAGE)
	@$(LB_IMAGE) report --short $(IMAGE)

.PHONY: image-report
image-report: ## the sizes of build/lb.img and its parts, compressed as well
	@$(LB_IMAGE) report $(IMAGE)

.PHONY: test-boot
test-boot: ## boot loader in QEMU: BIOS, UEFI, both slots, trials, damaged disks
	@image/deps image run
	@cargo test --package lb-image --test boot

# --- the code

.PHONY: check
check: ## formatting and lints
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets --quiet -- -D warnings

.PHONY: clean
clean: ## remove build/ and target/; the kernel's cache stays
	@rm -rf build target

# --- the figures

.PHONY: figures
figures: image ## sizes, boot times, failed requests, memory: the image beside keepalived and a bare kernel (12 min)
	@image/deps run
	@set -e; kernel=$$(image/kernel/build); \
	cargo run --quiet --package lb-bench -- figures --kernel "$$kernel/bzImage" --image $(IMAGE)

# Parts: datapath, reload, checks, boot. A fast look at the appliance's own datapath, without a release build:
#   make bench PART=datapath ONLY=appliance QUICK=1 PROFILE=test-image IMAGE=build/lb-test.img
# Of the checks only some rows: PART=checks ROWS=http,https (idle, refused, tcp, http, https).
.PHONY: bench
bench: image ## what work costs, beside keepalived, iptables, HAProxy: PART=a,b ONLY=appliance QUICK=1 (60 min; 2 with these)
	@image/deps run
	@cargo build --quiet --profile test-image --package lb-e2e --bin saboteur
	@set -e; kernel=$$(image/kernel/build); \
	target=$$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'); \
	cargo run --quiet --package lb-bench -- compare --kernel "$$kernel/bzImage" --image $(IMAGE) \
		--saboteur "$$target/test-image/saboteur" $(if $(PART),--part $(PART)) $(if $(ROWS),--row $(ROWS)) $(if $(ONLY),--only $(ONLY)) $(if $(QUICK),--quick)

.PHONY: scale
scale: ## up to 40,000 servers: load, change, memory, on this machine with a kernel in memory; fails above its limits
	@cargo run --quiet --release --package lb-agent --example scale

include tests/tests.mk
