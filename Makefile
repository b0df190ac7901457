# The commands of the project. What they install stays in .venv and viewer/node_modules; a step runs again only when its inputs change.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

PORT ?= 8000
DEMO_EVENTS ?= 300000

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input --quiet --retries 10
INSTALLED := .venv/.installed
TOOLS := .venv/.tools
CLIENTS := .venv/.clients
VIEWER := viewer/node_modules/.vendored
PEERS := build/peers

MARTIN := 1.16.1
RUST := 1.98
PG_TILESERV := v1.0.11
TEGOLA := v0.21.2
TIPG := 1.6.1

# The made-up city keeps to a store of its own, whatever the environment or .env names: it never mixes with a city's records.
DEMO := data/demo
DEMO_MADE := $(DEMO)/.events-$(DEMO_EVENTS)
DEMO_SETTINGS := TILESERVER_STORE=$(DEMO) TILESERVER_WRITE_STORE= TILESERVER_SNAPSHOTS=snapshots/demo \
  TILESERVER_RASTERS=$(DEMO)/rasters TILESERVER_LAYERS=layers TILESERVER_STYLES=styles TILESERVER_PUBLIC_URL=

# A process for each core, whole files to each, in the order in which tests/conftest.py has them.
ON_ALL_CORES := --numprocesses=auto --maxprocesses=8 --max-worker-restart=0 --dist=loadfile --no-loadscope-reorder

# $(call install_packages,names): through apt when root, a second time if the first fails; else says what to install, and stops.
define install_packages
if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
  echo "Missing: $(1). On Debian or Ubuntu: sudo apt-get install $(1)" >&2; exit 1; \
fi; \
echo "Installing $(1)"; \
export DEBIAN_FRONTEND=noninteractive; \
for attempt in first second; do \
  apt-get update -qq && apt-get install -y -qq --no-install-recommends $(1) </dev/null >/dev/null && break; \
  [ $$attempt = first ] || { echo "apt-get could not install $(1); its messages are above." >&2; exit 1; }; \
  sleep 5; \
done
endef

.PHONY: help
help: ## Prints this list.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | while IFS='|' read -r name does; do printf '%-14s %s\n' "$$name" "$$does"; done

.PHONY: demo
demo: $(INSTALLED) $(VIEWER) $(DEMO_MADE) ## Makes the made-up city and serves it; PORT (8000) and DEMO_EVENTS (300000) change it. Needs no root and no database.
	@exec env $(DEMO_SETTINGS) $(BIN)/tileserver serve --port $(PORT)

.PHONY: install
install: $(INSTALLED) $(VIEWER) ## Installs the server into .venv, with what the viewer needs.
	@echo 'Next: export PATH="$(CURDIR)/.venv/bin:$$PATH", then tileserver init city'

.PHONY: test
test: test-packages test-browser $(VIEWER) ## Checks formats, lint, types and import rules, then runs all tests. Installs what they need: PostGIS and Chromium through apt when root.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd viewer && npm test
	$(BIN)/pytest $(ON_ALL_CORES)

.PHONY: test-clients
test-clients: test-packages client-packages $(CLIENTS) $(VIEWER) ## Checks that QGIS, GDAL and MapLibre Native show the same maps; their pictures stay in build/clients.
	$(BIN)/pytest tests/clients

.PHONY: bench
bench: bench-packages $(TOOLS) ## Measures the server beside its peers, in a quarter of an hour; prints tables and writes bench.json. ONLY names parts, ROWS (3000000) the rows.
	@PYTHONPATH=tests $(BIN)/python -m benchmarks $(ONLY) $(if $(ROWS),--rows $(ROWS))

.PHONY: bench-peers
bench-peers: $(PEERS)/bin/martin $(PEERS)/bin/pg_tileserv $(PEERS)/bin/tegola $(PEERS)/tipg/bin/uvicorn ## Installs the peers that bench measures beside, into build/peers: martin, pg_tileserv, tegola, tipg.

.PHONY: format
format: $(TOOLS) ## Formats the Python files and mends what the linter can mend.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: viewer
viewer: $(VIEWER) ## Fetches the viewer's third-party modules and the map's fonts from npm into viewer/vendor.

