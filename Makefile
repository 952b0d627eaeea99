# Everything sets itself up: `make demo` and `make test` work in a fresh clone.
PYTHON ?= python3
BIN := .venv/bin
UV ?= $(BIN)/uv
LOCKS := deploy/requirements

.PHONY: demo up test lint lock clean

$(BIN)/cutout: pyproject.toml $(LOCKS)/dev.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.13 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r $(LOCKS)/dev.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(BIN)/cutout ## cut out the sample photographs and draw a contact sheet
	$(BIN)/cutout run samples demo-out --model u2netp
	$(BIN)/python samples/contact_sheet.py samples demo-out demo-out/contact-sheet.png

up: $(BIN)/cutout ## keep the whole stack running until Ctrl-C
	@$(BIN)/cutout up

test: $(BIN)/cutout ## the whole test suite
	$(BIN)/python -m pytest

lint: $(BIN)/cutout
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lock: ## write the lock files anew; they hold hashes and no index address
	@for lock in "dev --all-extras --group dev" "worker --extra worker" "producer --extra flower"; do \
	  set -- $$lock; name=$$1; shift; \
	  $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-header --no-annotate pyproject.toml "$$@" \
	    --output-file $(LOCKS)/$$name.lock || exit 1; \
	done

clean:
	rm -rf .venv demo-out
