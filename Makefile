# The two commands of a newcomer: `make sandbox` and `make test`. Everything else is for those who change the code.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

# Compiled modules are kept, also where the environment says otherwise: the tests start hundreds of processes, and each
# would compile all of the project again, a third of the time that it takes to start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: sandbox test evidence evidence-table check bench demo-security soak audit-soak shared-test unit-test pins clean

$(VENV)/.runtime: requirements/runtime.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --require-hashes -r requirements/runtime.txt
	$(BIN)/python -c 'import pathlib, sysconfig; pathlib.Path(sysconfig.get_path("purelib"), "smsp_provider_src.pth").write_text(str(pathlib.Path("src").resolve()))'
	printf '#!/bin/sh\nexec "$$(dirname "$$0")/python" -m smsp_provider.cli "$$@"\n' > $(BIN)/smsp && chmod +x $(BIN)/smsp
	touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements/dev.txt
	$(PIP) install --require-hashes -r requirements/dev.txt
	touch $@

# With EVIDENCE=folder the tests leave their results and requirement ids there, for the requirement table.
# With KEPT_OUTPUT=folder what servers wrote stays there, to be searched for patients (tests/leaks).
RECORD = $(if $(EVIDENCE),-p requirement_results --junitxml=$(EVIDENCE)/$(1).xml) $(if $(KEPT_OUTPUT),-p kept_output)

# Many tests run real processes, which a busy machine may hold up: one that fails is run once more, and what failed is
# told at the end all the same. A test that passes only then is a fault to be mended.
AGAIN = --reruns 1 --rerun-show-tracebacks

sandbox: $(VENV)/.runtime
	$(BIN)/smsp sandbox $(if $(ONCE),--once) $(SANDBOX)

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 $(AGAIN) -m "not shared" $(call RECORD,test) tests

shared-test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 $(AGAIN) -m shared $(call RECORD,shared) tests

# All tests, then the requirement table, also where some failed: it says so.
evidence: $(VENV)/.dev
	-$(MAKE) test EVIDENCE=evidence
	-test ! -d ../shared || $(MAKE) shared-test EVIDENCE=evidence
	$(MAKE) evidence-table

evidence-table: $(VENV)/.dev
	$(BIN)/smsp conformance requirements evidence/*.xml --catalogue docs/reference/requirements.toml --to evidence

unit-test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 tests/unit

bench: $(VENV)/.dev
	PYTHONPATH=tests:src $(BIN)/python -m bench

demo-security: $(VENV)/.dev
	PYTHONPATH=src:tests $(BIN)/python -m security_demo

soak: $(VENV)/.dev
	PYTHONPATH=src:tests $(BIN)/python -m soak $(SOAK)
	PYTHONPATH=src:tests $(BIN)/python -m soak --mutants

# What the audit trail is proven by, at full length: 50 kills, 200 manipulations, a full disk, cut databases, a million
# junk requests. Some twenty minutes.
audit-soak: $(VENV)/.dev
	PYTHONPATH=src:tests $(BIN)/python -m soak.crash --kills 50
	PYTHONPATH=src:tests $(BIN)/python -m tamper
	PYTHONPATH=src:tests $(BIN)/python -m soak.outages
	PYTHONPATH=src:tests $(BIN)/python -m soak.postgres_outages
	PYTHONPATH=src:tests $(BIN)/python -m soak.junk

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

pins:
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header pyproject.toml -o requirements/runtime.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --extra dev pyproject.toml -o requirements/dev.txt

clean:
	rm -rf $(VENV) evidence .pytest_cache .mypy_cache .ruff_cache .import_linter_cache dist state
