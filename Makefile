# The few commands people type. Everything else is in the Snakefile and in `python -m replib.press --help`.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
BUILD = $(BIN)/python -m replib.press
# one thread per process, warnings of the tests' own tools aside
export OMP_NUM_THREADS = 1

.DEFAULT_GOAL := help

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F '\t' '{printf "make %-13s %s\n", $$1, $$2}'

book: setup ## run every chapter in quick and build the site into _build/html
	@$(BUILD) run book
	@echo "the book is at _build/html/index.html"

test: setup lint unit ## everything: lint, library tests, smoke runs, nbval, records, site
	$(BUILD) run smoke
	$(BIN)/python -m pytest -p no:cacheprovider tests/book/test_references.py
	$(BIN)/python -m pytest -p no:cacheprovider -c tests/book/nbval.ini -n 2 --dist loadscope --nbval-lax --nbval-current-env _build/smoke
	$(BUILD) run book
	$(BIN)/python -m pytest -n 2 --dist loadscope tests/book tests/faults

test-cluster: setup ## the whole book on a SLURM cluster of two nodes, started on this machine (needs root and SLURM)
	$(BUILD) run smoke
	$(BIN)/python -m pytest -s tests/cluster

setup: ## make the virtual environment from the lock
	@$(PYTHON) tools/install.py $(VENV)

lint: setup ## style, unused code, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

unit: setup ## library tests alone
	$(BIN)/python -m pytest -n 2 tests/unit

chapter: setup ## run one chapter in quick: make chapter CHAPTER=slug
	@$(BUILD) run quick $(CHAPTER)

cluster: setup ## run every chapter in quick on a SLURM cluster, and build the site
	@$(BUILD) run book --cluster profiles/slurm

paper: setup ## run one chapter at the paper's sizes: make paper CHAPTER=slug
	@$(BUILD) run paper $(CHAPTER)

accept: setup ## publish fresh records: make accept [CHAPTER=slug] [PROFILE=paper]
	@$(BUILD) accept $(or $(PROFILE),quick) $(CHAPTER)

new: setup ## start a chapter: make new CHAPTER=author2024_topic PART=part
	@$(BIN)/replib new '$(CHAPTER)' '$(PART)'

format: setup ## lay out all code as the tests want it
	$(BIN)/ruff check --quiet --fix .
	$(BIN)/ruff format .

serve: setup ## show the built site on http://localhost:8000
	@$(BIN)/python tools/serve.py 8000

lighthouse: setup ## measure the built site with Lighthouse (needs npm and Chromium)
	$(BIN)/python tools/lighthouse.py

screenshots: setup ## pictures of every kind of page, in _build/screenshots (needs Chromium)
	$(BIN)/python tools/screenshots.py

bench: setup ## measure speed beside peers, for the status page: make bench [NAME=ensemble]
	$(BIN)/python benchmarks $(NAME)

lock: ## pin the dependencies anew (needs uv)
	$(PYTHON) tools/lock.py

clean: ## remove all build products
	rm -rf _build .snakemake

.PHONY: help format book test test-cluster cluster setup lint unit chapter paper accept new serve lighthouse screenshots bench lock clean
