# Every target makes its environment by itself, with uv, which is fetched where the machine lacks it, and
# with pip where uv cannot work, as behind a mirror that only pip is told of. A second call installs
# nothing: .package, for the demo, or .installed, with what tests and notebooks need besides, is newer
# than setup.cfg.

BIN := .venv/bin
BOOK := notebooks/book
MATHJAX := $(BOOK)/_static/mathjax
SLIDES := notebooks/slides
ASSIGNMENTS := notebooks/assignments
WITH_MODELS := $(shell grep -l RETRAIN notebooks/[0-9]*.py)
EXTRAS := dev,notebooks
WITH_BOOK := $(EXTRAS),book
# Tests on all processors, four at most for the memory's sake, with one thread each.
ONE_THREAD := TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 OMP_NUM_THREADS=1
EACH_PROCESSOR := --numprocesses logical --maxprocesses 4 --dist worksteal
PYTEST := $(ONE_THREAD) $(BIN)/python -m pytest $(EACH_PROCESSOR)

.PHONY: demo test long check grids lowest backend lab lint notebooks models book book-check student slides slides-check \
    assignments assignments-check clean

demo: .venv/.package
	$(BIN)/python -m rbm_tf demo
	$(BIN)/python -m vae_keras demo
	@echo
	@echo 'Next: README.md, and make lab, which opens the course in JupyterLab.'

# All chapters, and the tests that take less than two seconds each; then those that take longer.
test: .venv/.installed
	$(PYTEST) -m 'not long'

long: .venv/.installed
	$(PYTEST) -m long

check: lint
	$(PYTEST) -m 'not slow and not long'

# All cases of the tests that walk all pairs of units, carriers or objectives, of which test runs a third.
grids: .venv/.installed
	$(PYTEST) -m grid --grids

# Layers, VAE, evidence and RBM on the lowest versions that setup.cfg allows, Python 3.11 among them. What
# they call deprecated in one another is not for us to mend.
lowest: .venv-lowest/.installed
	$(ONE_THREAD) .venv-lowest/bin/python -m pytest $(EACH_PROCESSOR) -W ignore::DeprecationWarning \
	    tests/test_layers*.py tests/test_vae.py tests/test_vae_backends.py tests/test_vae_faults.py \
	    tests/test_evidence.py tests/test_diagnostics.py tests/test_rbm*.py tests/test_machine.py

# Layers, parts, objectives and VAE on another backend of Keras, which .venv has: make backend KERAS_BACKEND=jax
backend: .venv/.installed
	$(PYTEST) tests/test_layers*.py tests/test_carriers.py tests/test_cross_entropy.py tests/test_draws.py \
	    tests/test_optimizers.py tests/test_parts_contract.py tests/test_vae_backends.py tests/test_parts.py \
	    tests/test_parts_families.py tests/test_parts_flows.py tests/test_parts_latents.py \
	    tests/test_parts_structures.py tests/test_observed.py tests/test_beta_tc.py tests/test_info_vae.py \
	    tests/test_vimco.py

# JupyterLab on the map of the course, which it shows as a page and not as Markdown.
lab: .venv/.installed
	@mkdir -p .venv/share/jupyter/lab/settings
	@echo '{"@jupyterlab/docmanager-extension:plugin": {"defaultViewers": {"markdown": "Markdown Preview"}},' \
	    '"@jupyterlab/apputils-extension:notification": {"fetchNews": "false"}}' \
	    > .venv/share/jupyter/lab/settings/overrides.json
	cd notebooks && ../$(BIN)/jupyter lab --LabApp.default_url=/lab/tree/README.md

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

notebooks: .venv/.installed
	TQDM_DISABLE=1 $(BIN)/jupytext --to ipynb --execute notebooks/[0-9]*.py

# The weights that chapters load, trained anew by the chapters themselves, which then load them.
models: .venv/.installed
	RETRAIN=1 TQDM_DISABLE=1 $(BIN)/jupytext --to ipynb --execute $(WITH_MODELS)
	TQDM_DISABLE=1 $(BIN)/jupytext --to ipynb --execute $(WITH_MODELS)

