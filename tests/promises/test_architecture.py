"""Rules about the source: which rooms import which, where torch is, depth of imports, helpers, sizes, docstrings."""

import ast
import runpy
from functools import cache
from pathlib import Path

import pytest

import vlt

SOURCE = Path(vlt.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))

LONGEST_FILE = 400
"""Lines of a file, at most."""
LONGEST_CHAIN = 12
"""Modules of the package on a chain of module-level imports, at most."""
MOST_PRIVATE = 15
"""Private helpers (functions and methods named _x) per 1,000 lines of code, at most."""

GROUND = {"config", "categories", "types", "errors", "geometry", "files", "hub", "version"}
ENTRANCES = {"cli", "__init__", "__main__"}
FLOORS = [
    GROUND,
    {"text"},
    {"data", "model", "losses", "metrics", "visualize"},
    {"synth", "refine"},
    {"prepare"},
    {"dataset"},
    {"checkpoint", "legacy"},
    {"infer"},
    {"evaluate", "convert", "export"},
    {"train"},
    {"ablate", "adapt", "doctor"},
    ENTRANCES,
]
"""Rooms from the bottom to the top: a room imports those of lower floors, and none of its own floor."""
OPEN = GROUND | ENTRANCES
"""Rooms that may import others of their floor; `ORDER` orders those of the ground."""
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

ORDER = ["version", "categories", "errors", "geometry", "types", "files", "hub", "config"]
"""The ground from the bottom to the top."""

DEPRECATED = {"vlt.data.photo", "vlt.data.prepare.coco"}
"""Modules at their former places: they may import what they name, and nothing of ours imports them."""

TORCH_FREE = [*ORDER, "text", "synth", "visualize", "infer", "refine", "prepare", "dataset"]
"""Rooms without torch, but for the files of `TORCH_FILES`."""
TORCH_FILES = {
    "vlt.infer.torch_engine",
    "vlt.refine.outline_decoder",
    "vlt.refine.promptable",
    "vlt.refine.tiny_vit",
    "vlt.refine.torch_segmenter",
}


def module_name(path):
    """The dotted name of a file below src."""
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in FILES}
TREES = {module: ast.parse(path.read_text(encoding="utf-8")) for module, path in MODULES.items()}


def room_of(module):
    """The part of the package that a module belongs to; the package's own file is a room of the top floor."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def targets_of(node, module, is_package):
    """The modules that an import statement names, relative imports resolved; `from vlt import x` names vlt.x."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    package = module.split(".") if is_package else module.split(".")[:-1]
    base = package[: len(package) - node.level + 1] if node.level else []
    name = ".".join([*base, *([node.module] if node.module else [])])
    names = [alias.name for alias in node.names if alias.name != "__version__"]
    return [f"{name}.{alias}" for alias in names] if name == "vlt" else [name]


