# make help lists what there is. Every target works in a path with spaces; nothing outside this folder is touched.

# The Python that makes .venv: the first of these that is new enough. `make setup PYTHON=/path/to/python` chooses another.
PYTHON ?= $(shell for p in python3.12 python3.11 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
# An environment of your own (conda, a cluster module) is used as it is, and nothing is installed: `make reproduce PY=python`.
PY ?= .venv/bin/python
# What installs the packages of uv.lock; from the package index like they are.
UV_VERSION = uv==0.13.9
# The groups of optional packages in pyproject.toml that the commands below need.
EXTRAS = notebooks workflow llm onnx weights fid test
# nproc would say what OMP_NUM_THREADS says.
CORES ?= $(shell env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc 2>/dev/null || sysctl -n hw.ncpu)
EXPERIMENT ?= experiments/pocket.yaml
# A scale that the experiment's file has: SCALE=smoke runs its whole graph on small models, in minutes.
SCALE ?=
# One thread a process: parallel jobs with default threads were measured 50 times slower than this.
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM = false
SNAKEMAKE = "$(PY)" -m snakemake --configfile "$(EXPERIMENT)" --cores $(CORES) $(if $(SCALE),--config scale=$(SCALE))

.PHONY: help setup reproduce report verify test unit notebooks lint types slurm docs lock lab clean

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*  ## /make \1	/p' Makefile

setup:  ## make .venv with the packages of uv.lock (again only when pyproject.toml or uv.lock changed)
ifeq ($(PY),.venv/bin/python)
	@if [ -x .venv/bin/python ] && cat pyproject.toml uv.lock | cmp -s - .venv/installed; then exit 0; fi; \
	set -e; \
	if [ -z "$(PYTHON)" ]; then echo "no Python 3.11 to 3.13 found; name one: make setup PYTHON=/path/to/python" >&2; exit 1; fi; \
	if [ ! -x .venv/bin/python ]; then echo "making .venv with $$("$(PYTHON)" --version)"; "$(PYTHON)" -m venv .venv; fi; \
	echo "installing adapt-anything and the packages of uv.lock into .venv (torch is large: minutes on a first install)"; \
	.venv/bin/python -m pip install --quiet --disable-pip-version-check $(UV_VERSION); \
	.venv/bin/uv sync --quiet --frozen --inexact --no-progress --python .venv/bin/python $(EXTRAS:%=--extra %); \
	cat pyproject.toml uv.lock > .venv/installed; \
	echo "installed; for a shell of your own: source .venv/bin/activate"
endif

reproduce: setup  ## every run, table and figure of the experiment (EXPERIMENT=experiments/pocket.yaml, SCALE=, CORES=all)
	$(SNAKEMAKE)
	@set -e; results="$$("$(PY)" -m aa_utils.experiment "$(EXPERIMENT)" --scale "$(SCALE)")"; \
	(cd "$$results/tables"; if [ -f accuracy.md ]; then cat accuracy.md; else cat *.md; fi); \
	"$(PY)" -m aa_utils.verify --only fresh "$$results"

verify: setup  ## do results follow from their records, are they what a fresh run gives, which are older than their code (RESULTS=results/…)
	@"$(PY)" -m aa_utils.verify $(RESULTS)

report: setup  ## artifacts/report-<experiment>.html: one page with tables, figures, run times and the graph
	$(SNAKEMAKE)
	$(SNAKEMAKE) --report "$${AA_ARTIFACTS:-artifacts}/report-$(basename $(notdir $(EXPERIMENT))).html"

test: setup lint  ## lint, unit and contract tests, the smoke pipeline, every notebook with its defaults, committed results
	@$(MAKE) --no-print-directory unit
	@$(MAKE) --no-print-directory notebooks
	@$(MAKE) --no-print-directory verify

unit: setup  ## pytest alone
	"$(PY)" -m pytest tests -q -n $(CORES) --dist loadfile --no-loadscope-reorder

notebooks: setup  ## nbval: each notebook alone with its defaults, as in a fresh clone, trainings cut short (notebooks/conftest.py)
	"$(PY)" -m pytest notebooks -q -n $(CORES) --dist loadfile --nbval-lax --nbval-current-env

lint: types  ## ruff (code and notebooks), the notebook normaliser, and types
	"$(PY)" -m ruff check .
	"$(PY)" -m ruff format --check .
	"$(PY)" -m aa_utils.runner.normalise_notebooks --check

types: setup  ## mypy over the package, strict in training/, inter_domain/ and intra_domain/: seconds, a minute the first time
	"$(PY)" -m mypy

slurm: setup  ## the smoke experiment on a Slurm brought up here, one of its two nodes killed on the way (as root; slurm-wlm and munge)
ifeq ($(PY),.venv/bin/python)
	@.venv/bin/uv sync --quiet --frozen --inexact --no-progress --python .venv/bin/python $(EXTRAS:%=--extra %) --extra cluster
endif
	@set -e; folder="$$(mktemp -d)"; trap 'rm -rf "$$folder"' EXIT; "$(PY)" tests/slurm/run.py "$$folder"

docs: setup  ## the documentation as web pages in site/, every link checked
ifeq ($(PY),.venv/bin/python)
	@.venv/bin/uv sync --quiet --frozen --inexact --no-progress --python .venv/bin/python $(EXTRAS:%=--extra %) --extra docs
endif
	NO_MKDOCS_2_WARNING=1 "$(PY)" -m mkdocs build --strict --quiet

lock: setup  ## uv.lock and requirements.txt (for conda) anew from the ranges in pyproject.toml
	.venv/bin/uv lock
	.venv/bin/uv export --quiet --frozen --no-hashes --no-annotate --no-header --no-emit-project $(EXTRAS:%=--extra %) --output-file requirements.txt

lab: setup  ## JupyterLab on the notebooks
	"$(PY)" -m jupyterlab notebooks $(if $(filter 0,$(shell id -u)),--allow-root)

clean:  ## remove caches and logs; artifacts/, results/ and what Snakemake knows of finished jobs stay
	rm -rf .mypy_cache .pytest_cache .ruff_cache
	[ ! -d .snakemake ] || find .snakemake -mindepth 1 -maxdepth 1 -not -name metadata -exec rm -rf {} +
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
