PYTHON ?= python3
BIN := .venv/bin

.PHONY: help setup app demo lab book test lint bench bench-quick screenshots lock clean

help:
	@echo "make app     the dashboard in the browser"
	@echo "make demo    the main job in the terminal: fine-tune BERT on film reviews"
	@echo "make lab     the notebooks in JupyterLab"
	@echo "make book    the notebooks, executed, as a web site in build/book/site"
	@echo "make test    every test, notebooks included"
	@echo "make bench   side by side with PEFT and the transformers Trainer: hours"
	@echo "make bench-quick   the same on a subset"
	@echo "make setup   only build .venv and fetch the data (the others do it first)"
	@echo "make screenshots   take the README's pictures anew (needs Chromium)"
	@echo "make clean   remove .venv and caches; runs/ is kept"

.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13) and 'Python 3.11 to 3.13 is needed; choose one with: make PYTHON=python3.12 ...')"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

setup: .venv/ready
	$(BIN)/lora-lab fetch

app: setup
	$(BIN)/streamlit run app.py

demo: setup
	$(BIN)/lora-lab demo

lab: setup
	$(BIN)/jupyter lab --notebook-dir=notebooks

book: setup
	$(BIN)/python book/build.py

# What must be covered almost wholly (pyproject.toml names the modules), and its tests.
MATHEMATICS := tests/derivations tests/test_layers.py tests/test_adapt.py tests/adapter_files

# For two cores: what computes runs two at a time, and three where a third of the time is spent on
# waiting for browsers and processes. The data is there before any begins, and a worker that has
# nothing left takes over some of another's. Coverage is asked where it matters alone: it
# makes tests take twice as long. The book executes every notebook under nbmake, two at a time as
# well, so the tests need not do it a second time.
test: setup lint
	$(BIN)/python -m pytest $(MATHEMATICS) -n 2 --cov
	$(BIN)/python -m pytest tests $(MATHEMATICS:%=--ignore=%) -n 3 --dist worksteal
	$(BIN)/python book/build.py

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: setup
	$(BIN)/python benchmarks/side_by_side.py

bench-quick: setup
	$(BIN)/python benchmarks/side_by_side.py --quick

screenshots: setup
	$(BIN)/python -m tools.screenshots

# Resolve the newest versions that pyproject.toml allows, then pin them. torch stays where it is
# until someone decides otherwise.
lock:
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet torch==2.13.0 "setuptools<82" ".[dev,tensorboard]"
	.venv-lock/bin/python -m pip freeze --all --exclude pip --exclude lora-lab \
		| sed 's/^\(torch==[0-9.]*\)+.*/\1/' > requirements.lock
	rm -rf .venv-lock build

clean:
	rm -rf .venv .venv-lock build *.egg-info .pytest_cache .ruff_cache .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
