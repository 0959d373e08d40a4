# Everything a newcomer needs: `make demo`, `make test`. Each target sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := help
.PHONY: help setup demo browser pictures test test-browser lint collect format bench certify test-spark lock clean
# Every process of the tests would translate every file once more.
unexport PYTHONDONTWRITEBYTECODE

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Touchstone needs Python 3.11 or newer; set PYTHON=/path/to/python3.11") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	@echo "installing what requirements.lock names into $(VENV)/ (a minute or two)"
	@# uv loads, unpacks and compiles side by side, but knows no index that pip was told of. pip has the last word, and does what uv left.
	@$(BIN)/pip config list | grep -qE '[.]index-url=' || { \
	    $(BIN)/pip install -qq --disable-pip-version-check -c requirements.lock uv && \
	    $(BIN)/uv pip install -q --system-certs --python $(BIN)/python --compile-bytecode -r requirements.lock; } || \
	    echo "uv could not install them: pip does, which takes longer"
	$(BIN)/pip install -qq --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install -qq --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

setup: $(VENV)/.ready ## Install everything into .venv/

demo: setup ## A two-week campaign in about a minute: API on :8000, dashboard on :8501 (EXIT=1: stop after the report)
	$(BIN)/touchstone demo $(if $(EXIT),--exit,)

browser: ## Chromium for the tests in a browser, where this machine lets us install it
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || \
	    { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo "installing Debian's Chromium (once)" && \
	      apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium >/dev/null; } || \
	    echo "no Chromium, and it cannot be installed from here: the tests in a browser will be skipped"

pictures: setup browser ## Every page of the dashboard as a picture, in docs/pictures/
	@fc-list 2>/dev/null | grep -qi wqy || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends fonts-wqy-microhei >/dev/null; } || \
	    echo "no font with Chinese letters, and none can be installed from here: one picture will have boxes"
	$(BIN)/python -m tests.browser.pictures

test: setup browser lint ## Lint, types, floors, and all tests (SQLite and PostgreSQL, and in a real browser)
	$(BIN)/pytest -n 3 --dist worksteal -q
	$(BIN)/pytest -n 0 -q -m browser tests/browser

test-browser: setup browser ## A marketer's journey and every page's accessibility, in a real browser
	$(BIN)/pytest -n 0 -q -m browser tests/browser

test-spark: setup ## The same facts on Spark as everywhere (brings pyspark; skipped where there is no Java)
	@if ! java -version >/dev/null 2>&1; then echo "not run: there is no Java, which Spark needs (17 or newer)"; else \
	    $(BIN)/pip install -qq --disable-pip-version-check --target $(VENV)/spark 'pyspark>=4,<5' && \
	    PYTHONPATH=$(VENV)/spark $(BIN)/pytest -n 0 -q -m spark tests/integration; fi

lint: setup ## Format check, lint, types, floors
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

collect: setup
	@$(BIN)/pytest --collect-only -qq >/dev/null && echo "tests are compiled"

format: setup ## Format and fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup ## Speeds, as ratios within one run
	$(BIN)/python -m benchmarks.run

certify: setup ## Slow simulations that prove the statistics
	$(BIN)/python -m benchmarks.certify

lock: setup ## Write requirements.lock (names and versions only)
	$(BIN)/uv pip compile --universal --python-version 3.11 --extra dev --no-emit-index-url --no-annotate --no-header \
	    pyproject.toml -o requirements.lock

clean: ## Remove .venv and everything generated
	rm -rf $(VENV) var .pytest_cache .mypy_cache .ruff_cache .hypothesis
