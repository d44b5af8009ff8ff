# Everything runs in .venv, made on first use. Needs only python3 (3.11 or newer), git and make.
PYTHON ?= python3
BIN := .venv/bin
SEED ?= 7
DRIFT ?= gpt-4o-mini/emea
# Containers like to set this; each of the daemons that the tests start would compile every module.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint bench bench-detector corpus docs dashboards clean

.venv/ready: pyproject.toml .ci/constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint .ci/constraints.txt --editable '.[dev]'
	touch $@

demo: .venv/ready ## start the daemon and a simulated application, end with a delivered trigger
	$(BIN)/retraind demo --seed $(SEED) --drift $(DRIFT)

test: .venv/ready ## all tests
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder tests

lint: .venv/ready ## format, lint, types, import layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/ready ## ratios, side by side in one run
	$(BIN)/python -m tests.bench

bench-detector: .venv/ready ## the drift detector's promises, beside other tools (FORM=--quick: without them)
	$(BIN)/python -m tests.bench_detector --seed $(SEED) $(FORM)

corpus: .venv/ready ## run the libraries of tests/corpus again and record what they send
	$(BIN)/python -m tests.corpus.record $(LIBRARIES)

docs: .venv/ready ## regenerate docs/configuration.md, docs/metrics.md and docs/cli.md
	$(BIN)/python -m retraind.docs

dashboards: .venv/ready ## regenerate deploy/grafana/dashboards
	$(BIN)/python -m deploy.grafana

clean:
	rm -rf .venv .cache build dist
