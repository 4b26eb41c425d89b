# SPDX-License-Identifier: MIT OR Apache-2.0
# Copyright (c) 2026 The SONA authors
#
# The commands people type first. Meson does the building; see docs/ and `make help`.
BUILD ?= build
DATA ?=
LOG ?=
ARGS ?=
DESTDIR ?=

# Looked up when it runs, after tools/deps: a library that is only wished for is switched off when it
# is not there.
define setup
has() { pkg-config --exists $$1 && echo enabled || echo disabled; }; \
test -f $(BUILD)/build.ninja || { log=$$(mktemp) && \
	meson setup $(BUILD) --buildtype=release -Djemalloc=$$(has jemalloc) \
		-Dtests=$$(has criterion) >$$log 2>&1 && rm $$log || { cat $$log; rm $$log; exit 1; }; }
endef

.PHONY: demo test verify coverage build figures bench bench-compare install clean help
.DEFAULT_GOAL := help

demo:
	@tools/deps demo
	@$(setup)
	@test -x $(BUILD)/tools/sona-demo || echo "building (a minute or less, the first time) ..." >&2
	@out=$$(ninja -C $(BUILD) --quiet tools/sona-demo sidecar/sona-sidecar 2>&1) || \
		{ echo "$$out" >&2; exit 1; }
	@$(BUILD)/tools/sona-demo --out $(BUILD)/sona-demo.json $(if $(DATA),--data '$(DATA)') \
		$(if $(LOG),--log '$(LOG)') $(ARGS)

test:
	@tools/deps test
	@$(setup)
	@test -d $(BUILD)/tests || meson configure $(BUILD) -Dtests=enabled
	@ninja -C $(BUILD) --quiet
	@meson test -C $(BUILD) --no-rebuild --print-errorlogs; status=$$?; \
	test -d ../shared/data || \
		echo "note: ../shared/data is not here, so the data-set suite was not run"; \
	exit $$status

# Longer than a change can wait for: hours. EVENTS=1000000 for a tenth of it.
verify:
	@tools/deps test
	@$(setup)
	@test -d $(BUILD)/tests || meson configure $(BUILD) -Dtests=enabled
	@tests/verify/run $(BUILD) $(EVENTS)

# Branches of shm/ and of the journal that the tests take, a table of the files; fails below the bound
# of tests/coverage/run. A build of its own: a quarter of an hour. ARGS=missing: what is not taken, too.
coverage:
	@tools/deps test
	@tests/coverage/run $(BUILD)-coverage $(ARGS)

build:
	@tools/deps build
	@$(setup)
	@ninja -C $(BUILD)

# Every figure about learning: hours the first time, then only what changed. DATA: a folder here.
figures:
	@tools/deps figures
	@$(setup)
	@ninja -C $(BUILD) --quiet tools/sona-replay perf/learning/baselines/learning-baseline
	@perf/learning/run $(BUILD) $(or $(DATA),../shared/data) docs/figures $(ARGS)

# Every figure about performance, beside its floor and beside the peer: a quarter of an hour.
bench:
	@tools/deps figures
	@$(setup)
	@ninja -C $(BUILD) --quiet perf/bench/sona-bench sidecar/sona-sidecar tools/sona-replay \
		engine/libsona-engine.a perf/pattern-recall
	@perf/run $(BUILD) $(or $(DATA),../shared/data) docs/figures $(ARGS)

# make bench-compare REV=main ARGS='--filter decide/*'
bench-compare:
	@test -n '$(REV)' || { echo "make bench-compare REV=<revision> [ARGS='--filter GLOB']" >&2; \
		exit 1; }
	@tools/deps build
	@$(setup)
	@perf/compare $(REV) $(BUILD) $(ARGS)

install: build
	@meson install -C $(BUILD) --no-rebuild \
		$(if $(DESTDIR),--destdir "$$(realpath -m -- '$(DESTDIR)')")
	@test -n '$(DESTDIR)' || test "$$(id -u)" != 0 || ldconfig

clean:
	rm -rf $(BUILD)

help:
	@echo "make demo                 build, then watch it learn (package descriptions of this Debian)"
	@echo "make demo DATA=FILE.bin   the same with a routing data set"
	@echo "make demo LOG=FILE.jsonl  learn from your own router's log"
	@echo "          ARGS='...'      more options: see build/tools/sona-demo --help"
	@echo "make test                 build and run every test"
	@echo "make verify               ten million adversarial events and the like (hours)"
	@echo "make coverage             branches taken of shm/ and the journal, by file (a quarter of an hour)"
	@echo "make build                libraries, sona-sidecar, sonactl, sona-replay, sona-demo"
	@echo "make figures              tables and plots of docs/figures again (public data sets needed)"
	@echo "make bench                docs/figures/performance.md again: floors, tails, growth, the peer"
	@echo "make bench-compare REV=R  this tree against revision R, in turns, with intervals"
	@echo "make install DESTDIR=DIR  install (prefix /usr/local)"
	@echo "make clean                remove the build directory"
