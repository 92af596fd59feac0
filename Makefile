# What passes here lands. `make test` needs Go only; `make e2e` installs a real vLLM.

GO        ?= go
BIN       := bin/profjob
COMMIT    ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null)
TESTFLAGS ?=

.PHONY: build
build: ## one static binary: bin/profjob
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-X main.commit=$(COMMIT)' -o $(BIN) ./cmd/profjob

.PHONY: test
test: ## vet, formatting, staticcheck, and all tests with the race detector
	test -z "$$(gofmt -l $$(git ls-files '*.go'))"
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) test -race $(TESTFLAGS) $$($(GO) list ./... | grep -v -e '/internal/trace$$' -e '/internal/analysis$$')
	$(GO) test -race -short $(TESTFLAGS) ./internal/trace ./internal/analysis # the large files take minutes under the race detector:
	$(GO) test $(TESTFLAGS) ./internal/trace ./internal/analysis              # they are read without

.PHONY: e2e
e2e: build ## job files against a real vLLM on CPU in three versions, the bounded part
	$(GO) test -tags e2e -count=1 -timeout 60m -v ./e2e

.PHONY: e2e-full
e2e-full: build ## the same and what is too long for every change; prints the table of docs/vllm.md
	PROFJOB_E2E_FULL=1 $(GO) test -tags e2e -count=1 -timeout 170m -v ./e2e

N ?= 300
.PHONY: chaos
chaos: build ## kills N runs at random moments and checks what must hold after each; prints a table
	cd e2e && PROFJOB_CHAOS=$(N) $(GO) test -tags e2e -count=1 -timeout 170m -run '^TestChaos$$'

.PHONY: faults
faults: build ## every way in which a server can misbehave, at every plan step, and in which profjob can die; prints what became of each
	cd e2e && PROFJOB_FAULTS=1 $(GO) test -tags e2e -count=1 -timeout 60m -run '^Test(Faults|StepFaults|Deaths)$$'

.PHONY: bench
bench: bench-traces ## benchmarks, and the table of bench-traces
	$(GO) test -run '^$$' -bench . -benchmem ./...

.PHONY: bench-traces
bench-traces: build ## how fast traces are read and in how much memory, each beside gzip, Python or HolisticTraceAnalysis; prints a table
	cd e2e/peers && PROFJOB_BENCH=1 $(GO) test -tags e2e -count=1 -timeout 60m -run '^TestBench$$' $(BENCHFLAGS)

.PHONY: bench-huge
bench-huge: build ## the same of a trace of 5 GB, which is made
	cd e2e/peers && PROFJOB_HUGE=1 $(GO) test -tags e2e -count=1 -timeout 60m -run '^TestHuge$$' $(BENCHFLAGS)

.PHONY: check-peers
check-peers: ## the totals of real traces beside those of HolisticTraceAnalysis and TraceLens; prints the table of docs/, PEERSFLAGS=-update writes it
	cd e2e/peers && $(GO) test -tags e2e -count=1 -timeout 30m -run '^Test(Check|Repeat)$$' $(PEERSFLAGS)

FUZZTIME ?= 30s
.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME
	@for pkg in $$($(GO) list ./...); do \
	  list=$$($(GO) test -list '^Fuzz' $$pkg) || exit 1; \
	  for f in $$(echo "$$list" | grep '^Fuzz'); do \
	    echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
	  done; done

.PHONY: docs
docs: ## rewrites the generated parts of docs/
	$(GO) test ./cmd/profjob -run 'Reference$$' -update

.PHONY: help
help:
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'
