"""What Sphinx does not do by itself: fold solutions, number equations as they are tagged, link."""

import importlib
import json
import pathlib
import pkgutil
import re

from address import fill_in
from citations import citations, keys
from docutils import nodes

EQUATIONS = "chapters/EQUATIONS"
TAG = re.compile(r"\\tag\*?\{([^}]+)\}")
MENTION = re.compile(r"\bB\d+(?=[a-e]?\b)[a-e]?|(?<=\()\d+\.\d+(?=\))")  # B25, B26a; (5.3)
WIDGET = "application/vnd.jupyter.widget-view+json"
WIDGETS = "application/vnd.jupyter.widget-state+json"
# An explorable without a kernel: its module draws from the state that the notebook has saved.
EXPLORABLE = """<div id="{id}"></div>
<script type="module">
const state = {state};
const model = {{
  get: key => state[key],
  set: (key, value) => {{ state[key] = value; }},
  save_changes: () => {{}},
  on: () => {{}},
}};
const source = new Blob([{module}], {{type: "text/javascript"}});
const {{default: widget}} = await import(URL.createObjectURL(source));
widget.render({{model, el: document.getElementById("{id}")}});
</script>"""
NO_LINKS = (
    nodes.title,
    nodes.reference,
    nodes.math,
    nodes.math_block,
    nodes.literal_block,
    nodes.raw,
)


def public_names(*packages):
    """For each package, and for those in it, the full names of what is to be imported from it."""
    names = {}
    for package in map(importlib.import_module, packages):
        inner = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        for name in (package.__name__, *(module.name for module in inner if module.ispkg)):
            shown = getattr(importlib.import_module(name), "__all__", [])
            names[name] = [f"{name}.{one}" for one in shown]
    return names


def edit_notebook(app, docname, source):
    """Fold solutions with all that they print, and give pictures the texts that describe them."""
    if app.env.doc2path(docname).suffix != ".ipynb":
        return
    notebook = json.loads(source[0])
    fill_in(notebook["cells"], pathlib.Path(docname).name)
    saved = notebook["metadata"].pop("widgets", {}).get(WIDGETS, {}).get("state", {})
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            continue
        metadata = cell["metadata"]
        options = metadata.setdefault("mystnb", {})
        if "setup" in metadata.get("tags", []):
            metadata["tags"].append("remove-cell")
        if "solution" in metadata.get("tags", []):
            metadata["tags"].append("hide-cell")
            options["code_prompt_show"] = "Show the solution"
            options["code_prompt_hide"] = "Hide the solution"
        if "alt" in metadata:
            options["image"] = {"alt": metadata["alt"]}
        for output in cell["outputs"]:
            if view := output.get("data", {}).pop(WIDGET, None):
                output["data"] = as_html(view["model_id"], saved)
    source[0] = json.dumps(notebook)


def as_html(model, saved):
    """The output of an explorable that needs no kernel, and nothing of other widgets: progress bars."""
    state = saved.get(model, {}).get("state", {})
    if "_esm" not in state:
        return {}
    numbers = {key: value for key, value in state.items() if not key.startswith("_")}
    texts = [json.dumps(text).replace("</", r"<\/") for text in (numbers, state["_esm"])]
    html = EXPLORABLE.format(id=f"explorable-{model}", state=texts[0], module=texts[1])
    return {"text/html": html}


def escape_formulas(app, what, name, obj, options, lines):
    r"""Formulas in docstrings are plain text: escape `*`, `|` and a last `_` outside of code."""
    for index, line in enumerate(lines):
        if line.lstrip().startswith((">>>", "...")):
            continue
        parts = re.split(r"(`+[^`]*`+)", line)
        parts[::2] = [
            re.sub(r"[*|]|_+(?!\w)", lambda found: re.sub("(.)", r"\\\1", found[0]), part)
            for part in parts[::2]
        ]
        lines[index] = "".join(parts)
    if what == "property":  # napoleon takes a first line up to its colon for a type: not a comment
        lines[:0] = ["..", ""]


def edit_page(app, doctree):
    r"""Give names to rows of the table and to tagged equations, and keep Sphinx from splitting them.

    Sphinx puts equations of several lines into an environment in which MathJax allows no \tag.
    """
    for block in doctree.findall(nodes.math_block):
        block["ids"] += [anchor(tag) for tag in TAG.findall(block.astext())]
        if "amsmath" not in block["classes"]:
            block["no-wrap"] = True
            block[:] = [nodes.Text(rf"\[{block.astext()}\]")]
    if app.env.docname == EQUATIONS:
        for row in doctree.findall(nodes.row):
            row["ids"].append(row.children[0].astext())


def anchor(tag):
    """The name of an equation in addresses: those with a row of the same tag stay apart."""
    return "equation-" + re.sub(r"\W+", "-", tag)


