# `make` tells what there is. It needs Go, git and make; `make test` also a C compiler, for -race.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
# What images are called before the name of the command, and the processors that they are made for.
IMAGE_PREFIX ?= ghcr.io/tegata-dev/tegata-
ARCH ?= amd64,arm64
# The commit, and the time that files in images bear: that of the commit, unless SOURCE_DATE_EPOCH says another.
revision := $(shell git rev-parse HEAD 2>/dev/null)
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
# The packages that `make test` and `make fuzz` look at, and what is added to `go test`.
PKG ?= ./...
TESTFLAGS ?=
FUZZTIME ?= 10s

tools := $(CURDIR)/bin/tools
controller-gen := $(tools)/controller-gen
openapi-gen := $(tools)/openapi-gen
golangci-lint := $(tools)/golangci-lint
boilerplate := headerFile=hack/boilerplate.go.txt
# What every API server serves beside its own kinds.
meta := $(addprefix k8s.io/apimachinery/pkg/,apis/meta/v1 runtime version)
comma := ,
space := $(subst ,, )

# The directory of etcd, kube-apiserver, kube-controller-manager and kubectl, built when it is missing.
assets = KUBEBUILDER_ASSETS="$$(hack/controlplane/build.sh)"; export KUBEBUILDER_ASSETS

##@ General

.PHONY: help
help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Tell the whole story on a real control plane (KEEP=1 leaves it running)
	@command -v curl >/dev/null || { echo 'make demo: curl is missing, which logs in as a device would: install it' >&2; exit 1; }
	@echo 'building manager, sidecar, history and demo; the first time this takes a minute or two' >&2
	@$(MAKE) --no-print-directory build
	@$(assets); go build -o bin/ ./hack/demo ./hack/demo/device; KEEP='$(KEEP)' exec bin/demo

.PHONY: build
build: ## Build the programs into bin/
	CGO_ENABLED=0 go build -trimpath -tags grpcnotrace -ldflags '-s -w -X main.version=$(VERSION)' -o bin/ ./cmd/...

.PHONY: clean
clean: ## Remove bin/ and dist/ (the built control plane stays in its cache)
	rm -rf bin dist

##@ Release

.PHONY: images
images: ## Make the images as OCI archives in dist/images (ARCH=amd64 for one processor)
	@cd hack/release && CGO_ENABLED=0 go build -o '$(tools)/' ./images
	@'$(tools)/images' --root . --out dist/images --prefix '$(IMAGE_PREFIX)' --version '$(VERSION)' \
	  --revision '$(revision)' --created '$(SOURCE_DATE_EPOCH)' --arch '$(ARCH)'

.PHONY: dist
dist: ## Make dist/install.yaml, others for kubectl apply, and the Helm chart, with the images of VERSION
	@cd hack/release && CGO_ENABLED=0 go build -o '$(tools)/' ./install
	@'$(tools)/install' --root . --out dist --prefix '$(IMAGE_PREFIX)' --version '$(VERSION)' --created '$(SOURCE_DATE_EPOCH)'

.PHONY: krew
krew: ## Make the plugin's archives, and Krew's manifest of them, in dist/krew
	@hack/krew/release.sh '$(VERSION)' dist/krew

##@ Change

.PHONY: generate
generate: $(controller-gen) $(openapi-gen) ## Generate deep copies, apply configurations and OpenAPI
	$(controller-gen) object:$(boilerplate) paths=./api/...
	$(controller-gen) applyconfiguration:$(boilerplate) paths=./api/...
	$(openapi-gen) --go-header-file hack/boilerplate.go.txt --report-filename /dev/null \
	  --output-pkg github.com/tegata-dev/tegata/internal/historyserver/openapi \
	  --output-dir internal/historyserver/openapi --output-file zz_generated.openapi.go \
	  --output-model-name-file zz_generated.model_name.go --readonly-pkg '$(subst $(space),$(comma),$(meta))' \
	  ./api/history/v1alpha1 $(meta)

.PHONY: manifests
manifests: $(controller-gen) ## Generate the CRDs, the manager's role and the chart's objects
	$(controller-gen) crd paths=./api/v1alpha1 output:crd:dir=config/crd/bases
	if [ -d controllers ]; then \
	  $(controller-gen) rbac:roleName=tegata-manager paths=./controllers/... output:rbac:dir=config/rbac; fi
	@cd hack/release && CGO_ENABLED=0 go build -o '$(tools)/' ./chart
	'$(tools)/chart' --root .

##@ Check

.PHONY: test
test: ## Run all tests on a real API server (PKG=./internal/authn/... for some)
	@$(assets); PKG='$(PKG)' hack/test.sh $(TESTFLAGS)

.PHONY: e2e
e2e: ## Tell the story in pods (KUBECONFIG=FILE LOAD='kind load image-archive …')
	@KUBECONFIG='$(KUBECONFIG)' LOAD='$(LOAD)' RESTART_APISERVER='$(RESTART_APISERVER)' hack/e2e/run.sh

.PHONY: kind-up
kind-up: ## Start a cluster for `make e2e`, where there is kind and an engine (KIND_IMAGE=… for its version)
	kind create cluster --name tegata-e2e --kubeconfig bin/kind.kubeconfig --wait 3m $(if $(KIND_IMAGE),--image '$(KIND_IMAGE)')
	@echo "make e2e KUBECONFIG=bin/kind.kubeconfig LOAD='kind load image-archive --name tegata-e2e' RESTART_APISERVER='docker exec tegata-e2e-control-plane pkill -KILL -x kube-apiserver'"

.PHONY: kind-down
kind-down: ## Take that cluster away
	kind delete cluster --name tegata-e2e --kubeconfig bin/kind.kubeconfig

.PHONY: lint
lint: $(golangci-lint) ## Run the linters
	$(golangci-lint) run
	cd hack/release && $(golangci-lint) run

.PHONY: verify
verify: $(controller-gen) $(openapi-gen) ## Regenerate, and fail if that or anything else is not committed
	@hack/verify.sh

.PHONY: bench
bench: ## Measure speed, and compare it with what is promised
	@$(assets); go run ./hack/bench

.PHONY: fuzz
fuzz: ## Fuzz each target for FUZZTIME
	@PKG='$(PKG)' FUZZTIME='$(FUZZTIME)' hack/fuzz.sh

##@ Tools

.PHONY: tools
tools: $(controller-gen) $(openapi-gen) $(golangci-lint) $(tools)/benchstat ## Build the tools, when hack/tools has changed

$(controller-gen): package := sigs.k8s.io/controller-tools/cmd/controller-gen
$(openapi-gen): package := k8s.io/kube-openapi/cmd/openapi-gen
$(golangci-lint): package := github.com/golangci/golangci-lint/v2/cmd/golangci-lint
$(tools)/benchstat: package := golang.org/x/perf/cmd/benchstat
$(tools)/%: hack/tools/go.mod hack/tools/go.sum
	cd hack/tools && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o $@ $(package)
