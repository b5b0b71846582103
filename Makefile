SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory --no-builtin-rules --warn-undefined-variables

# Developer tools are Go tool dependencies of the nested modules below tools/
# and are built into this folder once; nothing is installed outside the tree.
TOOLS := .cache/bin
CONSUL := $(TOOLS)/consul
LINT := $(TOOLS)/golangci-lint
BENCHSTAT := $(TOOLS)/benchstat
PROTOC_PLUGINS := $(TOOLS)/protoc-gen-go $(TOOLS)/protoc-gen-micro

# Every folder with a go.mod of its own; tools/* hold no code, only pins.
MODULES := $(patsubst %/,%,$(dir $(wildcard go.mod */go.mod */*/go.mod */*/*/go.mod)))
CODE := $(filter-out tools/%,$(MODULES))

# What depends on grpc's ways. The root requires the oldest that works, and is
# tested with it; internal/e2e requires the newest.
OVER_GRPC := $(addprefix github.com/oncemore-dev/oncemore/,idempotency/grpcguard internal/classify retryfunc wrapper)

# What a caller may set: make run-hello PORT=9002 ARGS="--server grpc".
REGISTRY ?=
PORT ?= 9001
HELLO_NODES ?= 127.0.0.1:9001,127.0.0.1:9002
ARGS ?=
BENCH ?= .
COUNT ?= 6
BASE ?=
CELLS ?=
SEED ?= 1
HARMFLAGS ?=
BENCHFLAGS = -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) -p 1 -timeout 2h

.PHONY: help
help: ## List the targets (the default)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(if $(filter consul,$(REGISTRY)),$(CONSUL)) ## Kill, restart and freeze instances under load; REGISTRY, STORE, TRANSPORT, INSTANCES, CALLS, RUNS change it
	CONSUL_BIN="$${CONSUL_BIN:-$(CURDIR)/$(CONSUL)}" go -C examples run ./failover

.PHONY: run
run: $(if $(filter consul,$(REGISTRY)),$(CONSUL)) ## Run all processes with faults on a schedule, and a page that shows it, until Ctrl-C; what changes demo changes it, and USER_API_ADDRESS
	@go build -C examples -o "$(CURDIR)/bin/" ./failover
	@cd examples && CONSUL_BIN="$${CONSUL_BIN:-$(CURDIR)/$(CONSUL)}" exec ../bin/failover live

# The programs replace the shell, so that kill -9 meets them and nothing else.
.PHONY: run-hello
run-hello: ## Start one hello-srv on 127.0.0.1:PORT (9001); REGISTRY=consul and ARGS="--flags" change it
	@go build -C examples -o "$(CURDIR)/bin/" ./hello-srv
	@exec bin/hello-srv --registry $(or $(REGISTRY),memory) --server_address "127.0.0.1:$(PORT)" $(ARGS)

.PHONY: run-api
run-api: ## Start user-api, which calls HELLO_NODES (ports 9001 and 9002); REGISTRY=consul and ARGS="--flags" change it
	@go build -C examples -o "$(CURDIR)/bin/" ./user-api
	@$(if $(filter-out memory,$(REGISTRY)),,HELLO_NODES="$(HELLO_NODES)") exec bin/user-api --registry $(or $(REGISTRY),memory) $(ARGS)

# Two packages are tested at a time. The longest by far is in the root, and does little
# but wait; beside it the other modules have their turn.
GOTEST = test -race -vet=off -timeout 30m
BESIDE := $(filter-out . internal/e2e internal/harm,$(CODE))

.PHONY: test
test: deps ## Run every test, with the race detector, against real servers
	@$(MAKE) -j 2 test-root test-beside
	@echo "test internal/e2e"; go -C internal/e2e $(GOTEST) -p 2 ./sqlstore ./storm ./... # the longest first
	@echo "test internal/harm"; go -C internal/harm $(GOTEST) ./...

.PHONY: test-root
test-root:
	@echo "test ."; go $(GOTEST) -p 1 $$(go list ./... | grep -v '^[^/]*/[^/]*/[^/]*/internal/')

.PHONY: test-beside
test-beside:
	@echo "test internal"; go $(GOTEST) -p 1 ./internal/...
	@for m in $(BESIDE); do echo "test $$m"; go -C "$$m" $(GOTEST) -p 1 ./...; done
	@echo "test what depends on grpc with the newest, too"
	@go -C internal/e2e $(GOTEST) -p 1 -skip '/^mucp$$' $(OVER_GRPC)

.PHONY: harm
harm: ## Compare the same program with and without oncemore, whatever goes wrong; CELLS="slow,grpc" or "3,17", SEED and HARMFLAGS change it
	@tools/deps.sh redis
	go run -C internal/harm . -seed $(SEED) -cells "$(CELLS)" $(HARMFLAGS)

.PHONY: lint
lint: $(LINT) ## Check style, imports, formatting, vet and module files
	@for m in $(CODE); do echo "lint $$m"; (cd "$$m" && "$(CURDIR)/$(LINT)" run --config "$(CURDIR)/.golangci.yml" ./...); done
	@unformatted=$$(gofmt -l .); if [[ -n $$unformatted ]]; then echo "run gofmt -w on:" $$unformatted; exit 1; fi
	@for m in $(CODE); do echo "vet $$m"; go -C "$$m" vet ./...; done
	@for m in $(MODULES); do echo "tidy $$m"; go -C "$$m" mod tidy -diff; done

.PHONY: bench
bench: deps $(BENCHSTAT) ## Run the benchmarks COUNT times and print what they compare; BASE=old.txt compares with an earlier .cache/bench.txt
	@{ go -C bench run ./table -machine; \
		go test $(BENCHFLAGS) -benchtime 20ms ./breaker/... ./idempotency/... ./retryfunc/... ./selectorx/... ./wrapper/...; \
		go -C internal/e2e test $(BENCHFLAGS) -benchtime 20ms ./sqlstore; \
		go -C bench test $(BENCHFLAGS) -benchtime 300ms ./...; } | tee .cache/bench.txt
	@$(BENCHSTAT) $(BASE) .cache/bench.txt
	@go -C bench run ./table <.cache/bench.txt

.PHONY: generate
generate: $(PROTOC_PLUGINS) ## Regenerate the Go code of every .proto file
	@tools/deps.sh protoc
	find . -name '*.proto' -not -path './.*' -exec env PATH="$(CURDIR)/$(TOOLS):$$PATH" protoc -I . \
		--go_out=. --go_opt=paths=source_relative --micro_out=. --micro_opt=paths=source_relative {} +

.PHONY: deps
deps: ## Install or build what the tests need and is missing: C compiler, Redis, MariaDB, PostgreSQL, Prometheus, Chromium, Consul
	@tools/deps.sh cc redis mariadb postgres prometheus chromium
	@$(MAKE) -s $(CONSUL)

.PHONY: clean
clean: ## Remove what the other targets built
	rm -rf bin .cache

$(CONSUL): tools/consul/go.mod tools/consul/go.sum
	@echo "building the Consul agent into $@ (some minutes the first time)"
	@go build -C tools/consul -o "$(CURDIR)/$@" github.com/hashicorp/consul && touch $@

$(LINT): tools/lint/go.mod tools/lint/go.sum
	@echo "building golangci-lint into $@ (a minute or two the first time)"
	@go build -C tools/lint -o "$(CURDIR)/$@" github.com/golangci/golangci-lint/v2/cmd/golangci-lint && touch $@

$(BENCHSTAT): tools/bench/go.mod tools/bench/go.sum
	@go build -C tools/bench -o "$(CURDIR)/$@" golang.org/x/perf/cmd/benchstat && touch $@

$(PROTOC_PLUGINS) &: tools/proto/go.mod tools/proto/go.sum
	@go build -C tools/proto -o "$(CURDIR)/$(TOOLS)/" tool && touch $(PROTOC_PLUGINS)
