"""What importing a module loads: no torch and no generators of data where they are not needed, in a fresh process."""

import subprocess
import sys

import pytest

LIGHT = [
    "vlt",
    "vlt.types",
    "vlt.errors",
    "vlt.files",
    "vlt.hub",
    "vlt.geometry",
    "vlt.config",
    "vlt.text.reader",
    "vlt.text.words",
    "vlt.text.vectors",
    "vlt.text.mirror",
    "vlt.text.cues",
    "vlt.text.spelling",
    "vlt.data.image",
    "vlt.data.masks",
    "vlt.data.prepared",
    "vlt.data.referrals",
    "vlt.visualize",
    "vlt.infer",
    "vlt.infer.engine",
    "vlt.infer.predictor",
    "vlt.infer.prediction",
    "vlt.evaluate",
    "vlt.evaluate.paper_table",
    "vlt.checkpoint.share",
    "vlt.refine",
    "vlt.cli",
]
HEAVY = (
    *("torch", "transformers", "torchmetrics", "accelerate", "tensorboard", "spacy", "matplotlib", "vlt.synth"),
    "huggingface_hub",
)
FOR_TRAINING = ("vlt.synth", "vlt.train", "vlt.evaluate", "vlt.prepare", "vlt.ablate", "accelerate", "torchmetrics")


def loaded_by(code):
    """The modules that a fresh interpreter has loaded after running some code, and the rest of its output."""
    code += '\nimport sys; print("\\n" + " ".join(sys.modules))'
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    output, _, modules = result.stdout.rstrip("\n").rpartition("\n")
    return modules.split(), output


def heavy_among(modules, heavy):
    """Those of `modules` that are one of `heavy` or lie inside."""
    return [name for name in modules if any(f"{name}.".startswith(f"{one}.") for one in heavy)][:10]


@pytest.mark.parametrize("module", LIGHT)
def test_a_light_module_loads_neither_torch_nor_generators(module):
    modules, _ = loaded_by(f"import {module}")
    assert module in modules
    assert heavy_among(modules, HEAVY) == []


def test_light_modules_work_where_torch_is_not_installed():
    blocked = (
        "import sys\nfor name in ('torch', 'transformers', 'accelerate', 'torchmetrics'): sys.modules[name] = None"
    )
    loaded_by("\n".join([blocked, *(f"import {module}" for module in LIGHT)]))


def test_the_names_of_the_package_that_describe_values_load_no_torch():
    modules, _ = loaded_by("import vlt\nvlt.Prediction, vlt.Predictor, vlt.ImageFeatures, vlt.VLTError, vlt.load")
    assert heavy_among(modules, HEAVY) == []


def test_importing_the_package_loads_no_pil_either():
    modules, _ = loaded_by("import vlt")
    assert heavy_among(modules, ("PIL", "numpy", "pydantic")) == []


def test_help_loads_no_torch():
    code = """
from vlt.cli import main
try:
    main(["--help"])
except SystemExit as end:
    assert not end.code
"""
    modules, output = loaded_by(code)
    assert "Usage:" in output
    assert heavy_among(modules, (*HEAVY, "PIL")) == []


def test_loading_a_predictor_loads_nothing_that_trains_or_generates(tiny_checkpoint):
    modules, _ = loaded_by(f"import vlt; vlt.load({str(tiny_checkpoint)!r}, device='cpu')")
    assert "torch" in modules
    assert heavy_among(modules, FOR_TRAINING) == []
