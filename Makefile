# What a developer runs. Every target works on a fresh Debian machine with Go, git and make.
GO          ?= go
STATICCHECK ?= honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME    ?= 10s
# Arguments of the program or of go test: make run ARGS='--stay', make test ARGS='-run Relay ./internal/relay'
ARGS        ?=

.PHONY: run build test check lint bench fuzz clean

run: build ## the reference scenario, end to end, on this machine
	bin/waybill lab $(ARGS)

build:
	$(GO) build -o bin/waybill ./cmd/waybill

test: ## every test, with the race detector; the layer test and the RFC table are among them
	@scripts/peers.sh
	$(GO) run ./scripts/gotest $(or $(ARGS),./...)

check: lint test ## what a change must pass

lint:
	@files=$$(gofmt -l cmd internal scripts); \
		[ -z "$$files" ] || { echo "gofmt -w these files:"; echo "$$files"; exit 1; }
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

fuzz: ## every fuzz target for FUZZTIME
	@scripts/fuzz.sh $(FUZZTIME)

bench: ## waybill beside Postfix + Dovecot; the table goes to bench/result.md
	@scripts/bench.sh $(ARGS)

clean:
	rm -rf bin bench lab