.PHONY: lock
lock: .venv/bin/pip ## Resolves the Python dependencies anew and pins them, with hashes, in the requirements*.lock files.
	@set -e; uv=$$(mktemp -d); trap 'rm -rf "$$uv"' EXIT; \
	$(BIN)/python -m venv $$uv; $$uv/bin/pip --disable-pip-version-check --quiet --retries 10 install uv; \
	compile() { echo "Writing $$1"; $$uv/bin/uv pip compile --quiet --universal --upgrade --fork-strategy fewest --python-version 3.11 \
	  --generate-hashes --no-header --no-annotate --output-file "$$@" >/dev/null; }; \
	compile requirements.lock pyproject.toml; \
	compile requirements-build.lock --group build; \
	compile requirements-dev.lock pyproject.toml --group dev; \
	compile requirements-clients.lock --group clients

.PHONY: clean
clean: ## Removes what the other targets installed and made, the demo city too; the rest of data/ and snapshots/ stays.
	rm -rf .venv viewer/node_modules viewer/vendor $(DEMO) snapshots/demo dist build bench.json
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find tileserver tests -name __pycache__ -prune -exec rm -rf {} +

# The steps behind them.

$(BIN)/pip:
	@python=; for name in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
	  if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$name; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "Python 3.11 or newer is needed; found: $$(python3 --version 2>/dev/null || echo none). Where it has another name: make PYTHON=/path/to/python3.12 …" >&2; exit 1; \
	fi; \
	if ! $$python -c 'import ensurepip' 2>/dev/null; then \
	  $(call install_packages,$$($$python -c 'import sys; print("python3.%d-venv" % sys.version_info.minor)')); \
	fi; \
	echo "Creating .venv with $$($$python --version)"; \
	$$python -m venv --clear .venv

