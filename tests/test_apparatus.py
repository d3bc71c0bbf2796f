"""Map, teaching notes, glossary and symbols agree with the chapters that they speak of."""

import re

import pytest
from test_sittings import NOTEBOOKS, STEMS, TIME, references, sitting_of

FORMULA = re.compile(r"\$\$(.*?)\$\$|\$([^$]+)\$", re.DOTALL)


def rows(name):
    """The rows of the table in a page, without its head."""
    lines = [line for line in (NOTEBOOKS / name).read_text().splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[1:]]


@pytest.mark.parametrize("page", ["README.md", "book/index.md"])
def test_every_chapter_is_on_the_map_in_order(page):
    listed = re.findall(r"\b(\d\d_\w+)(?:\.ipynb\))?$|\((\d\d_\w+)\.ipynb\)",
                        (NOTEBOOKS / page).read_text(), re.MULTILINE)  # fmt: skip
    assert [one or other for one, other in listed] == list(STEMS.values())


def test_every_chapter_has_a_deck_and_no_deck_is_left_over():
    decks = sorted(path.stem for path in (NOTEBOOKS / "slides").glob("[0-9]*.md"))
    assert decks == list(STEMS.values())


@pytest.mark.parametrize("number", STEMS)
def test_teaching_notes_have_title_and_minutes_of_the_chapter(number):
    sitting, text = sitting_of(number), (NOTEBOOKS / "TEACHING.md").read_text()
    title = re.match(r"# (Chapter .*)", sitting.text)[1]
    section = text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    minutes = re.search(r"\*\*Minutes\.\*\* (\d+) to read and run; exercises (\d+)\b", section)
    assert minutes, f"no notes on {title}, or no minutes in them"
    assert minutes.groups() == re.search(TIME, sitting.text).groups()


@pytest.mark.parametrize("page", ["TEACHING.md", "GLOSSARY.md", "SYMBOLS.md"])
def test_references_of_a_page_lead_to_sections_that_exist(page):
    text = (NOTEBOOKS / page).read_text()
    for chapters, sections, _ in references(text):
        assert set(chapters) <= set(STEMS)
        if chapters:
            assert set(sections) <= set(sitting_of(chapters[-1]).sections), (chapters, sections)
    for number, stem in re.findall(r"\[chapter (\d+)[^\]]*\]\((\w+)\.ipynb\)", text):
        assert stem == STEMS[int(number)]


def test_words_of_the_glossary_are_in_their_chapters():
    words = [word for word, *_ in rows("GLOSSARY.md")[1:]]
    assert words == sorted(words, key=str.lower)
    assert len(words) == len(set(words)) > 50
    for word, _, where in rows("GLOSSARY.md")[1:]:
        number = int(re.search(r"chapter (\d+)", where)[1])
        plain = " ".join(sitting_of(number).text.replace("*", "").split())
        assert re.split(r", | \(", word)[0].lower() in plain.lower(), (word, where)


def test_symbols_are_listed_once_and_first_used_where_the_table_says():
    formulas = {
        number: " ".join(one or other for one, other in FORMULA.findall(sitting_of(number).text))
        for number in STEMS
    }
    listed = [row[0] for row in rows("SYMBOLS.md")[1:]]
    assert len(listed) == len(set(listed)) > 30
    for symbol, _, where in rows("SYMBOLS.md")[1:]:
        plain = re.escape(symbol.strip("$").replace(r"\vert ", "|"))
        pattern = rf"(?<![A-Za-z\\_]){plain}" + (r"(?![A-Za-z])" if symbol[-2].isalpha() else "")
        using = [number for number, text in formulas.items() if re.search(pattern, text)]
        assert using[:1] == [int(re.search(r"chapter (\d+)", where)[1])], symbol
