"""Open every deck of slides in Chromium, say what is wrong, and print it as a PDF: `check.py outputs/slides`.

Checked: that each slide fits its page, that formulas are set and pictures described, that a deck has
9 to 18 slides, and that no request leaves the folder. With `--screenshots FOLDER` one picture a slide.
"""

import argparse
import functools
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "book"))

from browser import in_browsers, requests_elsewhere, serve

SIZE = {"width": 1280, "height": 720}
NUM_SLIDES = range(9, 19)
LOOK = r"""index => {
    Reveal.slide(index, 0, 99);  // with all its fragments
    const slide = Reveal.getCurrentSlide(), images = [...slide.querySelectorAll("img")];
    const text = slide.cloneNode(true);
    text.querySelectorAll("pre, code, mjx-container, .notes").forEach(e => e.remove());
    const inside = [...slide.children].filter(e => e.className != "notes" && e.getClientRects().length);
    const box = slide.getBoundingClientRect(), scale = Reveal.getScale();
    const wide = [...slide.querySelectorAll("mjx-math, img, pre, table")];
    return {
        title: slide.querySelector("h1, h2")?.textContent,
        height: Math.max(...inside.map(e => e.getBoundingClientRect().bottom - box.top)) / scale,
        width: Math.max(0, ...wide.map(e => e.getBoundingClientRect().right - box.left)) / scale,
        errors: slide.querySelectorAll("mjx-merror").length,
        raw: text.textContent.match(/\$|\\[[(]|\\[a-zA-Z]{2,}/g) || [],
        undescribed: images.filter(e => !e.alt.trim()).length,
        empty: images.filter(e => !e.naturalWidth).length,
    };
}"""


def faults(page, base, name, folder, screenshots):
    """What is wrong with one deck, as lines; then it is printed."""
    page.set_viewport_size(SIZE)
    with requests_elsewhere(page, base) as outside:
        yield from faults_of_deck(page, base, name, screenshots)
        if outside:
            yield f"requests elsewhere: {sorted(outside)}"
    print_deck(page, base, name, folder / name.replace(".html", ".pdf"))


def faults_of_deck(page, base, name, screenshots):
    """What is wrong with the slides of one deck, as lines."""
    page.goto(base + name)
    page.evaluate("window.ready")
    page.add_style_tag(content="* { transition: none !important; }")
    num_slides = page.evaluate("Reveal.getTotalSlides()")
    if num_slides not in NUM_SLIDES:
        yield f"{num_slides} slides"
    for index in range(num_slides):
        seen = page.evaluate(LOOK, index)
        where = f"slide {index + 1}, {seen['title']}:"
        if seen["height"] > SIZE["height"] - 10:
            yield f"{where} {seen['height']:.0f} pixels high"
        if seen["width"] > SIZE["width"]:
            yield f"{where} {seen['width']:.0f} pixels wide"
        for kind in ("errors", "raw", "undescribed", "empty"):
            if seen[kind]:
                yield f"{where} {kind} {seen[kind]}"
        if not seen["title"]:
            yield f"{where} no title"
        if screenshots:
            page.screenshot(path=screenshots / f"{pathlib.Path(name).stem}_{index + 1:02d}.png")


def print_deck(page, base, name, path):
    """Print a deck, one slide a page."""
    page.goto(f"{base}{name}?print-pdf")
    page.evaluate("window.ready")
    page.wait_for_selector(".pdf-page")
    page.pdf(path=path, prefer_css_page_size=True, print_background=True)


def main():
    """Check the decks that the command line names, all without any; exit with 1 if one has faults."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, help="where the slides were built")
    parser.add_argument("decks", nargs="*", help="such as 03_rbm_free_energies.html; default: all")
    parser.add_argument(
        "--screenshots", type=pathlib.Path, help="a folder for pictures of all slides"
    )
    options = parser.parse_args()
    folder = options.folder.resolve()
    names = options.decks or sorted(path.name for path in folder.glob("[0-9]*.html"))
    if options.screenshots:
        options.screenshots.mkdir(parents=True, exist_ok=True)
    check = functools.partial(faults, folder=folder, screenshots=options.screenshots)
    num_faults = 0
    for name, lines in zip(names, in_browsers(check, serve(folder), names), strict=True):
        for line in lines:
            num_faults += 1
            print(f"{name}: {line}", flush=True)
    print(f"{len(names)} decks, {num_faults} faults")
    return int(num_faults > 0)


if __name__ == "__main__":
    sys.exit(main())
