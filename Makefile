# Every target makes .venv by itself, with uv where the machine has it and venv + pip elsewhere.
# A second call installs nothing: .venv/.installed is newer than setup.cfg.

BIN := .venv/bin
EXTRAS := dev,notebooks
# Tests on all processors, four at most for the memory's sake, with one thread each.
PYTEST := TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 OMP_NUM_THREADS=1 \
    $(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist worksteal

.PHONY: demo test check lab lint notebooks clean

demo: .venv/.installed
	$(BIN)/python -m rbm_tf demo
	$(BIN)/python -m vae_keras demo

test: .venv/.installed
	$(PYTEST)

check: lint
	$(PYTEST) -m 'not slow'

lab: .venv/.installed
	$(BIN)/jupyter lab notebooks

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

notebooks: .venv/.installed
	$(BIN)/jupytext --to ipynb --execute notebooks/[0-9]*.py

clean:
	rm -rf .venv outputs

.venv/.installed: setup.cfg
	@if command -v uv >/dev/null 2>&1; then \
	    uv venv --quiet --allow-existing --python '>=3.11,<3.14' .venv && \
	    uv pip install --python .venv --editable '.[$(EXTRAS)]'; \
	else \
	    for python in $(PYTHON) python3 python3.13 python3.12 python3.11 none; do \
	        "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	            2>/dev/null && break; \
	    done; \
	    if [ "$$python" = none ]; then \
	        echo 'free-energies needs Python 3.11, 3.12 or 3.13: install one, or say make PYTHON=/path/to/python3.12' >&2; \
	        exit 2; \
	    fi; \
	    "$$python" -m venv .venv && \
	    $(BIN)/python -m pip install --disable-pip-version-check --editable '.[$(EXTRAS)]'; \
	fi
	@touch $@
