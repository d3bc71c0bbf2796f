"""The course and the reference of both packages as one book of HTML, complete without a network.

`make book` copies the executed chapters to `chapters/`, where Sphinx can read them, and builds; what
Sphinx does not do by itself is in `hooks.py`.
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]

import hooks

import rbm_tf

rbm_tf.quiet_start()
project = html_title = "Free energies"
author = "the free-energies developers"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinxcontrib.bibtex",
]
templates_path = ["_templates"]
nitpick_ignore_regex = [
    ("py:class", r"(keras|argparse)\..*"),  # bases and types that are not in this book
    ("py:class", r".*\._\w+"),
]

# Chapters: executed before, never here.
nb_execution_mode = "off"
nb_ipywidgets_js = {}  # from elsewhere
myst_enable_extensions = ["amsmath", "dollarmath"]
myst_heading_anchors = 3
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True

# Literature: BibTeX entries, each with an address of its own.
bibtex_bibfiles = ["../references.bib"]
bibtex_cite_id = "cite-{key}"

# Reference.
autodoc_inherit_docstrings = False  # Keras writes its own in Markdown
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # "Args" says more than types do
autosummary_context = {"public_names": hooks.public_names("rbm_tf", "vae_keras")}
default_role = "code"
napoleon_custom_sections = [("Call arguments", "params_style")]
napoleon_numpy_docstring = False
napoleon_use_rtype = False

# Pages.
html_theme = "sphinx_book_theme"
html_theme_options = {"use_fullscreen_button": False}
html_static_path = ["_static"]
html_css_files = ["book.css"]
mathjax_path = "mathjax/es5/tex-mml-chtml.js"
mathjax3_config = {
    "options": {"enableMenu": False},  # a menu loads more files
    "tex": {"packages": {"[-]": ["noundefined"]}},  # unknown commands are errors, for check.py
}


def setup(app):
    """Connect the hooks."""
    hooks.connect(app)
