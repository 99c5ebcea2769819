# make check is what CI runs and what a change must pass. Go, make and git are
# enough; tests that need more skip and say so, see CONTRIBUTING.md.

GO       ?= go
FUZZTIME ?= 30s
FUZZBOUND ?= 1000000
MUTANTTIME ?= 10m
CHAOSTIME ?= 15s

# The race detector needs a C compiler. CI insists on it.
RACE := $(if $(CI),-race,$(shell test "$$($(GO) env CGO_ENABLED)" = 1 && echo -race))
# It looks at our code, and not into SQLite, which is C made into Go: there it takes
# more than half of the processor time.
SQLITE := -gcflags=modernc.org/sqlite/lib=-race=false -gcflags=modernc.org/libc=-race=false

.NOTPARALLEL:
.PHONY: check quick help check-all gofmt vet elsewhere everything-elsewhere fix staticcheck lint promises race test versions fuzz fuzz-briefly mutants chaos clusters bench load scale crowd tidy release release-check

check: gofmt vet elsewhere fix staticcheck lint promises race chaos fuzz-briefly
	@echo "== all good"

# What make check does, and what is too slow for it: each fuzz target for FUZZTIME,
# a busy day, a sweep of a million users and a flood of ten million addresses.
check-all: check everything-elsewhere versions fuzz crowd clusters
	@echo "== a million users"
	@WALKIN_TEST_SWEEP=1000000 $(GO) test -count=1 -run '^TestSweepAtScale$$' -timeout 60m ./store/sqlstore
	@echo "== ten million addresses"
	@WALKIN_TEST_FLOOD=10000000 $(GO) test -count=1 -run '^TestLimiterFlood$$' -timeout 30m ./limit

# What to run while changing the root: build, vet, its tests, the promises.
quick:
	@$(GO) build . && $(GO) vet . && $(GO) test -short . ./internal/promises

help:
	@echo "make quick      build, vet and test the root: while you work"
	@echo "make check      what CI runs, and what a change must pass"
	@echo "make check-all  that, and what takes longer: for a release"
	@echo "make fuzz       every fuzz target, each for FUZZTIME"
	@echo "make bench      measure beside peers, and rewrite docs/performance.md"
	@echo "make tidy       go mod tidy in every module"

# "work" is every package of every module in go.work.

gofmt:
	@echo "== gofmt"
	@files=$$("$$($(GO) env GOROOT)/bin/gofmt" -l .) || exit 1; \
	test -z "$$files" || { echo "not formatted by gofmt:"; echo "$$files"; exit 1; }

vet:
	@echo "== go vet"
	@$(GO) vet work

# The root module, its tests too, on the two systems that differ most. It takes seconds.
elsewhere:
	@echo "== go vet for windows and 32 bits"
	@CGO_ENABLED=0 GOOS=windows GOARCH=amd64 $(GO) vet ./...
	@CGO_ENABLED=0 GOOS=linux GOARCH=386 $(GO) vet ./...

# All modules that users get, on five systems. SQLite in Go takes minutes for each.
everything-elsewhere:
	@.ci/elsewhere

fix:
	@echo "== go fix"
	@diff=$$($(GO) fix -diff work); status=$$?; \
	test -z "$$diff" || { echo "$$diff"; echo "go fix work would change this"; exit 1; }; \
	exit $$status

# Its version is in internal/tools/go.mod.
staticcheck:
	@echo "== staticcheck"
	@$(GO) tool staticcheck work

# What walkin's own linters say of the examples: routes, policies, and who reaches what.
lint:
	@echo "== walkinvet"
	@$(GO) run ./cmd/walkinvet ./example/... ./example/forum
	@$(GO) test -count=1 -run '^TestLint$$|^TestMatrix$$' ./example ./example/forum

promises:
	@echo "== docs/promises.md"
	@$(GO) test -count=1 ./internal/promises

# Without go test's own vet, which make vet has done: with the race detector it would look
# through all dependencies once more. Some packages wait for databases and browsers more
# than they compute: they begin first, and one more than there are processors at a time.
race:
	@echo "== go test $(RACE)"
	@test -n "$(RACE)" || echo "without the race detector, which needs a C compiler"
	@$(GO) test $(RACE) $(if $(RACE),$(SQLITE)) -vet=off -shuffle=on -timeout 30m -p $$(($$(nproc 2>/dev/null || echo 2) + 1)) ./store/sqlstore ./example ./internal/release ./internal/enginetest ./rls work

test:
	@$(GO) test work

# Each adapter and store alone, against the lowest versions it requires and the
# newest there are.
versions:
	@.ci/versions

# Every fuzz target of every module, each for FUZZTIME, in no order, until FUZZBOUND
# seconds have passed. go test may call its own end a failure, with a deadline and no input:
# that is none.
fuzz:
	@stop=$$(($$(date +%s) + $(FUZZBOUND))); \
	grep -roE --include='*_test.go' --exclude-dir=testdata '^func Fuzz[A-Za-z0-9_]*' . | sort -R | while IFS=: read -r file func; do \
		test $$(date +%s) -lt $$stop || { echo "== the time is up; the others are for another run"; break; }; \
		echo "== $$(dirname $$file) $${func#func }"; \
		if out=$$($(GO) test -run '^$$' -fuzz "^$${func#func }\$$" -fuzztime $(FUZZTIME) "$$(dirname $$file)" 2>&1 </dev/null); then echo "$$out" | tail -1; continue; fi; \
		echo "$$out"; \
		case "$$out" in \
		*"Failing input"*|*panic*) exit 1;; \
		*"context deadline exceeded"*) ;; \
		*) exit 1;; \
		esac; \
	done

# What make check has time for.
fuzz-briefly:
	@$(MAKE) --no-print-directory fuzz FUZZTIME=3s FUZZBOUND=90

# Makes small mistakes in the packages that bear security, and prints those that no test
# notices. See internal/mutants for one package or one mutant.
mutants:
	@$(GO) run ./internal/mutants -time $(MUTANTTIME)

# Kills replicas and cuts connections, on each database for CHAOSTIME.
chaos:
	@echo "== chaos"
	@$(GO) test -count=1 -run '^Test(SQLite|PostgreSQL|MariaDB)$$/^chaos$$' ./store/sqlstore -chaos $(CHAOSTIME)

# Runs the stores on MariaDB with Galera and PostgreSQL under Patroni, and kills servers.
clusters:
	@echo "== clusters"
	@WALKIN_TEST_CLUSTERS=1 $(GO) test -count=1 -run '^Test(Galera|Patroni)$$' -timeout 30m ./store/sqlstore

# Measures beside our peers and rewrites the tables of docs/performance.md.
bench:
	@cd bench && $(GO) run ./table -write ../docs/performance.md

# Has thousands of visitors read over several replicas and one PostgreSQL.
scale:
	@cd bench && GOWORK=off $(GO) test -run '^$$' -bench . -benchtime 1x ./scale

# Lets a crowd at a small site on loopback, with walkin and without.
load:
	@cd bench && $(GO) run ./load -write ../docs/performance.md

# Plays a busy day with its robots at a small site on loopback.
crowd:
	@cd bench && $(GO) run ./crowd

# go mod tidy in every module, with the others of this repository as they are here.
tidy:
	@$(GO) run ./internal/release -tidy

# One version for all modules, checked, committed and tagged: docs/releasing.md.
release:
	@$(GO) run ./internal/release $(if $(DRY_RUN),-dry-run) $(VERSION)

# What would keep users from fetching the tree at the version it has.
release-check:
	@$(GO) run ./internal/release -check
