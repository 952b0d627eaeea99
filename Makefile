# Everything sets itself up: `make demo` and `make test` work in a fresh clone.
PYTHON ?= python3
BIN := .venv/bin
UV ?= $(BIN)/uv
LOCKS := deploy/requirements

PEER := .bench/peer

.PHONY: demo up test drills bench bench-latency lint lock clean

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
	$(BIN)/python -m pytest -n 3 --dist loadscope

drills: $(BIN)/cutout ## harm a cluster in every way we know, for real; half an hour
	$(BIN)/python -m pytest tests/drills -n 3 --dist loadscope --full --timeout 1800 --table docs/drills.md

$(PEER)/bin/rembg: $(LOCKS)/bench.lock
	$(PYTHON) -m venv $(PEER)
	$(PEER)/bin/python -m pip install --quiet --require-hashes -r $(LOCKS)/bench.lock
	@touch $@

# BENCH="--rounds 1 --sizes 4": see `.venv/bin/python bench/compare.py --help`. Without the two
# variables both sides choose the OpenBLAS kernels of the CPU they run on.
bench: $(BIN)/cutout $(PEER)/bin/rembg ## measure beside rembg
	@env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE $(BIN)/python bench/compare.py $(BENCH)

# BENCH="--rounds 1": see `.venv/bin/python bench/interactive.py --help`
bench-latency: $(BIN)/cutout ## measure single images over HTTP, beside a batch and without
	@env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE $(BIN)/python bench/interactive.py $(BENCH)

lint: $(BIN)/cutout
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lock: ## write the lock files anew; they hold hashes and no index address
	@for lock in "dev --all-extras --group dev" "worker --extra worker" "producer --extra flower --extra web"; do \
	  set -- $$lock; name=$$1; shift; \
	  $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-header --no-annotate pyproject.toml "$$@" \
	    --output-file $(LOCKS)/$$name.lock || exit 1; \
	done
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate $(LOCKS)/bench.in \
	  --output-file $(LOCKS)/bench.lock

clean:
	rm -rf .venv .bench demo-out
