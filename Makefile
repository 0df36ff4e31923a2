# The errands of the toolkit. `make` or `make help` lists them; demo and test set everything up themselves.
.DEFAULT_GOAL := help
.PHONY: help demo demo-sweep demo-fit demo-theory demo-overlay demo-headline test soak figures gallery paper sims judge lint audit bench clean

PY := .venv/bin/python
# The build tool's own packages are held to the constraints too, which takes an environment variable (older pip: the first, newer: the second).
HELD := PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt
PIP := .venv/bin/pip install -q --disable-pip-version-check
QUICK := trajectories alpha_curves phase_alpha phase_beta frontiers compute_matched
SWEEP := alpha=0:0.5:20 beta=0.3:2.5:10 sigma_ft=0.1:1.3:10 t_post=0.05:5:25:log t_ft=0.01:10:20:log
HEADLINE := out/theory/headline_sweep.parquet

help:     ## list the errands
	@grep -hE '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## ?/  make \1\t/' | expand -t 18

demo: .venv/core  ## sweep a million settings, draw the theory figures over the published numbers
	@$(MAKE) -s -j 2 demo-sweep demo-fit demo-theory demo-overlay demo-headline
	@cat out/headline.txt

demo-sweep:
	@$(PY) -m theory sweep $(SWEEP) --out $(HEADLINE)
demo-fit:
	@$(PY) -m theory study overlay
demo-theory:
	@$(PY) -m theory study $(QUICK) && $(PY) -m figures make $(QUICK) --formats png --workers 1
demo-overlay: demo-fit
	@$(PY) -m figures make overlay --formats png
demo-headline: demo-sweep demo-fit
	@$(PY) -m theory headline > out/headline.txt

test: .venv/dev  ## run the whole test suite: three processes on two cores, because some tests wait for others of their own
	$(PY) -m pytest -n 3 --dist loadfile

soak: .venv/dev  ## kill commands and damage their files, and compare with runs that nobody touched (an hour at most)
	@$(PY) -m tests.soak $(SOAK)
	@$(PY) -m tests.soak.graph

figures: .venv/core  ## draw every figure, the paper's included, as PNG with its numbers as CSV
	@$(PY) -m theory study
	@$(PY) -m figures make --formats png csv

gallery: .venv/site figures  ## build the static site: figures with their findings, claims, errata, the explorer
	@$(PY) -m gallery build

paper: .venv/core  ## numbers of the text from the stored tables, then the PDF, by latexmk
	@$(PY) -m paper macros
	@$(PY) -m paper build

sims: .venv/core  ## run every simulation study, judge the predictions, draw the figures
	@$(PY) -m sims all --out paper/results/sims
	@$(PY) -m sims verdicts --results paper/results/sims --out paper/results/sims
	@$(PY) -m figures make simulations

judge: .venv/dev  ## judge all stored tables again and write the page of claims
	@$(PY) -m sims verdicts --results paper/results/sims --out paper/results/sims
	@$(PY) -m lm_experiments verdicts --out paper/results/lm/verdicts.parquet
	@$(PY) -m theory verdicts --out paper/results/theory/verdicts.parquet
	@$(PY) -m figures claims

lint: .venv/dev  ## format check, lint, floors (who may import whom), types
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	.venv/bin/lint-imports --no-cache --no-logo
	$(PY) -m mypy

audit: .venv/dev  ## say which packages are pinned, unpinned, at another version, or unused
	$(PY) -m tests.audit

bench: .venv/dev  ## measure closed form, simulation and training against their alternatives
	$(PY) -m benchmarks

clean:    ## remove what was generated, the environment included
	rm -rf .venv out .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/core: pyproject.toml constraints.txt constraints-core.txt
	@test -x $(PY) || python3 -m venv .venv
	@echo "Installing the toolkit into .venv ..."
	@$(PIP) --require-hashes -r constraints-core.txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

.venv/site: .venv/core
	@echo "Installing what the gallery needs into .venv ..."
	@$(HELD) $(PIP) -c constraints.txt -e '.[site]'
	@touch $@

.venv/dev: .venv/core
	@echo "Installing torch and the test and lint tools into .venv ..."
	@$(HELD) $(PIP) -c constraints.txt -e '.[lm,site,dev]'
	@touch $@
