"""README keeps its word: its commands parse, the first one and the Python example run, and its links exist."""

import re
import shlex
import shutil
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from vlt.cli import main

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = [
    line.split("   #")[0].strip()
    for language, block in BLOCKS
    if language == "bash"
    for line in block.splitlines()
    if line.startswith("vlt ")
]


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_parses(line, tmp_path, monkeypatch):
    """Names of commands and options, numbers and choices; what a command then reads is not looked at."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    command, arguments = main, shlex.split(line)[1:]
    while isinstance(command, click.Group):
        name, command, arguments = command.resolve_command(click.Context(command), arguments)
        assert command is not None, name
    command.make_context(command.name, list(arguments))


def test_the_first_command_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    first = next(line for line in COMMANDS if "predict" in line)
    result = CliRunner().invoke(main, shlex.split(first)[1:])
    assert result.exit_code == 0, result.stderr
    hair, helmet, dog, last = result.stdout.splitlines()
    assert re.fullmatch(r"orange  score 0\.\d\d  box [\d,]+  \d+\.\d % of the image: hair", hair)
    assert re.fullmatch(r"blue    score 0\.\d\d  box [\d,]+  \d+\.\d % of the image: black helmet bottom right", helmet)
    assert "nothing matches" in dog
    assert last == "overlay: astronaut-vlt.png"
    assert (tmp_path / "astronaut-vlt.png").stat().st_size > 10_000


@pytest.mark.slow
def test_the_python_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("photo.jpg", "one.jpg", "two.jpg"):
        shutil.copy(ROOT / "examples" / "coffee.jpg", tmp_path / name)
    code = next(block for language, block in BLOCKS if language == "python" and "vlt.load()" in block)
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["dog"].mask.shape == names["cat"].mask.shape
    assert [len(names["one"]), len(names["two"])] == [1, 2]


def test_files_and_links_exist():
    links = re.findall(r"\]\(([^)#]+)\)|src=\"([^\"]+)\"", README)
    configurations = [(match, "") for match in re.findall(r"\bconfigs/[\w+./]+\.yaml", README)]
    paths = {one or other for one, other in [*links, *configurations] if not (one or other).startswith("http")}
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


def test_the_tree_names_every_room():
    tree = next(block for language, block in BLOCKS if not language and "src/vlt/" in block)
    rooms = {path.name for path in (ROOT / "src" / "vlt").iterdir() if (path / "__init__.py").exists()} - {"weights"}
    assert {room for room in rooms if f"{room}/" not in tree} == set()
