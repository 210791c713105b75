# Everything here works on a fresh Debian or Ubuntu machine: what is missing is set up first.
SHELL := /bin/bash
.DEFAULT_GOAL := help
STAMP := .venv/.installed
RUN := .venv/bin
NIGHT ?=
SEED ?=
ARGS ?=
PARALLEL := -n 2

.PHONY: help setup check test lint docs demo chaos bench clean

help:  ## what can be made
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

setup: $(STAMP)  ## virtual environment, package, Java, Maven and the local services' programs

$(STAMP): pyproject.toml scripts/setup
	@scripts/setup

check: $(STAMP) lint  ## what a contributor runs: lint, types and the tests that need no services
	$(RUN)/python -m pytest $(PARALLEL) -m "not services and not slow" $(ARGS)

test: $(STAMP)  ## all tests, on a real Kafka and mongod; ARGS="-k name" for some
	$(RUN)/python -m pytest $(PARALLEL) $(ARGS)

lint: $(STAMP)  ## ruff and mypy
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy --strict -p boom_streams

docs: $(STAMP)  ## the documentation as a site, in .boom/site
	NO_MKDOCS_2_WARNING=1 $(RUN)/mkdocs build --strict --quiet --site-dir .boom/site

demo: $(STAMP)  ## a night through the whole broker; NIGHT=<folder, .avro, .tar.gz>, else a public one
	@$(RUN)/boom-streams demo $(if $(NIGHT),'$(NIGHT)') $(ARGS)

chaos: $(STAMP)  ## the delivery guarantee, proven by killing workers; SEED=<number>
	$(RUN)/python tests/chaos/run.py $(if $(SEED),--seed $(SEED)) $(ARGS)

bench: $(STAMP)  ## cost and speed of every process
	$(RUN)/python benchmarks/run.py $(ARGS)

clean:  ## ends the local services, removes the environment and their data
	@if [ -x $(RUN)/boom-streams ]; then $(RUN)/boom-streams services stop || true; fi
	rm -rf .venv .boom build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
