# make help lists the targets.
SHELL := /bin/sh
.DEFAULT_GOAL := help

GO      ?= go
BIN     ?= zinit
DIST    ?= dist
PREFIX  ?= /usr/local
DESTDIR ?=
INIT    ?= $(if $(DESTDIR),yes,)
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null | sed 's/^v//; s/^\([0-9a-f]\{7,\}\)/0.4.0-dev+\1/' | grep . || echo 0.4.0-dev)

LDFLAGS  := -s -w -X main.version=$(VERSION)
BUILD    := CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags "$(LDFLAGS)"
PACKAGES := ./... $(addprefix ./,$(patsubst %/main.go,%,$(wildcard testdata/*/main.go)))
MAX_SIZE := 6000000
FUZZTIME ?= 20s
KILLS    ?= 500

export ZINIT_SKIPPED := $(CURDIR)/$(DIST)/skipped

.PHONY: build demo test check race storm fuzz mutate bench size install initramfs image clean help

build: ## build ./zinit: static, stripped, trimmed, versioned
	$(BUILD) -o $(BIN) .

demo: build ## start zinit on testdata/demo and show what it does, until Ctrl-C
	@sh testdata/demo/run.sh ./$(BIN)

test: ## run every ring; installs what a ring needs as root, else skips it loudly (never with CI=true)
	@mkdir -p $(DIST) && rm -f $(ZINIT_SKIPPED)
	-@sh testdata/setup.sh real vm container
	@code=0; CGO_ENABLED=0 $(GO) test -count=1 -parallel 6 -timeout 18m $(PACKAGES) || code=$$?; \
	if [ -s $(ZINIT_SKIPPED) ]; then echo; echo "RINGS SKIPPED"; sort -u $(ZINIT_SKIPPED); fi; \
	exit $$code

check: ## gofmt, vet, staticcheck, short tests, go.mod tidy
	@out=$$(gofmt -l .); [ -z "$$out" ] || { echo "gofmt would change:"; echo "$$out"; exit 1; }
	$(GO) vet $(PACKAGES)
	CGO_ENABLED=0 $(GO) run honnef.co/go/tools/cmd/staticcheck@latest $(PACKAGES)
	CGO_ENABLED=0 $(GO) test -short $(PACKAGES)
	$(GO) mod tidy -diff

race: ## the tests under the race detector, zinit itself built with it too (needs gcc)
	CGO_ENABLED=1 ZINIT_TEST_RACE=1 $(GO) test -race -timeout 30m $(PACKAGES)

storm: ## 500 kills of the server (KILLS) under 50 services that print at 1 kHz, and the other storms at full length
	CGO_ENABLED=0 ZINIT_STORM=$(KILLS) $(GO) test -count=1 -timeout 40m -parallel 1 -v -run '^TestStorm' ./applets

fuzz: ## every fuzz target for FUZZTIME (20s)
	@grep -rl --include='*_test.go' '^func Fuzz' . | while read -r f; do \
		dir=$$(dirname "$$f"); \
		for name in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' "$$f"); do \
			echo "$$dir $$name"; \
			$(GO) test -run '^$$' -fuzz "^$$name$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s "$$dir" || exit 1; \
		done; \
	done

mutate: ## break one rule of the supervisor at a time; every one must be noticed
	@sh testdata/mutate.sh

bench: build ## figures beside a C and a Go floor, medians of 5 interleaved runs (needs gcc)
	-@sh testdata/setup.sh bench
	CGO_ENABLED=0 $(GO) run ./testdata/bench -zinit ./$(BIN) $(BENCHFLAGS)

size: build ## fail above 6.0 MB
	@size=$$(wc -c <$(BIN)); echo "$(BIN): $$size bytes of $(MAX_SIZE)"; [ $$size -le $(MAX_SIZE) ]

# On a machine that another init runs, poweroff and its kin stay that init's:
# they come with INIT=yes, or with a DESTDIR, which means an image is made.
install: build ## install to PREFIX (/usr/local) under DESTDIR; with DESTDIR or INIT=yes also /sbin/init, poweroff, …
	install -D -m 755 $(BIN) $(DESTDIR)$(PREFIX)/bin/zinit
	mkdir -p $(DESTDIR)$(PREFIX)/sbin
	for name in zinit-pid1 zinit-server; do ln -sf ../bin/zinit $(DESTDIR)$(PREFIX)/sbin/$$name; done
	mkdir -p $(DESTDIR)/etc/zinit/services $(DESTDIR)/etc/zinit/targets $(DESTDIR)/etc/zinit/system
	@if [ "$(INIT)" = yes ]; then \
		mkdir -p $(DESTDIR)/sbin && \
		for name in init poweroff reboot halt shutdown; do \
			ln -sfv $(PREFIX)/bin/zinit $(DESTDIR)/sbin/$$name || exit 1; \
		done; \
	else \
		echo "left /sbin/init, poweroff, reboot, halt and shutdown as they are; make install INIT=yes links them"; \
	fi

initramfs: build ## a bootable cpio, dist/initramfs.cpio; more files with FILES="etc/zinit/services/web.toml=web.toml …"
	@mkdir -p $(DIST)
	$(GO) run ./testdata/initramfs -zinit $(BIN) -o $(DIST)/initramfs.cpio $(FILES)
	$(GO) run ./testdata/initramfs -verify $(DIST)/initramfs.cpio

image: build ## a container from scratch, dist/image.tar, for docker import or tar -x; more files with FILES
	@mkdir -p $(DIST)
	$(GO) run ./testdata/initramfs -format tar -zinit $(BIN) -o $(DIST)/image.tar $(FILES)
	@echo "docker import --change 'ENTRYPOINT [\"/sbin/init\"]' $(DIST)/image.tar zinit"

clean: ## remove what make made
	rm -rf $(BIN) $(DIST)

help: ## this list
	@sed -n 's/^\([a-z][a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name text; do \
		printf '  make %-10s %s\n' "$$name" "$$text"; \
	done
