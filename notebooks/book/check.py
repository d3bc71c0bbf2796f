"""Open every page of the built book in Chromium and say what is wrong: `check.py outputs/book`.

Checked on each page, on a telephone in the dark and on a wide screen in the light: formulas are all
set and without errors, pictures say what they show, nothing scrolls sideways or is cut off on the
left, no request leaves the book, solutions are folded, sliders move their pictures, and the key Tab
reaches all that can be worked; then links within the book, and its search.
"""

import argparse
import itertools
import json
import pathlib
import re
import sys
from urllib.parse import unquote, urldefrag, urljoin

from browser import in_browsers, requests_elsewhere, serve

HERE = pathlib.Path(__file__).parent
WIDTHS = {390: "dark", 1280: "light"}
SET = """async () => {
    if (!document.querySelector(".math")) return;
    while (!window.MathJax?.startup?.promise) await new Promise(done => setTimeout(done, 50));
    await MathJax.startup.promise;
}"""
LOOK = r"""() => {
    const all = (selector, root = document) => [...root.querySelectorAll(selector)];
    const text = document.createElement("div");
    text.innerHTML = document.querySelector("article, main").innerHTML;
    all("pre, code, mjx-container, script, style", text).forEach(e => e.remove());
    return {
        formulas: all(".math").length,
        set: all("mjx-container").length,
        errors: all("mjx-merror").map(e => e.getAttribute("data-mjx-error") || e.textContent),
        raw: text.textContent.match(/\$|\\[[(]|\\[a-zA-Z]{2,}/g) || [],
        undescribed: all("article img, main img")
            .filter(e => !e.alt.trim() || e.alt.includes("_images/")).map(e => e.src),
        folded: all("details.hide").length,
        open: all("details.hide[open]").length,
    };
}"""
MEASURE = """() => ({
    width: Math.max(document.documentElement.scrollWidth, document.body.scrollWidth),
    cut: [...document.querySelectorAll("div.math")].filter(box => {
        const left = box.getBoundingClientRect().left - 1, math = box.querySelector("mjx-math");
        return math && [...math.querySelectorAll("*")]
            .some(e => e.getClientRects().length && e.getBoundingClientRect().left < left);
    }).length,
})"""
REACH = """() => {
    const now = document.activeElement;
    if (now === document.body) return false;
    now.dataset.reached = true;
    return true;
}"""
MISSED = """() => [...document.querySelectorAll("a[href], button, input, summary")]
    .filter(e => e.checkVisibility({visibilityProperty: true}) && !e.disabled && !e.dataset.reached)
    .map(e => e.outerHTML.slice(0, 120))"""


def num_solutions(name):
    """The number of solutions of the chapter that a page shows; None for other pages."""
    notebook = HERE.parent / f"{pathlib.Path(name).stem}.ipynb"
    if not name.startswith("chapters/") or not notebook.exists():
        return None
    cells = json.loads(notebook.read_text())["cells"]
    return sum("solution" in cell["metadata"].get("tags", []) for cell in cells)


def faults(page, base, name):
    """What is wrong with one page, or with the search or the keys of the book, as lines."""
    return SPECIAL.get(name, faults_of_page)(page, base, name)


def faults_of_page(page, base, name):
    """What is wrong with one page, as lines."""
    with requests_elsewhere(page, base) as outside:
        resize(page, min(WIDTHS))
        page.goto(base + name)
        page.evaluate(SET)
        yield from faults_of_content(page, name)
        for width in WIDTHS:
            resize(page, width)
            measured = page.evaluate(MEASURE)
            if measured["width"] > width:
                yield f"scrolls sideways: {measured['width']} pixels on a screen of {width}"
            if measured["cut"]:
                yield f"{measured['cut']} formulas are cut off on the left at {width} pixels"
        if outside:
            yield f"requests elsewhere: {sorted(outside)}"


def resize(page, width):
    """Give the page one of the widths, and the colours that go with it."""
    page.set_viewport_size({"width": width, "height": 844})
    page.emulate_media(color_scheme=WIDTHS[width])


