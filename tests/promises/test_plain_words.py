"""Plain words: what readers of the source and the documentation read names its subject in the field's own terms.

Docstrings, comments, messages, help texts, documentation and comments of configurations are searched for phrases that
were once used here in place of technical terms. docs/log.md is left out: a log is not rewritten.
"""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = sorted(path for room in ("src", "tools", "benchmarks") for path in (ROOT / room).rglob("*.py"))
PAGES = sorted(path for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")] if path.name != "log.md")
CONFIGURATIONS = sorted((ROOT / "configs").rglob("*.yaml"))
FILES = [*CODE, *PAGES, *CONFIGURATIONS]

RIDDLES = {
    r"\b(is|are|was|were|be|been|being) (asked|told(?! apart)|meant|judged|believed)\b": "given, referred to",
    r"\bwhat (is|are|was|were|can be|may be) (said|seen|shown|known|learnt)\b": "name the thing itself",
    r"\bwho (is|are) (asked|meant|told|judged|shown)\b": "name it",
    r"\bknows? whom\b": "imports",
    r"\bnobody\b": "no user, no expression, nothing",
    r"\bby heart\b": "overfitting",
    r"\bthe surer\b|\bthe surest\b": "the higher probability",
    r"\b(tell|tells|told) apart\b": "distinguish",
    r"\b(lead|leads|led) astray\b": "mislead",
    r"\bfor ever\b": "always, for good, forever",
    r"\bwhose sake\b": "the reason",
    r"\bas it stands\b": "unchanged",
    r"\bsharpen(s|ed|ing)?\b": "refine the outline",
    r"\bin other light\b": "with another brightness",
    r"\bspeaks? of\b": "refers to",
    r"\blooks? well\b": "can be pasted",
    r"\bno whole\b": "not a complete, not a whole",
    r"\bchatter that\b": "filler words",
    r"\bthings of (a|an|the)\b|\b(of|on|in) (a|each|every) things?\b": "object",
    r"\b(the|a|an|each|every|its|own|model's|network's) answers?\b": "prediction, output",
    r"\bto answer an? (expression|question|photo|image)\b": "predict",
    r"\bwhatever it takes\b|\bwhat that takes\b|\bwhat it takes\b": "name it",
    r"\bfrom elsewhere\b|\bof elsewhere\b": "of other images",
}
"""Pattern, and what to write in its place."""

STARTS = ("What ", "Who ", "Whose ", "Whom ", "Which ", "Where ", "When ", "How ", "Why ", "That ", "Nobody", "Says ")
"""Beginnings of a docstring that do not say what the object is or does; "Whether" is for truth values."""


def read_prose(path: Path) -> str:
    """The text of a file that people read, on one line: of Python its comments and strings, of YAML its comments."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        kinds = (tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING))
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        text = " ".join(token.string.strip("#\"'") for token in tokens if token.type in kinds)
    elif path.suffix == ".yaml":
        text = " ".join(line.partition("#")[2] for line in text.splitlines())
    return " ".join(text.split())


def docstrings_of(tree: ast.AST) -> list[str]:
    """Every docstring of a module, its classes and its functions."""
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return [ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, owners)]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_riddles(path):
    prose = read_prose(path)
    found = [
        f"...{prose[max(0, match.start() - 50) : match.end() + 30]}... (write: {remedy})"
        for pattern, remedy in RIDDLES.items()
        for match in re.finditer(pattern, prose, re.IGNORECASE)
    ]
    assert found == []


@pytest.mark.parametrize("path", CODE, ids=name_of)
def test_docstrings_begin_with_what_the_object_is_or_does(path):
    first_lines = [text.splitlines()[0] for text in docstrings_of(ast.parse(path.read_text())) if text]
    assert [line for line in first_lines if line.startswith(STARTS)] == []


@pytest.mark.parametrize(
    "text",
    ["what is said", "Learning by\n    heart", "The surer one", "whose answers\nthe answer is", "things of a photo"],
)
def test_phrases_are_found_across_lines(tmp_path, text):
    path = tmp_path / "page.md"
    path.write_text(text)
    assert any(re.search(pattern, read_prose(path), re.IGNORECASE) for pattern in RIDDLES)


def test_code_is_not_prose(tmp_path):
    path = tmp_path / "code.py"
    path.write_text('nobody = 1\n"""Docstring."""\n# a comment\nraise ValueError(f"no {nobody} here")\n')
    assert not re.search("nobody =", read_prose(path))
    assert "Docstring." in read_prose(path)
    assert "a comment" in read_prose(path)
