"""Promises about the house itself: who may know whom, what is quick, what is said, how long a file is."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import vlt

SOURCE = Path(vlt.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
LONGEST = 330
"""Lines of a file."""

FLOORS = [
    {"errors", "types", "config", "geometry", "files", "version"},
    {"data", "model", "losses", "metrics", "visualize"},
    {"refine"},
    {"checkpoint", "legacy"},
    {"evaluate", "predict", "convert"},
    {"train"},
    {"ablate"},
    {"cli", "__init__", "__main__"},
]
OPEN = FLOORS[0] | FLOORS[-1]
"""Rooms that see the others of their floor: the ground, and the doors."""
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def module_name(path):
    """The dotted name of a file below src."""
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module):
    """The part of the package a module belongs to; the package's own file is a room of the top floor."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imported_modules(tree, module, is_package):
    """Every module of ours that a file imports, anywhere in it, also for type checkers alone."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = module.split(".") if is_package else module.split(".")[:-1]
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            names = [alias.name for alias in node.names if alias.name != "__version__"]
            yield from (f"{name}.{alias}" for alias in names) if name == "vlt" else [name]


def faults(module, source, is_package=False):
    """A sentence for each import of `source` that goes up, or sideways between rooms of one floor."""
    room = room_of(module)
    for imported in imported_modules(ast.parse(source), module, is_package):
        if imported.split(".")[0] != "vlt":
            continue
        other = room_of(imported)
        if other not in FLOOR:
            yield f"{module} imports {imported}, which stands on no floor"
        elif FLOOR[other] > FLOOR[room] or (FLOOR[other] == FLOOR[room] and other != room and room not in OPEN):
            yield f"{module} (floor {FLOOR[room]}) imports {imported} (floor {FLOOR[other]})"


def test_every_file_stands_on_a_floor():
    assert {room_of(module_name(path)) for path in FILES} == set(FLOOR)


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_only_go_down(path):
    assert list(faults(module_name(path), path.read_text(), path.name == "__init__.py")) == []


@pytest.mark.parametrize(
    ("module", "source", "count"),
    [
        ("vlt.metrics", "from vlt.types import Mask", 0),
        ("vlt.metrics", "from vlt.losses import dice_loss", 1),
        ("vlt.data.photo", "import vlt.model.build", 1),
        ("vlt.data.photo", "from vlt.data.masks import decode_rle", 0),
        ("vlt.data.photo", "from .masks import decode_rle", 0),
        ("vlt.data.photo", "from ..model import build", 1),
        ("vlt.data.photo", "from .. import model", 1),
        ("vlt.data.photo", "from vlt import model, errors", 1),
        ("vlt.predict", "def load():\n    from vlt.train import train", 1),
        ("vlt.predict", "if TYPE_CHECKING:\n    from vlt.evaluate import Report", 1),
        ("vlt.geometry", "from vlt.types import Size", 0),
        ("vlt.train.loop", "import torch, vlt.cli", 1),
        ("vlt.cli", "from vlt import __version__", 0),
        ("vlt.cli", "from vlt.cellar import wine", 1),
    ],
)
def test_the_walk_finds_what_it_should(module, source, count):
    assert len(list(faults(module, source))) == count


def run_python(code):
    """Runs code in a fresh interpreter; its output."""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


HEAVY = "{'torch', 'transformers', 'torchmetrics', 'accelerate', 'PIL'}"


def test_importing_the_package_does_not_import_torch():
    assert run_python(f"import sys, vlt; print({HEAVY} & set(sys.modules))") == "set()\n"


def test_help_does_not_import_torch():
    code = f"""
import sys
from vlt.cli import main
try:
    main(["--help"])
except SystemExit as end:
    assert not end.code
print({HEAVY} & set(sys.modules))
"""
    output = run_python(code)
    assert "Usage:" in output
    assert output.endswith("\nset()\n")


def test_data_knows_no_network():
    for path in (SOURCE / "data").rglob("*.py"):
        assert "nn.Module" not in path.read_text(), f"{path} knows a network"


def public_without_docstring(node, prefix):
    """Names below `node` that are public and say nothing about themselves."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or child.name.startswith("_"):
            continue
        inherited = any(getattr(one, "id", getattr(one, "attr", "")) == "override" for one in child.decorator_list)
        if not ast.get_docstring(child) and not inherited:
            yield f"{prefix}.{child.name}"
        if isinstance(child, ast.ClassDef):
            yield from public_without_docstring(child, f"{prefix}.{child.name}")


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_everything_public_says_what_it_is(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), f"{path} has no docstring"
    assert list(public_without_docstring(tree, module_name(path))) == []


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_files_are_short(path):
    lines = len(path.read_text().splitlines())
    assert lines <= LONGEST, f"{path} has {lines} lines, more than {LONGEST}; part it where its nouns part"
