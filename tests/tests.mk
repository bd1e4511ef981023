# The lab and the tiers of tests; included by the Makefile.
# Variables: CONFIG=file (run), UEFI=1 (run), STORY=part of a name (test-e2e).
.PHONY: run test test-crates test-lab test-e2e

run: deps-run image ## boot the appliance in its lab, show its story, connect to its console; CONFIG=file
	@cargo build --quiet -p lb-lab
	@target/debug/lab run $(if $(UEFI),--uefi) $(if $(CONFIG),--config '$(CONFIG)')

test: check test-crates test-lab test-e2e ## every tier; needs root or user namespaces

test-crates: ## unit, golden, property, bytes, and the crates' tests in namespaces
	cargo test --workspace --exclude lb-lab --exclude lb-e2e

test-lab: ## the lab proves itself without the VM
	cargo test -p lb-lab

test-e2e: image ## stories told to a real VM; STORY=part of a name
	cargo test -p lb-e2e -- $(STORY)
