# SPDX-License-Identifier: Apache-2.0
# The ways in. `make demo` and `make test` each do all set-up themselves; a second run is quick.
#
#   PYTHON=python3.12  the interpreter to build .venv from      DEMO_ARGS="--broker HOST"
#   PYTEST_ARGS="-k kernel -x"  passed to pytest               CC=clang  the C compiler
#   WHEEL=dist/….whl  what test-systemd and deb install (default: one built from this checkout)
#   DEB_ARGS="--distribution noble --architecture arm64"  passed to packaging/deb/build.sh

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
C_SOURCES := $(wildcard core_c/src/*.c)
include core_c/isa.mk
CC_ISAS := $(ISAS_$(firstword $(subst -, ,$(shell $(CC) -dumpmachine))))
C_FOREIGN := $(foreach isa,$(filter-out $(CC_ISAS),$(ISAS)),%__$(isa).c)
C_WARNINGS := -Wall -Wextra -Wconversion -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes \
	-Werror
DEMO_ARGS ?=
PYTEST_ARGS ?=
WHEEL ?=
DEB_ARGS ?=
FUZZ_S ?=

export PYTHON

.PHONY: help demo test check bench bench-arm bench-daemon bench-snn claims instructions wheel clean lint \
	types layers warnings \
	test-c test-arm test-systemd test-limits \
	test-bare fuzz fuzz-fixed deb test-deb

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | \
		while IFS="$$(printf '\t')" read -r target text; do \
			printf '  make %-13s %s\n' "$$target" "$$text"; done

demo: ## a simulated water pump, a broker, neurovmd and a shipped model in this terminal
	@scripts/setup.sh demo
	$(BIN)/python -m examples.pump $(DEMO_ARGS)

test: ## the whole suite: Python, real Mosquitto, C under sanitizers (< 5 min on 2 cores)
	@scripts/setup.sh test
	$(MAKE) --no-print-directory test-c
	$(BIN)/python -m pytest -n auto --dist loadfile $(PYTEST_ARGS)

check: ## formatting, lint, types, layering, C warnings as errors, C tests under sanitizers
	@scripts/setup.sh check
	$(MAKE) --no-print-directory lint types layers warnings test-c

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:
	$(BIN)/mypy

layers:
	$(BIN)/lint-imports

warnings:
	@$(foreach source,$(filter-out $(C_FOREIGN),$(C_SOURCES)), \
		$(CC) -std=c11 -O2 -ffp-contract=off $(CC_ISAS:%=-DNVM_HAVE_%) $(C_WARNINGS) \
			$(FLAGS_$(lastword $(subst __, ,$(basename $(source))))) -Icore_c/include -c \
			-o /dev/null $(source) &&) \
		echo "$(words $(filter-out $(C_FOREIGN),$(C_SOURCES))) C files compile without a warning"

bench: ## steps beside LiteRT and others, as ratios (MODELS=, DATA=, PEERS="onnxruntime=PYTHON …", BENCH_ARGS=)
	@scripts/setup.sh check
	@mkdir -p build
	PYTHONPATH=. $(BIN)/python benchmarks/bench.py $(if $(MODELS),--models $(MODELS)) \
		$(if $(DATA),--data $(DATA)) $(PEERS:%=--peer %) --json build/bench.json \
		--plot build/bench.png $(BENCH_ARGS)

claims: bench ## docs/claims.md and the README's table of ratios, from a new `make bench`
	PYTHONPATH=. $(BIN)/python benchmarks/claims.py build/bench.json --readme \
		$(if $(MODELS),--models $(MODELS))

instructions: ## steps counted in instructions, as ratios within limits (valgrind)
	@scripts/setup.sh check
	$(MAKE) --no-print-directory -s -C tests/c build/steps
	PYTHONPATH=. $(BIN)/python benchmarks/instructions.py

bench-daemon: ## what an idle daemon costs
	@scripts/setup.sh check
	PYTHONPATH=. $(BIN)/python benchmarks/daemon_footprint.py

bench-snn: ## spiking networks beside other simulators (PEERS="brian2=PYTHON nest=PYTHON torch=PYTHON")
	@scripts/setup.sh check
	PYTHONPATH=. $(BIN)/python benchmarks/snn.py $(PEERS:%=--peer %) $(BENCH_ARGS)

bench-arm: ## instructions a step on emulated ARM cores beside LiteRT's (MODELS="….tflite …"; Debian 12)
	@scripts/setup.sh check
	PYTHON=$(abspath $(BIN)/python) benchmarks/arm/prepare.sh build/bench-arm
	$(BIN)/python -m benchmarks.arm_instructions --root build/bench-arm --json build/bench-arm.json \
		$(BENCH_ARGS) $(or $(MODELS),$(wildcard tests/fixtures/digits_*.tflite))

wheel: ## sdist and wheel (the wheel is built from the sdist) into dist/
	@scripts/setup.sh check
	rm -rf dist
	$(BIN)/python -m build

deb: ## a Debian package of this checkout into dist/ (docs/packages.md)
	@scripts/setup.sh check
	PYTHON=$(abspath $(BIN)/python) packaging/deb/build.sh $(if $(WHEEL),--wheel $(WHEEL)) $(DEB_ARGS)

test-c: ## the C tests under AddressSanitizer and UndefinedBehaviorSanitizer
	$(MAKE) --no-print-directory -C tests/c

test-arm: ## the C tests on emulated Cortex-A53, A72, A76 and max (gcc-aarch64-linux-gnu, qemu-user-static)
	$(MAKE) --no-print-directory -C tests/c -j$$(nproc) arm

test-systemd: ## the service in a booted systemd (root, systemd-nspawn, debootstrap; minutes)
	@scripts/setup.sh check
	PYTHON=$(abspath $(BIN)/python) tests/systemd/run.sh $(WHEEL)

test-limits: ## limits of VMs as the kernel holds them, in an emulated machine (root, qemu; minutes)
	@scripts/setup.sh check
	PYTHON=$(abspath $(BIN)/python) tests/systemd/limits.sh $(WHEEL)

test-deb: ## the package built twice, judged, and its life in a booted systemd (root; minutes)
	@scripts/setup.sh check
	PYTHON=$(abspath $(BIN)/python) tests/packages/run.sh $(WHEEL)

test-bare: ## demo and test from fresh clones in a bare Debian (root, debootstrap; minutes)
	scripts/bare.sh

fuzz: ## damaged models, bundles, programs and messages until stopped (FUZZ_S=30: so many seconds each)
	@scripts/fuzz.sh $(FUZZ_S)

fuzz-fixed: ## the same damage every time, some four minutes on two idle cores
	@scripts/fuzz.sh fixed

clean: ## remove everything the other targets made, .venv too
	rm -rf $(VENV) build dist wheelhouse out .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache .grimp_cache .coverage neurovm.egg-info core_c/_kernel.c
	rm -f neurovm/_kernel*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@if [ -f tests/c/Makefile ]; then $(MAKE) --no-print-directory -C tests/c clean; fi
