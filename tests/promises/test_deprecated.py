"""Names of version 0.1 that moved are importable for one release, with a warning that says where they are."""

import importlib
import sys

import pytest


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ("vlt.data.photo", "vlt.data.image", ["read_image"]),
        ("vlt.data.prepare.coco", "vlt.prepare.coco", ["prepare_coco", "is_validation"]),
    ],
)
def test_moved_modules_warn_and_offer_the_same(old, new, names):
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=f"{old} is now {new}"):
        module = importlib.import_module(old)
    for name in names:
        assert getattr(module, name) is getattr(importlib.import_module(new), name)
