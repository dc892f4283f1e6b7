"""A plain installation, without PyTorch: what works, and the sentence about what does not."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDS_TORCH = {
    "vlt train configs/tiny.yaml": "train",
    "vlt doctor configs/tiny.yaml": "train",
    "vlt test configs/tiny.yaml --checkpoint src/vlt/weights": "train",
    "vlt adapt examples/photos.jsonl adapted": "train",
    "vlt pack src/vlt/weights packed": "train",
    "vlt convert weights.h5 out --config configs/reference_refcoco.yaml": "train",
    "vlt ablate configs/studies/synthetic.yaml": "train",
    "vlt export src/vlt/weights exported": "export",
    "vlt prepare coco --instances a.json --images examples --output-dir data --name a": "train",
}
WITHOUT = """
import sys
for name in ("torch", "transformers", "accelerate", "torchmetrics", "h5py", "tqdm", "onnx", "onnxscript", "onnx_ir"):
    sys.modules[name] = None
from vlt.cli import main
main(sys.argv[1:], prog_name="vlt")
"""


@pytest.mark.parametrize("command", NEEDS_TORCH)
def test_a_command_that_needs_more_says_what_to_install(command):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *shlex.split(command)[1:]],
        **{"cwd": ROOT, "capture_output": True, "text": True, "check": False, "timeout": 120},
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert (done.returncode, done.stdout) == (1, "")
    name = command.split()[1]
    assert re.fullmatch(
        rf"error: `vlt {name}` needs \w+, which the plain installation does not have; "
        rf'`pip install "vlt\[{NEEDS_TORCH[command]}\]"` adds it\.\n',
        done.stderr,
    )


@pytest.mark.slow
def test_the_readme_begins_with_one(tmp_path):
    """In a virtual environment of its own, with nothing but what the package requires."""
    venv.create(tmp_path / "venv", with_pip=True)
    programs = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    run = {"check": True, "capture_output": True, "text": True, "cwd": tmp_path, "timeout": 900}
    subprocess.run([programs / "python", "-m", "pip", "install", "--quiet", str(ROOT)], **run)
    first = next(line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("vlt predict"))
    done = subprocess.run([programs / "vlt", *shlex.split(first)[1:]], **run)
    assert done.stdout.count("score") >= 2
    assert (tmp_path / "astronaut-vlt.png").stat().st_size > 10_000
    assert "parameters" in subprocess.run([programs / "vlt", "info"], **run).stdout
    listed = subprocess.run([programs / "python", "-m", "pip", "list", "--format=freeze"], **run).stdout
    assert {"torch", "transformers", "accelerate"}.isdisjoint(line.partition("==")[0] for line in listed.splitlines())