def faults_of_content(page, name):
    """What is wrong with a page that does not depend on the width of the screen, as lines."""
    seen = page.evaluate(LOOK)
    if seen["set"] != seen["formulas"]:
        yield f"{seen['set']} of {seen['formulas']} formulas are set"
    for kind in ("errors", "raw"):
        if seen[kind]:
            yield f"formulas: {kind} {seen[kind][:3]}"
    if seen["undescribed"]:
        yield f"{len(seen['undescribed'])} pictures without a text that describes them"
    expected = num_solutions(name)
    if expected is not None and seen["folded"] != expected:
        yield f"{seen['folded']} folded cells for {expected} solutions"
    if seen["open"]:
        yield f"{seen['open']} folded cells are open"
    for number in range(page.locator(".explorable").count()):
        yield from faults_of_explorable(page.locator(".explorable").nth(number))


def faults_of_explorable(explorable):
    """What is wrong with a picture with a slider: each key has to move it."""
    slider, svg = explorable.locator("input"), explorable.locator("svg")
    slider.focus()
    is_at_end = slider.evaluate("one => one.value === one.max")
    for key in ("Home", "End", "ArrowLeft") if is_at_end else ("End", "Home", "ArrowRight"):
        before = svg.inner_html(), explorable.locator("output").inner_text()
        slider.press(key)
        after = svg.inner_html(), explorable.locator("output").inner_text()
        if before[0] == after[0] or before[1] == after[1]:
            yield f"{key} does not move the explorable {before[1]}"


def faults_of_keyboard(page, base, _):
    """What of a page that can be clicked on the key Tab does not reach."""
    resize(page, max(WIDTHS))
    page.goto(f"{base}chapters/01_generating_functions.html")
    page.evaluate(SET)
    for _ in range(page.locator("a, button, input, summary").count() + 1):
        page.keyboard.press("Tab")
        if not page.evaluate(REACH):
            break
    missed = page.evaluate(MISSED)
    if missed:
        yield f"Tab does not reach {len(missed)}: {missed[:5]}"


def faults_of_search(page, base, _):
    """What is wrong if a search for a word does not lead to a page."""
    word, expected = "Onsager", "36_cumulants_and_tap"
    page.goto(f"{base}search.html?q={word}")
    try:
        page.wait_for_selector(f'ul.search a[href*="{expected}"]', timeout=20_000)
    except Exception as error:
        yield f"a search for {word} does not find {expected}: {type(error).__name__}"


SPECIAL = {"search": faults_of_search, "keyboard": faults_of_keyboard}


def faults_of_links(folder, names):
    """Links to pages that the book does not have, or to places that the page does not have."""
    pages = {name: (folder / name).read_text() for name in names}
    places = {name: set(re.findall(r'\bid="([^"]+)"', text)) for name, text in pages.items()}
    for name, text in pages.items():
        for link in set(re.findall(r'<a\b[^>]*\bhref="([^"]+)"', text)):
            if re.match(r"[a-z]+:", link):
                continue
            target, place = urldefrag(
                urljoin(name, unquote(link)) if link[0] != "#" else name + link
            )
            known = not place or place in places.get(target, ()) or target not in pages
            if not (folder / target).exists() or not known:
                yield f"{name}: a link leads nowhere: {link}"


def main():
    """Check the pages that the command line names, all without any; exit with 1 if one has faults."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, help="where the book was built")
    parser.add_argument("pages", nargs="*", help="such as chapters/EQUATIONS.html; default: all")
    options = parser.parse_args()
    folder = options.folder.resolve()
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.html"))
    names = [name for name in names if not name.startswith("_static")]
    pages = options.pages or names
    checks = [*pages, *SPECIAL]
    found = zip(checks, in_browsers(faults, serve(folder), checks), strict=True)
    num_faults = 0
    for name, lines in itertools.chain(found, [("links", faults_of_links(folder, names))]):
        for line in lines:
            num_faults += 1
            print(f"{name}: {line}", flush=True)
    print(f"{len(pages)} pages, {num_faults} faults")
    return int(num_faults > 0)


if __name__ == "__main__":
    sys.exit(main())
