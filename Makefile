# Needs Python 3.11 or newer (with venv) and make; everything else comes into .venv from the package registry.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-processors coverage lint format bench-live bench-latency bench-files bench-capture bench-scale bench-fleet bench-regression bench-detection bench-roc bench-faults bench-compare docs corpus soak fuzz mutants soak-daemon check-release sbom dashboards docker clean

VENV := .venv
BIN := $(VENV)/bin
BENCH_VENV := .venv-bench
PYTHON ?=

# As the command itself does: threads for matrices as small as ours wait for each other.
export OPENBLAS_NUM_THREADS := 1

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1 @/p' $(MAKEFILE_LIST) | awk -F@ '{printf "make %-17s%s\n", $$1, $$2}'

demo: $(VENV)/.run ## send two streams to itself, one with faults, and show what was found
	$(BIN)/rtpverify demo

test: $(VENV)/.dev ## run every test that this machine can run
	$(BIN)/python -m pytest --numprocesses auto

test-processors: $(VENV)/.dev ## run the tests with other processors' kernels, and beside busy processes (RUNS='numpy load')
	$(BIN)/python tools/processors.py $(RUNS)

lint: $(VENV)/.dev ## style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy examples/verify_a_device.py
	$(BIN)/lint-imports --no-cache
	$(BIN)/python tools/docstrings.py

format: $(VENV)/.dev ## put the code into the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench-live: $(VENV)/.run ## CPU per packet: a bare receive loop, rtpverify and GStreamer, side by side
	$(BIN)/python benchmarks/live.py

bench-latency: $(VENV)/.run ## from an event on the wire to metric, page and webhook, with 64 streams
	$(BIN)/python benchmarks/latency.py

bench-files: $(VENV)/.run ## speed and memory of checking hours of audio, next to sox and ffmpeg
	$(BIN)/python -m benchmarks.files

bench-capture: $(VENV)/.run ## speed and memory of checking a capture, next to tshark
	$(BIN)/python -m benchmarks.capture

bench-scale: $(VENV)/.dev ## how time and memory grow with streams, channels, length and loss (MOST=1: to the largest)
	$(BIN)/python -m benchmarks.scale --most $(or $(MOST),0.25)

bench-fleet: $(VENV)/.dev ## what a stream costs a daemon, Prometheus and NATS, and from that what 10,000 cost (docs/scale.md)
	$(BIN)/python benchmarks/fleet.py

bench-regression: $(VENV)/.run ## fails where a ratio is 20 % worse than the recorded one of this class of processors
	$(BIN)/python -m benchmarks.regression

bench-detection: $(BENCH_VENV)/.run ## faults found by rtpverify and by other tools, side by side
	$(BENCH_VENV)/bin/python benchmarks/detection.py

bench-roc: $(VENV)/.dev ## false alarms and probability of detection, beside theory, as pictures for docs/detection.md (ALARMS=8 TRIALS=20)
	PYTHONPATH=. $(BIN)/python benchmarks/roc.py

bench-faults: $(VENV)/.run ## processor time of a stream full of faults (BEFORE=main~20 for ratios)
	$(BIN)/python benchmarks/faults.py $(if $(BEFORE),--before $(BEFORE))

bench-compare: $(BENCH_VENV)/.run ## compare beside librosa and dtw-python, and on recordings of hours (HOURS=1,10)
	$(BENCH_VENV)/bin/python benchmarks/compare.py

soak: $(VENV)/.run ## a day of clean audio of each format: no event may come (HOURS=1 for less, JOBS=1 for one core)
	PYTHONPATH=. $(BIN)/python benchmarks/soak.py

corpus: $(VENV)/.dev ## many more random faults than make test draws (CASES=60 of each kind)
	RTPVERIFY_SEED=$(or $(SEED),$(shell date +%s)) RTPVERIFY_CORPUS_CASES=$(or $(CASES),60) \
		$(BIN)/python -m pytest tests/detect/test_corpus.py tests/detect/test_no_false_alarm.py \
		tests/detect/test_any_signal.py \
		tests/detect/recording/test_corpus.py tests/detect/recording/test_streams.py

fuzz: $(VENV)/.fuzz ## bytes that branches guide, for whatever reads bytes (TARGETS='rtp sdp' FUZZ='--inputs 100000', or --seconds 600)
	$(BIN)/python -m tests.fuzz.campaign $(FUZZ) $(TARGETS)

coverage: $(VENV)/.dev ## branches that the tests of their own folders do not reach, in those parts of the core where there may be none
	@mkdir -p build
	$(BIN)/coverage run -m pytest --quiet $(addprefix tests/,rtp transport media)
	$(BIN)/coverage report

mutants: $(VENV)/.dev ## random single mutants of the core, and whether its own tests notice (COUNT=200 SEED=1 FOLDERS='rtp transport media dsp')
	$(BIN)/python tools/mutants.py --count $(or $(COUNT),200) --seed $(or $(SEED),1) $(or $(FOLDERS),rtp transport media dsp)

soak-daemon: $(VENV)/.dev ## an hour of 64 streams with an event a second: memory and counts of serve (MINUTES=60 STREAMS=64)
	$(BIN)/python -m benchmarks.soak_daemon

check-release: $(VENV)/.dev ## build twice, install by every Python here, run every command, check licences
	$(BIN)/python tools/release.py check

sbom: $(VENV)/.dev ## write what a release consists of (CycloneDX, build/sbom.cdx.json)
	$(BIN)/python tools/release.py sbom

docs: $(VENV)/.docs ## make a site of the documentation (build/site/index.html); every link in it is checked
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --clean

dashboards: $(VENV)/.dev ## write the Grafana dashboards anew (configs/grafana/dashboards)
	$(BIN)/python tools/dashboards.py

docker: ## build the container image
	docker build --tag rtpverify .

clean: ## remove the environment and everything generated
	rm -rf $(VENV) $(BENCH_VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is newer than pyproject.toml once what it stands for is installed.
$(VENV)/.run: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.run

$(VENV)/.fuzz: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	@touch $@

$(VENV)/.docs: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@touch $@ $(VENV)/.run

# The peers are large and no dependency of the package; one that cannot be had is shown as not installed.
$(BENCH_VENV)/.run: pyproject.toml | $(BIN)/python
	$(BIN)/python -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable .
	-$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check essentia
	-$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check librosa
	@touch $@

$(BIN)/python:
	@for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11 python; do \
		if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "making $(VENV) with $$python"; "$$python" -m venv $(VENV) && exit 0; rm -rf $(VENV); exit 1; \
		fi; \
	done; \
	echo 'rtpverify: no Python >= 3.11 with venv found (Debian: apt-get install python3-venv); name one: make PYTHON=/path/to/python3' >&2; exit 1