$(INSTALLED): requirements.lock requirements-build.lock pyproject.toml | $(BIN)/pip
	@echo "Installing the server's Python packages"
	@$(PIP) install --require-hashes -r requirements.lock -r requirements-build.lock
	@$(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@

$(TOOLS): requirements-dev.lock $(INSTALLED)
	@echo "Installing the tests' Python packages"
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@

$(CLIENTS): requirements-clients.lock $(TOOLS)
	@echo "Installing MapLibre Native"
	@$(PIP) install --require-hashes -r requirements-clients.lock
	@touch $@

$(VIEWER): viewer/package.json viewer/package-lock.json viewer/vendor.mjs viewer/glyphs.mjs $(if $(wildcard viewer/vendor),,vendor-is-gone)
	@if ! version=$$(node --version 2>/dev/null); then \
	  echo "Node 20 or newer is needed, with npm: https://nodejs.org/en/download" >&2; exit 1; fi; \
	major=$${version#v}; \
	if [ "$${major%%.*}" -lt 20 ]; then echo "Node 20 or newer is needed; found: $$version. See https://nodejs.org/en/download" >&2; exit 1; fi; \
	if ! command -v npm >/dev/null; then echo "npm is missing beside Node $$version; the packages of https://nodejs.org/en/download have both" >&2; exit 1; fi
	@echo "Installing the viewer's modules"
	@cd viewer && npm ci --no-audit --no-fund --no-update-notifier --fetch-retries=5 --loglevel=error && npm run --silent vendor
	@touch $@

$(DEMO_MADE): $(wildcard tileserver/demo/*.py layers/*.toml) | $(INSTALLED)
	@echo "Making the city: $(DEMO_EVENTS) events"
	@rm -f $(DEMO)/.events-*
	@env $(DEMO_SETTINGS) $(BIN)/tileserver demo --events $(DEMO_EVENTS)
	@rm -f $(DEMO)/.events-*
	@touch $@

.PHONY: vendor-is-gone

# PostGIS, unless TILESERVER_TEST_STORE names a database; Chromium, and a library of Playwright's driver. Ubuntu packs Chromium as a snap
# only: there it is Playwright's own build.
.PHONY: test-packages
test-packages:
	@missing=; \
	[ -n "$$TILESERVER_TEST_STORE" ] || ls /usr/share/postgresql/*/extension/postgis.control >/dev/null 2>&1 || missing='postgresql postgresql-postgis'; \
	command -v chromium >/dev/null || grep -qs '^ID=ubuntu' /etc/os-release || missing="$$missing chromium"; \
	ls /usr/lib/*/libatomic.so.1 >/dev/null 2>&1 || missing="$$missing libatomic1"; \
	if [ -n "$$missing" ]; then $(call install_packages,$${missing# }); fi

# PostGIS and ogr2ogr, beside which an ingest is measured.
.PHONY: bench-packages
bench-packages:
	@missing=; \
	ls /usr/share/postgresql/*/extension/postgis.control >/dev/null 2>&1 || missing='postgresql postgresql-postgis'; \
	command -v ogr2ogr >/dev/null || missing="$$missing gdal-bin"; \
	if [ -n "$$missing" ]; then $(call install_packages,$${missing# }); fi

# The peers, at these versions; what is there is left as it is. One that cannot be installed is named, and stops no other: `make bench`
# says that it is missing.
$(PEERS)/bin/martin:
	@if ! command -v rustup >/dev/null; then echo "martin needs Rust $(RUST), which rustup brings: https://rustup.rs" >&2; exit 0; fi; \
	echo "Installing martin $(MARTIN), in some twenty minutes"; \
	rustup toolchain install $(RUST) --profile minimal && \
	cargo +$(RUST) install martin --version $(MARTIN) --locked --no-default-features --features postgres --root $(PEERS) || \
	echo "martin could not be installed; its messages are above." >&2

# As a requirement of an empty module, which takes what is asked for without asking what else there is.
# $(call install_go,name,module,version,package,flags)
define install_go
if ! command -v go >/dev/null; then echo "$(1) needs Go: https://go.dev/dl" >&2; exit 0; fi; \
echo "Installing $(1) $(3)"; \
folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; mkdir -p $(PEERS)/bin; bin=$$PWD/$(PEERS)/bin; \
cd $$folder && go mod init peers 2>/dev/null && go mod edit -require=$(2)@$(3) && go build -mod=mod $(5) -o $$bin/$(1) $(4) || \
echo "$(1) could not be installed; its messages are above." >&2
endef

$(PEERS)/bin/pg_tileserv:
	@$(call install_go,pg_tileserv,github.com/CrunchyData/pg_tileserv,$(PG_TILESERV),github.com/CrunchyData/pg_tileserv,\
	  -ldflags "-X main.programVersion=$(PG_TILESERV)")

$(PEERS)/bin/tegola:
	@$(call install_go,tegola,github.com/go-spatial/tegola,$(TEGOLA),github.com/go-spatial/tegola/cmd/tegola,\
	  -tags "noAzblobCache noS3Cache noRedisCache noGpkgProvider noViewer" \
	  -ldflags "-X github.com/go-spatial/tegola/internal/build.Version=$(TEGOLA)")

$(PEERS)/tipg/bin/uvicorn: | $(BIN)/pip
	@echo "Installing tipg $(TIPG)"; \
	$(BIN)/python -m venv $(PEERS)/tipg && \
	$(PEERS)/tipg/bin/pip --disable-pip-version-check --no-input --quiet --retries 10 install tipg==$(TIPG) 'uvicorn[standard]' || \
	echo "tipg could not be installed; its messages are above." >&2

# QGIS for Debian's own Python, and what MapLibre Native draws with where there is no screen.
.PHONY: client-packages
client-packages:
	@missing=; \
	/usr/bin/python3 -c 'import qgis.core' 2>/dev/null || missing='python3-qgis qgis-providers'; \
	ls /usr/lib/*/libEGL.so.1 >/dev/null 2>&1 || missing="$$missing libegl1 libgl1-mesa-dri"; \
	if [ -n "$$missing" ]; then $(call install_packages,$${missing# }); fi

.PHONY: test-browser
test-browser: $(TOOLS)
	@command -v chromium >/dev/null || $(BIN)/playwright install --with-deps chromium
