# One entry for everything a developer or a benchmark needs; `make help` lists it.
# Nothing is installed outside this folder: the virtual environment is .venv, the rest is in build.

PYTHON ?= python3
ifeq ($(origin CC),default)
CC := gcc
endif

BIN := .venv/bin
BUILT := .venv/.built
SETUP_FILES := pyproject.toml setup.py
NATIVE_FILES := native/build_ffi.py $(wildcard native/include/*.h native/src/*.[ch])

C_FILES := $(wildcard native/src/*.c tests/native/*.c tests/instructions/*.c)
C_LINT := -std=gnu11 -Wall -Wextra -Wshadow -Wvla -Werror -fsyntax-only -Inative/include -Inative/src

BENCH_EMULATED := --size 64MiB --ratios 0,10,20,50,100

# The Python tests run on a copy of the tree, so that the sanitized core never takes the place of the built one.
SANITIZE_TREE := build/sanitize
SANITIZE_COPY := pyproject.toml setup.py README.md ARCHITECTURE.md CHANGELOG.md LICENSE native tmemstore tests tools bench
SANITIZE_TESTS := tests/unit tests/laws tests/faults tests/property
# libasan must be the first library of the process; libstdc++ with it, or C++ exceptions of other extensions
# (numpy's) end in libasan's abort.  What they get by new they may give to free: ours are C, and have neither.
SANITIZE_PRELOAD = $(shell $(CC) -print-file-name=libasan.so) $(filter /%,$(shell $(CC) -print-file-name=libstdc++.so.6))

.DEFAULT_GOAL := help
.PHONY: help build test bench soak lint format sanitize tsan sdist wheel clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

build: $(BUILT) ## make .venv, install tmemstore into it (editable), compile the core

# $? holds what changed: new sources need the compiler only, all else needs pip.
$(BUILT): $(SETUP_FILES) $(NATIVE_FILES)
	@test -x $(BIN)/python || $(PYTHON) tools/check_prerequisites.py
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@if [ -n "$(filter $(SETUP_FILES),$?)" ]; then \
		echo "Installing tmemstore and its tools into .venv (a minute or two) ..."; \
		$(BIN)/python -m pip install --quiet --editable '.[bench,dev]'; \
	else \
		echo "Compiling the core ..."; \
		$(BIN)/python setup.py --quiet build_ext --inplace; \
	fi
	@touch $@

test: build ## run all tests: C programs, laws, properties, packaging
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

# A disk of 2 GB/s hides what the knob is for: an eMMC and an SD card beside it, emulated, the latter in virtual time.
bench: build ## eviction time against the ratio: this machine's device, an eMMC, an SD card; into bench/results/latest
	@$(BIN)/tmemstore bench eviction --out bench/results/latest $(BENCH_ARGS)
	@$(BIN)/tmemstore bench eviction --out bench/results/latest/emmc5.1 $(BENCH_EMULATED) --storage emulate:emmc5.1
	@$(BIN)/tmemstore bench eviction --out bench/results/latest/sd-a1 $(BENCH_EMULATED) --storage emulate:sd-a1 --virtual

soak: build ## hold the promise at full size, for hours, into bench/results/deadline (SOAK_ARGS="--rows LIST --scale X")
	@$(BIN)/python bench/soak.py $(SOAK_ARGS)

lint: build ## ruff, mypy, gcc's warnings, import contracts, file length
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(CC) $(C_LINT) $(C_FILES)
	$(BIN)/lint-imports --no-cache
	$(BIN)/python tools/check_lengths.py

format: build ## let ruff format the Python files
	$(BIN)/ruff check --select I --fix .
	$(BIN)/ruff format .

sanitize: build ## C programs and Python tests under ASan and UBSan
	TMEMSTORE_SANITIZE=address,undefined ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1 \
		$(BIN)/python -m pytest tests/native
	rm -rf $(SANITIZE_TREE)
	mkdir -p $(SANITIZE_TREE)
	cp -a $(SANITIZE_COPY) $(SANITIZE_TREE)
	rm -f $(SANITIZE_TREE)/tmemstore/*.so
	cd $(SANITIZE_TREE) && CC=$(CC) TMEMSTORE_SANITIZE=address,undefined \
		$(CURDIR)/$(BIN)/python setup.py --quiet build_ext --inplace
	cd $(SANITIZE_TREE) && LD_PRELOAD="$(SANITIZE_PRELOAD)" PYTHONPATH=$(CURDIR)/$(SANITIZE_TREE) PYTHONMALLOC=malloc \
		ASAN_OPTIONS=detect_leaks=0:alloc_dealloc_mismatch=0 UBSAN_OPTIONS=print_stacktrace=1 \
		$(CURDIR)/$(BIN)/python -m pytest -m "not packaging" $(wildcard $(SANITIZE_TESTS)) $(PYTEST_ARGS)

tsan: build ## C programs under ThreadSanitizer
	TMEMSTORE_SANITIZE=thread $(BIN)/python -m pytest tests/native

sdist: build ## source archive, into dist
	$(BIN)/python -m build --sdist

wheel: build ## wheel, by way of the source archive, into dist
	$(BIN)/python -m build

clean: ## remove .venv and everything that was built; recorded results stay
	rm -rf .venv build dist *.egg-info tmemstore/*.so .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
