# SPDX-License-Identifier: Apache-2.0
#
# make demo and make test do everything on a fresh Debian 12 machine with Go;
# make help lists the rest.

LINT = github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
LAB = go run ./lab/cmd/lab
SOAK = 30m
# A pipeline fails where any part of it does.
SHELL = /bin/bash
.SHELLFLAGS = -o pipefail -ec
.DEFAULT_GOAL = help
.PHONY: help host docs rpm srpm demo test test-long faults lint unit fuzz bench split-report clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 16

host: ## install what building and testing need (Debian 12)
	@$(LAB) host

docs: ## make what has its source elsewhere: parts of the man pages
	@go run ./internal/mangen

rpm: host ## build dist/driverd-VERSION-RELEASE.x86_64.rpm
	@packaging/build-rpm

srpm: host ## build dist/driverd-VERSION-RELEASE.src.rpm, which builds offline
	@packaging/build-rpm -s

demo: rpm ## show the main job in a real guest: plug in a card, watch its driver arrive
	@go run ./lab/cmd/demo dist/driverd-*.x86_64.rpm

test: lint rpm ## run all tests, those in the guest included
	@echo "== tests: unit, property, fuzz seeds, private bus, umockdev; then a real dnf5daemon and a real guest"
	@{ go test -race -json ./... || true; \
	   go test -race -tags lab -p 1 -timeout 70m -json ./dnfbridge ./packaging ./lab/... || true; } | go run ./internal/tally

faults: rpm ## break one thing after another in real guests, and show what became of it
	@go test -tags lab -timeout 60m -json -run '^TestFaultMatrix$$' ./lab/behaviour | go run ./internal/tally

test-long: rpm ## what is not a part of make test: storms, and half an hour of everything at random (SOAK=5m)
	@go test -tags lab,long -timeout 0 -json -run '^(TestStorm|TestSoak)$$' ./lab/behaviour -soak.for $(SOAK) | go run ./internal/tally

lint: host ## gofmt, go vet and golangci-lint
	@echo "== lint: go vet and golangci-lint (its first build takes some minutes)"
	@go vet -tags lab,long ./...
	@go run $(LINT) run ./...

unit: ## run the tests that need neither root nor a guest
	@go test -race ./...

fuzz: ## run every fuzz test for a minute
	@grep -rEo '^func Fuzz\w+' --include='*_test.go' . | sed 's,/[^/]*:func , ,' | while read -r dir name; do \
	    go test -fuzz "^$$name\$$" -fuzztime 1m "$$dir" </dev/null; \
	done

bench: rpm ## measure driverd beside its peers; table, JSON and pictures in dist/ (BENCH="-part storm -n 1")
	@go run ./lab/cmd/bench $(BENCH) dist/driverd-[0-9]*.x86_64.rpm

split-report: host ## what the split makes of Debian's amd64, arm64 and 686 kernels
	@go run ./lab/cmd/split-report

clean: ## remove what was built in the tree; the lab's cache is elsewhere (see CONTRIBUTING.md)
	@rm -rf dist