def link_page(app, doctree, docname):
    """Make links of mentions of rows and equations, and of names in code that the reference has."""
    equations = {
        tag for block in doctree.findall(nodes.math_block) for tag in TAG.findall(block.astext())
    }
    for text in list(doctree.findall(nodes.Text)):
        if not is_inside(text, (*NO_LINKS, nodes.literal)):
            parts = list(linked_mentions(app, docname, equations, str(text)))
            if len(parts) > 1:
                text.parent.replace(text, parts)
    if docname == EQUATIONS:
        link_sections(app, doctree)
    for literal in list(doctree.findall(nodes.literal)):
        if not is_inside(literal, NO_LINKS) and (entry := entry_of(app, literal.astext())):
            address = address_of(app, docname, entry.docname, entry.node_id)
            link = nodes.reference("", "", internal=True, refuri=address)
            literal.replace_self(link)
            link.append(literal)


def link_sections(app, doctree):
    """In the table of equations, make a link of each § that follows the link to a chapter."""
    for text in [text for text in doctree.findall(nodes.Text) if "§" in text]:
        page = text.parent[text.parent.index(text) - 1].get("refuri", "")
        if not page.endswith(".html"):
            continue
        chapter = app.env.get_doctree(f"chapters/{page.removesuffix('.html')}")
        sections = {
            section[0].astext().split(".")[0]: section["ids"][0]
            for section in chapter.findall(nodes.section)
        }
        parts = re.split(r"§(\d+)", text)  # every second one is the number of a section
        for index, part in enumerate(parts):
            address = f"{page}#{sections.get(part)}"
            link = nodes.reference("", f"§{part}", internal=True, refuri=address)
            parts[index] = link if index % 2 else nodes.Text(part)
        text.parent.replace(text, parts)


def is_inside(node, kinds):
    """Whether a node lies in one of these kinds, however deep."""
    while node := node.parent:
        if isinstance(node, kinds):
            return True
    return False


def linked_mentions(app, docname, equations, text):
    """The pieces of a text: plain ones, and links to rows, equations of the same page, literature."""
    last, found = 0, [*equation_mentions(app, docname, equations, text)]
    found += citation_mentions(app, docname, text)
    for match, address in sorted(found, key=lambda pair: pair[0].start()):
        yield nodes.Text(text[last : match.start()])
        yield nodes.reference("", match[0], internal=True, refuri=address)
        last = match.end()
    yield nodes.Text(text[last:])


def equation_mentions(app, docname, equations, text):
    """The matches of rows and of equations of the same page, with their addresses."""
    for found in MENTION.finditer(text):
        row = found[0].rstrip("abcde")
        if row in rows_of(app):
            yield found, address_of(app, docname, EQUATIONS, row)
        elif found[0] in equations:
            yield found, f"#{anchor(found[0])}"


def citation_mentions(app, docname, text):
    """The matches of citations, with the addresses of their entries in the bibliography."""
    for found, names in citations(text):
        for key in [key for key in names if key in keys()][:1]:
            yield found, address_of(app, docname, "bibliography", f"cite-{key}")


def rows_of(app):
    """The names of all rows of EQUATIONS.md, as B25."""
    if not hasattr(app, "rows_of_the_book"):
        table = pathlib.Path(app.srcdir, f"{EQUATIONS}.md").read_text()
        app.rows_of_the_book = set(re.findall(r"^\| (B\d+) \|", table, re.MULTILINE))
    return app.rows_of_the_book


def address_of(app, docname, target, name):
    """The address of a name on a page, seen from another."""
    page = "" if docname == target else app.builder.get_relative_uri(docname, target)
    return f"{page}#{name}"


def entry_of(app, code):
    """What the reference has under a full name, or of a face or a class alone, if that is unique."""
    code = code.removesuffix("()")
    if not re.fullmatch(r"(rbm_tf|vae_keras)(\.\w+)+|[A-Z]\w*[a-z]\w*", code):
        return None
    entries = app.env.domains["py"].objects
    if code in entries:
        return entries[code]
    package, _, name = code.rpartition(".")
    found = [
        entry
        for full, entry in entries.items()
        if full.endswith(f".{name}")
        and (full.startswith(f"{package}.") if package else entry.objtype == "class")
    ]
    return found[0] if len(found) == 1 else None


def link_comments(app, pagename, templatename, context, doctree):
    """Make links of rows that comments in code name."""
    if not context.get("body") or doctree is None:
        return

    def link(found):
        if (row := found[0].rstrip("abcde")) not in rows_of(app):
            return found[0]
        return f'<a href="{address_of(app, pagename, EQUATIONS, row)}">{found[0]}</a>'

    context["body"] = re.sub(
        r'(?<=<span class="c1">)[^<]*', lambda found: MENTION.sub(link, found[0]), context["body"]
    )


def connect(app):
    """Connect the hooks to a run of Sphinx."""
    app.connect("source-read", edit_notebook)
    app.connect("autodoc-process-docstring", escape_formulas, priority=400)  # before napoleon
    app.connect("doctree-read", edit_page)
    app.connect("doctree-resolved", link_page)
    app.connect("html-page-context", link_comments)
