# The lab and the tiers of tests; included by the Makefile.
# CONFIG: lb.toml for run. DISK: a disk that run keeps. UEFI: 1 for run by OVMF. STORY: part of a name, for test-e2e. WHOLE: 1 for whole amounts. TARGET, RUNS, SEED: for fuzz.

# --- the lab

.PHONY: run
run: ## boot the image in its lab, show the story, connect to the console; CONFIG=file for another lb.toml, DISK=file for a disk that stays
	@image/deps image run
	@$(MAKE) --no-print-directory image
	@cargo build --quiet --package lb-lab
	@cargo run --quiet --package lb-lab -- run $(if $(UEFI),--uefi) $(if $(CONFIG),--config '$(CONFIG)') $(if $(DISK),--disk '$(DISK)')

# --- the tiers

.PHONY: test
test: ## every tier; needs root or user namespaces
	@image/deps
	@$(MAKE) --no-print-directory check
	@$(MAKE) --no-print-directory test-crates
	@$(MAKE) --no-print-directory test-lab
	@$(MAKE) --no-print-directory test-e2e

.PHONY: test-crates
test-crates: ## unit, golden, property, bytes; links and nftables in namespaces
	@cargo test --workspace --exclude lb-lab --exclude lb-e2e

.PHONY: test-lab
test-lab: ## the lab proves itself without the VM
	@cargo test --package lb-lab

.PHONY: test-e2e
test-e2e: ## stories told to a real VM; STORY=part of a name, WHOLE=1 for ten times the traffic of nothing_lost, and more bad files and crash points
	@image/deps image run
	@$(MAKE) --no-print-directory image PROFILE=test-image IMAGE=build/lb-test.img
	@$(if $(WHOLE),LB_WHOLE=1 )LB_DISK_IMAGE=$(CURDIR)/build/lb-test.img cargo test --package lb-e2e -- $(STORY)

.PHONY: fuzz
fuzz: ## damaged input for a reader; TARGET=file, control, keepalived, haproxy, mirror, password, seed, export or capture, RUNS=10000000, SEED=1
	@cargo run --quiet --profile fuzz --package lb-fuzz -- $(or $(TARGET),file) --runs $(or $(RUNS),1000000) $(if $(SEED),--seed $(SEED))
