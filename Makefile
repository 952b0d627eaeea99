# Every target sets up what it needs: `make demo` and `make test` work in a fresh clone.
PYTHON ?= python3
BIN := .venv/bin
UV ?= $(BIN)/uv
LOCKS := deploy/requirements
PEER := .bench/peer

# each test run starts hundreds of interpreters: let them share compiled modules
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo up check test drills prove-images lint docs bench bench-latency bench-scale quality lock clean

$(BIN)/cutout: pyproject.toml $(LOCKS)/dev.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.13 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r $(LOCKS)/dev.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(BIN)/cutout ## cut out the sample photographs and draw a contact sheet
	$(BIN)/cutout run samples demo-out
	$(BIN)/cutout sheet samples demo-out -o demo-out/contact-sheet.png

up: $(BIN)/cutout ## keep the whole stack running until Ctrl-C
	@$(BIN)/cutout up

check: lint ## the inner loop, about a minute: lint, types, layers, unit and behaviour tests but those marked slow
	$(BIN)/python -m pytest tests/unit tests/behaviour -m "not slow" -n 3 --dist worksteal

test: $(BIN)/cutout ## every test but those marked long
	$(BIN)/python -m pytest -n 4 --dist worksteal

drills: $(BIN)/cutout ## every long test; break a real cluster in every known way, write docs/drills.md
	$(BIN)/python -m pytest tests/drills tests/slow tests/system -n 3 --dist worksteal --full --timeout 1800 --table docs/drills.md

# Needs root, debootstrap and bubblewrap; the network is for building only. See docs/limits.md.
prove-images: $(BIN)/cutout ## build the images without an engine, run the compose file in them
	$(BIN)/cutout models pull u2netp
	$(BIN)/python tests/images/image_build.py .images
	bwrap --dev-bind / / --proc /proc --unshare-net --unshare-pid --die-with-parent \
	  $(BIN)/python -m pytest tests/images --full

lint: $(BIN)/cutout ## ruff, mypy and the import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(BIN)/cutout ## regenerate docs/reference from the code
	$(BIN)/python docs/generate

$(PEER)/bin/rembg: $(LOCKS)/bench.lock
	$(PYTHON) -m venv $(PEER)
	$(PEER)/bin/python -m pip install --quiet --require-hashes -r $(LOCKS)/bench.lock
	@touch $@

# BENCH="--rounds 1 --sizes 4": see `.venv/bin/python bench/compare.py --help`. The two OPENBLAS
# variables are unset so that both sides choose the kernels of the CPU they run on.
bench: $(BIN)/cutout $(PEER)/bin/rembg ## measure throughput beside rembg, and what further renditions cost
	@env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE $(BIN)/python bench/compare.py $(BENCH)
	@env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE $(BIN)/python bench/renditions.py
	@env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE $(BIN)/python bench/render_again.py

# EVAL=DIR holds NAME.jpg and NAME.alpha.png, and may hold more photographs with a subject. EMPTY=DIR,
# optional, holds some without. QUALITY="--limit 5": see bench/quality.py and bench/doubts.py --help
quality: $(BIN)/cutout ## measure mattes against exact alpha, by recipe
	@env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE $(BIN)/python bench/quality.py $(EVAL) $(QUALITY)
	@env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE $(BIN)/python bench/doubts.py $(EVAL) $(if $(EMPTY),--empty $(EMPTY))

# BENCH="--rounds 1": see `.venv/bin/python bench/interactive.py --help`
bench-latency: $(BIN)/cutout ## measure the latency of cutouts over HTTP, with and without a batch
	@env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE $(BIN)/python bench/interactive.py $(BENCH)

# BENCH="--lines 10000000 --together": see `.venv/bin/python bench/scale.py --help`
bench-scale: $(BIN)/cutout ## measure queue, ledger, dispatcher and listings with a million lines
	@$(BIN)/python bench/scale.py $(BENCH)
	@$(BIN)/python bench/scale_bounds.py

# The images' versions follow dev.lock, so that an image runs the versions that the tests ran.
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate

lock: ## rewrite the lock files; they hold hashes and no index address
	$(COMPILE) pyproject.toml --group dev --output-file $(LOCKS)/dev.lock
	for image in producer worker; do \
	  $(COMPILE) $(LOCKS)/$$image.in --constraints $(LOCKS)/dev.lock \
	    --output-file $(LOCKS)/$$image.lock || exit 1; \
	done
	$(COMPILE) $(LOCKS)/bench.in --output-file $(LOCKS)/bench.lock

clean:
	rm -rf .venv .bench .images demo-out