# Course and reference as HTML in outputs/book, for any browser, without a network. Sphinx reads only
# what lies below its configuration, so it gets copies of the executed chapters, with their dates.
book: .venv/.book $(MATHJAX)/LICENSE
	@rm -rf $(BOOK)/chapters && mkdir $(BOOK)/chapters
	@cp -p notebooks/*.ipynb notebooks/*.png $(addprefix notebooks/,EQUATIONS.md GLOSSARY.md SYMBOLS.md TEACHING.md) $(BOOK)/chapters
	$(BIN)/sphinx-build -q -n -W -j auto --keep-going -d outputs/doctrees $(BOOK) outputs/book
	@echo 'Open outputs/book/index.html'

# Every page in Chromium, wide and narrow.
book-check: book
	$(BIN)/python $(BOOK)/check.py outputs/book

# The chapters for students in outputs/student: stubs and checks in place of the solutions.
student: .venv/.installed
	$(BIN)/python notebooks/assignments/student.py outputs/student

# A deck for each chapter in outputs/slides, for any browser; then each slide in Chromium, and the PDFs.
slides: .venv/.book $(MATHJAX)/LICENSE $(SLIDES)/reveal/LICENSE
	$(BIN)/python $(SLIDES)/build.py outputs/slides
	@echo 'Open outputs/slides/index.html'

slides-check: slides
	$(BIN)/python $(SLIDES)/check.py outputs/slides

# What is handed out to a class, and what grades it, in outputs/assignments; then right, wrong and empty
# answers to all of it.
assignments: .venv-grading/.installed
	.venv-grading/bin/python $(ASSIGNMENTS)/build.py outputs/assignments

assignments-check: .venv-grading/.installed
	.venv-grading/bin/python $(ASSIGNMENTS)/check.py outputs/assignments

clean:
	rm -rf .venv .venv-* outputs $(BOOK)/api/generated $(BOOK)/chapters $(MATHJAX) $(SLIDES)/reveal

.venv/.package: setup.cfg
	@echo 'First the packages go into .venv, once: about 0.7 GB to fetch, 2.7 GB on the disk.'
	$(call install,14,--editable .)

.venv/.installed: setup.cfg
	$(call install,14,--editable '.[$(EXTRAS)]')
	@touch .venv/.package

.venv/.book: .venv/.installed
	$(call install,14,--editable '.[$(WITH_BOOK)]')

# MathJax with its fonts (1.6 MB), and reveal.js with its themes (3.4 MB).
$(MATHJAX)/LICENSE:
	$(call unpack,mathjax@3.2.2,es5/tex-mml-chtml.js es5/output/chtml/fonts/woff-v2)

$(SLIDES)/reveal/LICENSE:
	$(call unpack,reveal.js@5.2.1,dist plugin/notes)

.venv-lowest/.installed: setup.cfg
	@mkdir -p $(@D)
	sed -En 's/^[[:space:]]+([a-z_-]+)(\[tf\])? >= ([0-9.]+)$$/\1==\3/p' setup.cfg > $(@D)/lowest.txt
	$(call install,12,--constraint $(@D)/lowest.txt --editable . pytest pytest-xdist)

.venv-grading/.installed: setup.cfg
	$(call install,14,--editable '.[grading]')

# Make the environment that the target lies in, for a Python from 3.11 to below 3.$(1), and install $(2).
define install
@if command -v uv >/dev/null 2>&1; then \
    uv venv --quiet --allow-existing --python '>=3.11,<3.$(1)' $(@D) && \
    uv pip install --python $(@D) $(2); \
else \
    for python in $(PYTHON) python3 python3.13 python3.12 python3.11 none; do \
        "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, $(1)))' \
            2>/dev/null && break; \
    done; \
    if [ "$$python" = none ]; then \
        echo 'free-energies needs a Python from 3.11 to below 3.$(1) here: install one, or say make PYTHON=/path/to/python3.11' >&2; \
        exit 2; \
    fi; \
    "$$python" -m venv $(@D) && pip="$(@D)/bin/python -m pip --disable-pip-version-check" && \
    { $$pip install --quiet uv && $(@D)/bin/uv pip install --python $(@D) $(2); } || $$pip install $(2); \
fi
@touch $@
endef

# Fetch a package of npm and unpack its $(2) beside the target.
define unpack
@mkdir -p $(@D)
@npm pack --silent --pack-destination $(@D) $(1) >/dev/null 2>&1 || { \
    echo 'make $(MAKECMDGOALS) needs npm (of Node.js) and a connection once, to fetch $(1)' >&2; \
    exit 2; \
}
@tar -xzmf $(@D)/$(subst @,-,$(1)).tgz -C $(@D) --strip-components 1 \
    $(addprefix package/,LICENSE $(2))
@rm $(@D)/$(subst @,-,$(1)).tgz
endef
