"""Slides of the chapters: `build.py outputs/slides` makes a page of reveal.js of each deck.

A deck is a file of Markdown beside this one, with the name of its chapter. Lines of `---` separate its
slides. What the chapter has, the deck does not repeat; it names it, in a paragraph of its own:

    {formula 2.4}       the displayed equation with this tag
    {picture name}      the picture of the cell with this name, {output name} what the cell printed
    {code name}         the cell itself
    {pause}             the rest of the slide comes with the next click
    {notes}             the rest of the slide is for the speaker, who presses S to see it
"""

import argparse
import html
import json
import pathlib
import re
import shutil
import sys

from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

HERE = pathlib.Path(__file__).parent
DIRECTIVE = re.compile(r"^\{(\w+)(?: ([^{}]+))?\}$", re.MULTILINE)
FORMULA = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
TAG = re.compile(r"\\tag\*?\{([^}]+)\}")
BEGIN = {"pause": '<div class="fragment">', "notes": '<aside class="notes">'}
END = {"pause": "</div>", "notes": "</aside>"}


def set_math(latex, options):
    """A formula for MathJax."""
    latex = html.escape(latex)
    return rf"\[{latex}\]" if options["display_mode"] else rf"\({latex}\)"


MARKDOWN = MarkdownIt("commonmark").enable("table").use(dollarmath_plugin, renderer=set_math)


class Chapter:
    """An executed chapter: its equations by tag, its cells by name."""

    def __init__(self, path):
        cells = json.loads(path.read_text())["cells"]
        self.path = path
        self.cells = {cell["metadata"].get("name"): cell for cell in cells}
        text = "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
        self.formulas = {
            tag: formula.strip()
            for formula in FORMULA.findall(text)
            for tag in TAG.findall(formula)
        }

    def cell(self, name):
        """The cell with this name."""
        if name not in self.cells:
            raise SystemExit(f"{self.path.name} has no cell named {name}")
        return self.cells[name]

    def formula(self, tag):
        """The equation with a tag, as HTML."""
        if tag not in self.formulas:
            raise SystemExit(f"{self.path.name} has no equation ({tag})")
        return (
            f'<div class="math block">{set_math(self.formulas[tag], {"display_mode": True})}</div>'
        )

    def picture(self, name):
        """The pictures of a cell, as HTML."""
        cell = self.cell(name)
        data = [output.get("data", {}) for output in cell["outputs"]]
        pictures = [one["image/png"].replace("\n", "") for one in data if "image/png" in one]
        if not pictures:
            raise SystemExit(f"{self.path.name}: the cell named {name} shows no picture")
        alt = html.escape(cell["metadata"].get("alt", ""))
        return "".join(f'<img alt="{alt}" src="data:image/png;base64,{one}">' for one in pictures)

    def output(self, name):
        """What a cell printed, as HTML."""
        outputs = self.cell(name)["outputs"]
        text = "".join("".join(o["text"]) for o in outputs if o.get("name") == "stdout")
        if not text:
            raise SystemExit(f"{self.path.name}: the cell named {name} prints nothing")
        return f'<pre class="output">{html.escape(text.rstrip())}</pre>'

    def code(self, name):
        """The source of a cell, as HTML."""
        return highlight("".join(self.cell(name)["source"]), PythonLexer(), HtmlFormatter())


def slide(chapter, text):
    """One slide as HTML."""
    pieces = DIRECTIVE.split(text)  # text, directive, argument, text, ..
    parts, ends = [MARKDOWN.render(pieces[0])], []
    for name, argument, rest in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
        if name in BEGIN:
            if name == "notes":
                parts += reversed(ends)
                ends.clear()
            parts.append(BEGIN[name])
            ends.append(END[name])
        elif name in ("formula", "picture", "output", "code"):
            parts.append(getattr(chapter, name)(argument))
        else:
            raise SystemExit(
                f"{chapter.path.stem}.md: unknown {{{name}}}; the head of build.py has all"
            )
        parts.append(MARKDOWN.render(rest))
    return "\n".join(["<section>", *parts, *reversed(ends), "</section>"])


def deck(path):
    """The page of a deck of slides."""
    chapter = Chapter(HERE.parent / f"{path.stem}.ipynb")
    texts = re.split(r"^---$", path.read_text(), flags=re.MULTILINE)
    page = (HERE / "deck.html").read_text()
    page = page.replace("TITLE", html.escape(title_of(path)))
    page = page.replace("HIGHLIGHT", HtmlFormatter().get_style_defs())
    return page.replace("SLIDES", "\n".join(slide(chapter, text) for text in texts))


def title_of(path):
    """The first heading of a deck."""
    return re.search(r"^# (.+)$", path.read_text(), re.MULTILINE)[1]


def main():
    """Build all decks and a page that lists them; reveal.js and MathJax come from two folders."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, help="where the pages go")
    options = parser.parse_args()
    folder = options.folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for library in (HERE / "reveal", HERE.parent / "book" / "_static" / "mathjax"):
        shutil.copytree(library, folder / library.name)
    shutil.copy(HERE / "deck.css", folder)
    decks = sorted(HERE.glob("[0-9]*.md"))
    for path in decks:
        (folder / f"{path.stem}.html").write_text(deck(path))
    links = "\n".join(
        f'<li><a href="{path.stem}.html">{html.escape(title_of(path))}</a></li>' for path in decks
    )
    index = (HERE / "index.html").read_text()
    (folder / "index.html").write_text(index.replace("DECKS", links))


if __name__ == "__main__":
    sys.exit(main())
