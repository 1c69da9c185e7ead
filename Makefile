# Needs python3 (3.11 or later) and make; everything else is fetched into directories of its own.
PYTHON ?= python3
TOX := .venv-tox/bin/tox
MAIN := $(shell $(PYTHON) -c 'import sys; print("py%d%d" % sys.version_info[:2])')

# The interpreters that pyenv keeps are not all on the PATH, where tox looks.
empty :=
export PATH := $(PATH):$(subst $(empty) $(empty),:,$(wildcard $(or $(PYENV_ROOT),$(HOME)/.pyenv)/versions/*/bin))

.PHONY: help test services services-stop demo proof bench clean

help:
	@echo "make test           every tox environment, the suite on $(PYTHON) last"
	@echo "make services       find or start the brokers and the database that tests use, and leave them running"
	@echo "make services-stop  end those that were started"
	@echo "make demo           docs/examples/shop.py, from an installation of its own"
	@echo "make proof          the long versions of the proofs"
	@echo "make bench          the benchmarks"
	@echo "make clean          end and remove what these leave behind"

test: $(TOX) services
	$(TOX) run --skip-env '^$(MAIN)$$'
	$(TOX) run -e $(MAIN) --notest
	$(TOX) run -e $(MAIN) --skip-pkg-install -qq

services:
	@cd tests && $(PYTHON) -m services start

services-stop:
	@cd tests && $(PYTHON) -m services stop

demo: .venv-demo/installed
	.venv-demo/bin/python docs/examples/shop.py

proof bench: $(TOX) services
	$(TOX) run -e $@

clean: services-stop
	rm -rf .services .tox .venv-tox .venv-demo dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -path './.*' -prune -o -name __pycache__ -prune -exec rm -rf {} +

$(TOX):
	$(call venv,.venv-tox)
	.venv-tox/bin/python -m pip install --quiet 'tox>=4.22'

.venv-demo/installed: pyproject.toml $(shell find eventsource eventsource_instrumentation -name '*.py')
	$(call venv,.venv-demo)
	.venv-demo/bin/python -m pip install --quiet '.[telemetry]'
	touch $@

define venv
@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("eventsource needs Python 3.11 or later: make PYTHON=...")'
$(PYTHON) -m venv $(1)
endef