def imported_modules(tree, module, is_package):
    """Every module that a file imports, anywhere in it, also for type checkers alone."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from targets_of(node, module, is_package)


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
        elif room in ORDER and other in ORDER and ORDER.index(other) > ORDER.index(room):
            yield f"{module} imports {imported}, which stands above it on the ground"


# ---------------------------------------------------------------- floors


def test_every_file_stands_on_a_floor():
    assert {room_of(module) for module in MODULES} == set(FLOOR)


@pytest.mark.parametrize("module", sorted(set(MODULES) - DEPRECATED))
def test_imports_only_go_down(module):
    path = MODULES[module]
    assert list(faults(module, path.read_text(encoding="utf-8"), path.name == "__init__.py")) == []


@pytest.mark.parametrize("module", sorted(DEPRECATED))
def test_deprecated_modules_warn_and_are_not_imported_by_ours(module):
    users = [other for other in MODULES if module in imported_modules(TREES[other], other, False)]
    assert users == []
    with pytest.warns(DeprecationWarning, match=f"{module} is now vlt"):
        runpy.run_module(module)


@pytest.mark.parametrize(
    ("module", "source", "count"),
    [
        ("vlt.metrics", "from vlt.types import Mask", 0),
        ("vlt.metrics", "from vlt.losses import dice_loss", 1),
        ("vlt.data.image", "import vlt.model.build", 1),
        ("vlt.data.image", "from vlt.data.masks import decode_rle", 0),
        ("vlt.data.image", "from .masks import decode_rle", 0),
        ("vlt.data.image", "from ..model import build", 1),
        ("vlt.data.image", "from .. import model", 1),
        ("vlt.data.image", "from vlt import model, errors", 1),
        ("vlt.data.samples", "from vlt.text.reader import TextReader", 0),
        ("vlt.text.reader", "from vlt.data.image import read_image", 1),
        ("vlt.infer.predictor", "def load():\n    from vlt.train import train", 1),
        ("vlt.infer.predictor", "if TYPE_CHECKING:\n    from vlt.evaluate import Report", 1),
        ("vlt.types", "from vlt.geometry import Letterbox", 0),
        ("vlt.geometry", "from vlt.types import Size", 1),
        ("vlt.prepare.scenes", "from vlt.synth.scenes.compose import compose", 0),
        ("vlt.synth.scenes.compose", "from vlt.prepare.coco import read_coco", 1),
        ("vlt.train.loop", "import torch, vlt.cli", 1),
        ("vlt.cli", "from vlt import __version__", 0),
        ("vlt.cli", "from vlt.cellar import wine", 1),
    ],
)
def test_the_walk_finds_upward_imports(module, source, count):
    assert len(list(faults(module, source))) == count


# ---------------------------------------------------------------- separation


def names_of(module):
    """Every name and attribute in the code of a module, as ast sees them: comments and docstrings do not count."""
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names)


def rooms(*names):
    """The modules of some rooms."""
    return [module for module in MODULES if room_of(module) in names]


@pytest.mark.parametrize("module", rooms("data", "text", "metrics"))
def test_data_text_and_metrics_know_no_network(module):
    found = set(imported_modules(TREES[module], module, MODULES[module].name == "__init__.py"))
    assert not {name for name in found if name.startswith(("torch.nn", "transformers", "vlt.model"))} - (
        {"transformers"} if module == "vlt.text.reader" else set()  # reads tokenizers of a hub, for training
    )
    assert "Module" not in set(names_of(module))


@pytest.mark.parametrize("module", rooms("model", "losses"))
def test_networks_and_losses_read_neither_images_nor_expressions(module):
    found = {name.split(".")[0] for name in imported_modules(TREES[module], module, False)}
    assert not found & {"PIL", "json", "csv", "yaml"}
    ours = {room_of(name) for name in imported_modules(TREES[module], module, False) if name.startswith("vlt.")}
    assert not ours & {"data", "text", "synth"}


@pytest.mark.parametrize("module", rooms(*TORCH_FREE))
def test_torch_stays_in_its_files(module):
    """Imports inside functions do not count: they run where a network is loaded."""
    if module not in TORCH_FILES:
        loaded = {name.split(".")[0] for node, name in module_level_imports(module)}
        assert not loaded & {"torch", "transformers", "accelerate", "torchmetrics"}


# ---------------------------------------------------------------- depth of imports


def module_level_imports(module):
    """(node, name) of the imports that run when a module is imported: not in functions, not under TYPE_CHECKING."""
    is_package = MODULES[module].name == "__init__.py"
    pending = list(TREES[module].body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            for name in targets_of(node, module, is_package):
                yield node, name
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            pending += node.orelse
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            pending += list(ast.iter_child_nodes(node))


def edges_of(module):
    """The modules of the package that a module imports when it is imported."""
    for node, name in module_level_imports(module):
        aliases = [f"{name}.{alias.name}" for alias in node.names] if isinstance(node, ast.ImportFrom) else []
        found = [alias for alias in aliases if alias in MODULES] or [name]
        if len(found) < len(aliases):
            found.append(name)
        yield from (each for each in found if each in MODULES and each != module)


EDGES = {module: sorted(set(edges_of(module))) for module in MODULES}


@cache
def longest_chain(module):
    """The longest chain of imports that begins at a module; there are no cycles, or this would not end."""
    return (module, *max((longest_chain(other) for other in EDGES[module]), key=len, default=()))


def test_chains_of_imports_are_short():
    chain = max((longest_chain(module) for module in MODULES), key=len)
    assert len(chain) <= LONGEST_CHAIN, " > ".join(chain)


def test_the_chain_counts_what_it_should():
    assert "vlt.geometry" in EDGES["vlt.types"]
    assert "vlt.infer" not in EDGES["vlt"]  # under TYPE_CHECKING alone
    assert "vlt.checkpoint" not in EDGES["vlt.infer.predictor"]  # inside a function
    assert len(longest_chain("vlt.types")) == 2


# ---------------------------------------------------------------- pieces


def code_lines(module):
    """The number of lines that are neither blank nor comment nor docstring."""
    strings = set()
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            strings.update(range(node.lineno, node.end_lineno + 1))
    lines = enumerate(MODULES[module].read_text(encoding="utf-8").splitlines(), 1)
    return sum(1 for number, line in lines if number not in strings and line.strip() and line.strip()[0] != "#")


def private_helpers(module):
    """The functions and methods of a module whose names begin with one underscore."""
    functions = (one for one in ast.walk(TREES[module]) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))
    return [one.name for one in functions if one.name.startswith("_") and not one.name.startswith("__")]


def test_there_are_few_private_helpers():
    helpers = {module: len(private_helpers(module)) for module in MODULES}
    per_thousand = 1000 * sum(helpers.values()) / sum(map(code_lines, MODULES))
    most = sorted(helpers, key=lambda module: -helpers[module])[:5]
    assert per_thousand <= MOST_PRIVATE, f"most are in {most}"


@pytest.mark.parametrize("module", MODULES)
def test_files_are_short(module):
    lines = len(MODULES[module].read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST_FILE, f"{MODULES[module]} has {lines} lines, more than {LONGEST_FILE}; split it"


# ---------------------------------------------------------------- docstrings


def public_without_docstring(node, prefix):
    """Names below `node` that are public and have no docstring."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or child.name.startswith("_"):
            continue
        decorators = {getattr(one, "id", getattr(one, "attr", "")) for one in child.decorator_list}
        if not ast.get_docstring(child) and not decorators & {"override", "overload"}:
            yield f"{prefix}.{child.name}"
        if isinstance(child, ast.ClassDef):
            yield from public_without_docstring(child, f"{prefix}.{child.name}")


@pytest.mark.parametrize("module", MODULES)
def test_everything_public_has_a_docstring(module):
    assert ast.get_docstring(TREES[module]), f"{module} has no docstring"
    assert list(public_without_docstring(TREES[module], module)) == []
