"""Type hints of public classes and functions can be resolved at run time, as documentation tools and IDEs do."""

import inspect
import pkgutil
import typing
from importlib import import_module

import pytest

import vlt

MODULES = [
    module.name
    for module in pkgutil.walk_packages(vlt.__path__, "vlt.")
    if not module.name.startswith(("vlt.cli", "vlt.__main__", "vlt.data.photo", "vlt.data.prepare"))
]
"""Without commands, whose imports are lazy, and deprecated modules."""
UNRESOLVED = {"Batch", "TrainData", "RepeatedData"}
"""Values inside training that name torch and the generator of scenes for type checkers alone, to import neither."""


CALLED_BY_USERS = ("vlt.infer", "vlt.config", "vlt.data", "vlt.text", "vlt.geometry", "vlt.metrics", "vlt.visualize")
"""Rooms whose functions and methods are checked, too; elsewhere some name a class that is too slow to import."""


def public_objects(module):
    """The public classes of a module; in rooms that users call, their public methods and its public functions, too."""
    with_functions = module.__name__.startswith(CALLED_BY_USERS)
    for name, member in vars(module).items():
        if getattr(member, "__module__", None) != module.__name__ or name.startswith("_"):
            continue
        if inspect.isclass(member) or (with_functions and inspect.isfunction(member)):
            yield member
        if inspect.isclass(member) and with_functions:
            yield from (each for key, each in vars(member).items() if inspect.isfunction(each) and key[0] != "_")


@pytest.mark.parametrize("name", MODULES)
def test_type_hints_resolve(name):
    for member in public_objects(import_module(name)):
        if member.__qualname__ not in UNRESOLVED:
            typing.get_type_hints(member)
