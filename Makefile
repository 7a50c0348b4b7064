# make book       build the book; prints the path of its first page
# make test       lint, and every test but the long ones
# make test-all   lint, and every test
# make test-gpu   what needs a GPU; the other tests are of the CPU and look at none
# make bench      time our way against the plain way; make bench BENCH="sweep --json FILE" some of it, kept in a file
# make lint       ruff and mypy
# make clean      remove what the targets above have made
# Each sets up its own virtual environment first. Another Python: make clean, then make PYTHON=python3.12 book

PYTHON ?= python3
PINS ?= --constraint requirements.txt
PIP = $(@D)/bin/python -m pip install --quiet --no-compile
UV = env -u UV_NO_EDITABLE UV_NO_CONFIG=1 $(@D)/bin/uv pip install --quiet --python $(@D)/bin/python
# On the CPU. Three processes keep two cores busy: some tests wait for processes that they start. Long files come first.
PYTEST = OMP_NUM_THREADS=1 CUDA_VISIBLE_DEVICES= $(PAGES) .venv/bin/pytest -n 3 --dist loadfile --no-loadscope-reorder

# The browser's tests visit the pages that `make book` has made, unless there are none, or anything is newer.
BOOK = _build/book
MADE_FROM = book lsbook results _static _config.yml _toc.yml _build/html/index.html
PAGES = $(shell newer=$$(find $(MADE_FROM) -name '[!.]*' -type f ! -name '*.pyc' -newer $(BOOK) 2>/dev/null) && \
  [ -z "$$newer" ] && echo LSBOOK_PAGES=_build/html)

# Hundreds of processes start, and none should have to compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: book test test-all test-alone test-all-alone test-gpu bench lint clean

book: .venv-book/ready
	.venv-book/bin/lsbook build
	@touch $(BOOK)

# Beside lint, of which one core has enough.
test test-all: .venv/ready
	+$(MAKE) --jobs=2 lint $@-alone

test-alone: .venv/ready
	$(PYTEST) -m "not long"

test-all-alone: .venv/ready
	$(PYTEST)

test-gpu: .venv/ready
	.venv/bin/pytest tests/training/engine/test_cuda_graphs.py

bench: .venv/ready
	.venv/bin/python -m benchmarks $(BENCH)

lint: .venv/ready
	.venv/bin/ruff check
	.venv/bin/ruff format --check --quiet
	.venv/bin/mypy

clean:
	rm -rf _build .venv .venv-book .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*

.venv-book/ready: requirements-book.txt
.venv/ready .venv-book/ready: pyproject.toml requirements.txt requirements-uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 2))' || \
	  { echo "lsbook needs Python 3.11.2 or newer; name one, as in: make PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(@D)
	-$(PIP) --require-hashes --requirement requirements-uv.txt
	$(INSTALL)
	$(@D)/bin/python -c 'import lsbook.cli, pandas'
	touch $@

# uv needs a tenth of pip's time. Where there is none, or it finds nothing, as it knows no mirrors of pip's configuration,
# pip does the same. Nothing is compiled before it is first imported, which is a small part of it.
install = { $(UV) $(1) || { echo "uv cannot: pip does the same" >&2; $(PIP) $(1); }; }

# What the book is made with is taken by its hashes, of a list that is complete. Not so torch, whose build for CPUs is
# another one in other places, as pip's configuration says.
ifdef PINS
.venv-book/ready: INSTALL = $(call install,--no-deps --require-hashes --requirement requirements-book.txt) && \
	  $(call install,--no-deps --no-build-isolation --editable .)
else
.venv-book/ready: INSTALL = $(call install,--editable ".[book]")
endif
EVERYTHING = .[book,train,cluster,test]
.venv/ready: INSTALL = $(PIP) $(PINS) torch && $(call install,$(PINS) --editable "$(EVERYTHING)")
