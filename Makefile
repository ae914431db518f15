# SPDX-License-Identifier: Apache-2.0
#
# make demo and make test do everything on a fresh Debian 12 machine with Go;
# make help lists the rest.

LINT = github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
# As the RPM is built: what both need of Go's library is compiled once.
GO_RUN = go run -trimpath -buildmode=pie
LAB = $(GO_RUN) ./lab/cmd/lab
TESTS = $(GO_RUN) ./internal/testrun
SOAK = 30m
# A pipeline fails where any part of it does.
SHELL = /bin/bash
.SHELLFLAGS = -o pipefail -ec
.DEFAULT_GOAL = help
.PHONY: help host docs pot rpm rpm-aarch64 rpm-i686 repo srpm guest demo test test-all test-rest test-long test-guests guest-test faults lint unit fuzz bench split-report index clean

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 16

host: ## install what building and testing need (Debian 12)
	@$(LAB) host

docs: ## write the parts of the man pages that have their source elsewhere
	@go run ./internal/mangen

pot: host ## collect the texts of the page for translators: cockpit/po/driverd.pot
	@cp "$$($(LAB) page)/driverd.pot" cockpit/po/

rpm: host ## build dist/driverd-VERSION-RELEASE.x86_64.rpm
	@packaging/build-rpm

rpm-aarch64: host ## build dist/aarch64/driverd-VERSION-RELEASE.aarch64.rpm, on this machine
	@packaging/build-rpm -a aarch64

rpm-i686: host ## build dist/i686/driverd-VERSION-RELEASE.i686.rpm, on this machine
	@packaging/build-rpm -a i686

srpm: host ## build dist/driverd-VERSION-RELEASE.src.rpm, which builds offline
	@packaging/build-rpm -s

repo: host ## build the guest's root and its package repository, if they are not there
	@$(LAB) repo

# Neither waits for the other.
guest:
	@$(MAKE) --no-print-directory -j2 rpm repo

demo: guest ## show the main job in a real guest: plug in a card, watch its driver arrive (KEEP=1: look at it in Cockpit)
	@$(GO_RUN) ./lab/cmd/demo dist/driverd-[0-9]*.x86_64.rpm $(if $(KEEP),dist/cockpit-driverd-*.rpm)

test: guest ## run the tests of every day: lint, unit, a real dnf5daemon, and the main things in real guests
	@$(TESTS) test

test-all: guest ## run all tests but those of make test-long
	@$(TESTS) test rest

test-rest: guest ## run the tests of make test-all that make test leaves out (WITHIN=40m: as many as fit)
	@$(TESTS) $(if $(WITHIN),-within $(WITHIN)) rest

test-long: guest ## run storms, and half an hour of everything at random (SOAK=5m), which make test-all leaves out
	@$(TESTS) -soak $(SOAK) long

test-guests: guest ## run the tests of each kind of guest, and print which have passed (GUESTS=xen,arm64: these alone)
	@$(TESTS) $(if $(GUESTS),-guests $(GUESTS)) guests

# The changed program goes into a guest with the existing package, which is built again
# only when something else in it has changed.
guest-test: dist/packaged ## run one test in a guest with the program as it is now: make guest-test RUN=TestMainJob
	@go build -trimpath -buildmode=pie -o dist/driverd ./cmd/driverd
	@DRIVERD_PROGRAM=$(CURDIR)/dist/driverd go test -tags lab,long -count=1 -v -timeout 1h -run '^$(RUN)$$' ./lab/behaviour

dist/packaged: $(shell git ls-files packaging units api cockpit | grep -v '\.go$$')
	@$(MAKE) --no-print-directory guest
	@touch $@

faults: guest ## break one thing after another in real guests, and show the outcome
	@$(TESTS) -only TestFaultMatrix rest

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

split-report: host ## show how Debian's 6.1, 6.12 and 7.2 kernels are split
	@go run ./lab/cmd/split-report

index: host ## make driverd's own index of modules, of four of Debian's kernels
	@go run ./lab/cmd/index hwdetect/kmod/modules.index.gz

clean: ## remove what was built in the tree; the lab's cache is elsewhere (see CONTRIBUTING.md)
	@rm -rf dist
