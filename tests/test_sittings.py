"""A chapter is a sitting: its length, the minutes that it states, and where its references lead."""

import functools
import pathlib
import re

import jupytext
import pytest

NOTEBOOKS = pathlib.Path(__file__).parent.parent / "notebooks"
STEMS = {int(path.stem[:2]): path.stem for path in sorted(NOTEBOOKS.glob("[0-9]*.py"))}
EXERCISE_MINUTES = {"easy": 15, "medium": 25, "hard": 40, "to explore": 40, "project": 40}
APART = {"setup", "solution"}  # cells that no minute is counted for
EQUATION = re.compile(r"\$\$.*?\$\$", re.DOTALL)
TIME = r"\*\*Time\*\*: about (\d+) minutes, and (\d+) for\s+the exercises"
NUMBERS = r"\d+(?:(?:,| and| to| or)(?: and)? \d+)*"
TAGS = r"\(\d+\.\d+[a-z]?\)(?:(?:,| and| to| or)(?: and)? \(\d+\.\d+[a-z]?\))*"
each_chapter = pytest.mark.parametrize("number", STEMS, ids=STEMS.values())


def _required(cells):
    """The cells that everybody reads: not those of exercises and of sections marked (optional)."""
    apart = False
    for cell in cells:
        heading = re.match(r"## (.*)", cell.source) if cell.cell_type == "markdown" else None
        if heading:
            apart = "(optional)" in heading[1] or heading[1] == "Exercises"
        if not apart:
            yield cell


class Sitting:
    """What a chapter has to read and to run, its exercises and optional sections apart."""

    def __init__(self, source):
        cells = jupytext.read(source).cells
        prose = [cell.source for cell in cells if cell.cell_type == "markdown"]
        self.text = "\n\n".join(prose)
        required = list(_required(cells))
        body = "\n\n".join(cell.source for cell in required if cell.cell_type == "markdown")
        self.num_equations = len(EQUATION.findall(body))
        self.num_words = len(EQUATION.sub(" ", body).split())
        self.num_cells = sum(
            cell.cell_type == "code" and not APART & set(cell.metadata.get("tags", []))
            for cell in required
        )
        exercises = self.text.partition("## Exercises")[2]
        self.levels = re.findall(r"^\d+\. \*\(([\w ]+)\)\*", exercises, re.MULTILINE)
        self.headings = re.findall(r"^## (?:(\d+)\. )?(.*)", self.text, re.MULTILINE)
        self.sections = [int(number) for number, _ in self.headings if number]
        self.tags = re.findall(r"\\tag\*?\{(\d+\.\d+[a-z]?)\}", self.text)

    @property
    def minutes(self):
        """A hundred words a minute, a minute and a half for an equation, one for a cell."""
        return self.num_words / 100 + 1.5 * self.num_equations + self.num_cells


@functools.cache
def sitting_of(number):
    """The chapter with a number, which is read when a test first asks for it."""
    return Sitting(NOTEBOOKS / f"{STEMS[number]}.py")


def references(text):
    """All "chapter N" of a text, with the sections and equations that are named beside it."""
    text = re.sub(r"\]\([^)]*\)", ";", EQUATION.sub(" ", text)).replace("[", "")
    text = " ".join(text.split())
    chapters = rf"[Cc]hapters? ({NUMBERS})(?:, [Ss]ections? ({NUMBERS}))?(?:,? ({TAGS}))?"
    for match in re.finditer(rf"(?:[Ss]ections? ({NUMBERS})|({TAGS}))? ?(?:of )?{chapters}", text):
        before, tags_before, names, after, tags_after = match.groups()
        named = [int(number) for number in re.findall(r"\d+", names)]
        numbers = re.findall(r"\d+", f"{before if ' of ' in match[0] else ''} {after or ''}")
        tags = re.findall(r"\d+\.\d+[a-z]?", f"{tags_before or ''} {tags_after or ''}")
        yield named, [int(number) for number in numbers], tags
    own = re.sub(rf"(?:[Ss]ections? {NUMBERS}|{TAGS}) of {chapters}|{chapters}", " ", text)
    for number in re.findall(rf"\b[Ss]ections? ({NUMBERS})", own):
        yield [], [int(one) for one in re.findall(r"\d+", number)], []


@each_chapter
def test_chapter_is_a_sitting(number):
    sitting = sitting_of(number)
    assert sitting.num_words <= 2000
    assert sitting.num_equations <= 20
    assert sitting.num_cells <= 25
    assert round(sitting.minutes) <= 60


@each_chapter
def test_stated_minutes_are_those_of_the_rule(number):
    sitting = sitting_of(number)
    stated = re.search(TIME, sitting.text)
    assert stated, "**Time**: about 55 minutes, and 95 for the exercises."
    assert abs(int(stated[1]) - sitting.minutes) <= 3, f"{sitting.minutes:.0f} minutes"
    assert int(stated[2]) == sum(EXERCISE_MINUTES[level] for level in sitting.levels)


@each_chapter
def test_exercises_have_three_levels_or_more(number):
    levels = sitting_of(number).levels
    assert {"easy", "medium", "hard"} <= set(levels) <= set(EXERCISE_MINUTES)


@each_chapter
def test_chapter_and_its_sections_are_numbered_in_order(number):
    sitting = sitting_of(number)
    assert sitting.text.startswith(f"# Chapter {number}: ")
    assert sitting.sections == list(range(1, len(sitting.sections) + 1))
    assert [title for _, title in sitting.headings][-2:] == ["Summary", "Exercises"]
    assert len(sitting.tags) == len(set(sitting.tags))
    assert all(int(tag.split(".")[0]) in sitting.sections for tag in sitting.tags)


@each_chapter
def test_references_lead_to_sections_and_equations_that_exist(number):
    for chapters, sections, tags in references(sitting_of(number).text):
        assert set(chapters) <= set(STEMS), f"chapters {chapters}"
        there = sitting_of(chapters[-1] if chapters else number)
        assert set(sections) <= set(there.sections), f"chapters {chapters}, sections {sections}"
        assert set(tags) <= set(there.tags), f"chapters {chapters}, equations {tags}"


@each_chapter
def test_links_have_the_numbers_of_their_chapters(number):
    text = sitting_of(number).text
    for label, stem in re.findall(r"\[([^\]\[]*)\]\((\d\d_\w+)\.ipynb\)", text):
        assert stem == STEMS.get(int(stem[:2])), f"no chapter {stem}"
        for named in re.findall(r"[Cc]hapter\s+(\d+)", label):
            assert int(named) == int(stem[:2]), f"[{label}]({stem}.ipynb)"


@each_chapter
def test_what_a_chapter_needs_comes_before_it(number):
    needed = re.search(r"\*\*What you need\*\*:(.*?)\n\n", sitting_of(number).text, re.DOTALL)
    for chapters, _, _ in references(needed[1]):
        assert max(chapters, default=0) < number, f"chapter {number} needs {chapters}"
