"""The mean of checkpoints: weighted, of one network only, written as a checkpoint like any other."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

from vlt.checkpoint import load_checkpoint, save_checkpoint
from vlt.errors import VLTError
from vlt.model.build import build_model

TOOL = Path(__file__).parents[2] / "tools" / "average_checkpoints.py"


@pytest.fixture
def tool(load_tool: Callable[[str], ModuleType]) -> ModuleType:
    return load_tool("average_checkpoints")


def test_shares_are_weights_of_a_mean(tool: ModuleType) -> None:
    states = [
        {"w": torch.tensor([1.0, 2.0]), "steps": torch.tensor(3)},
        {"w": torch.tensor([5.0, 0.0]), "steps": torch.tensor(9)},
    ]
    mean = tool.average(states, [0.75, 0.25])
    assert mean["w"].tolist() == [2.0, 1.5]
    assert mean["w"].dtype == torch.float32
    assert mean["steps"] == 3


def test_other_networks_are_refused(tool: ModuleType) -> None:
    with pytest.raises(VLTError, match="not of one network"):
        tool.average([{"w": torch.zeros(2)}, {"w": torch.zeros(3)}], [0.5, 0.5])


def test_networks_of_one_shape_that_compute_something_else_are_refused(
    tool: ModuleType, tiny_checkpoint, tiny_config, tiny_text, tmp_path: Path
) -> None:
    other = tiny_config.model_copy(update={"model": tiny_config.model.model_copy(update={"heads": 1})})
    save_checkpoint(tmp_path / "other", model=build_model(other.model), config=other, text=tiny_text, meta={})
    with pytest.raises(VLTError, match="is not of one network with"):
        tool.write_average(tmp_path / "mean", [f"{tiny_checkpoint}=0.5", f"{tmp_path / 'other'}=0.5"], None)


def test_a_checkpoint_has_one_share(tool: ModuleType) -> None:
    with pytest.raises(VLTError, match="a is named twice"):
        tool.read_shares(["a=0.5", "a=0.5"])


def test_the_command(tiny_checkpoint, tiny_config, tiny_text, tmp_path: Path) -> None:
    torch.manual_seed(1)
    other = build_model(tiny_config.model)
    save_checkpoint(tmp_path / "other", model=other, config=tiny_config, text=tiny_text, meta={})
    named = [f"{tiny_checkpoint}=0.5", f"{tmp_path / 'other'}=0.5"]
    subprocess.run([sys.executable, str(TOOL), str(tmp_path / "mean"), *named], check=True)
    found, one = load_checkpoint(tmp_path / "mean"), load_checkpoint(tiny_checkpoint)
    for name, tensor in found.model.state_dict().items():
        if tensor.is_floating_point():
            expected = (one.model.state_dict()[name] + other.state_dict()[name]) / 2
            torch.testing.assert_close(tensor, expected, msg=name)
    assert found.meta["average"] == {str(tiny_checkpoint): 0.5, str(tmp_path / "other"): 0.5}


def test_shares_that_make_no_mean(tiny_checkpoint, tmp_path: Path) -> None:
    command = [sys.executable, str(TOOL), str(tmp_path / "mean"), f"{tiny_checkpoint}=0.5"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode
    assert "The shares sum to 0.5, not to 1." in run.stderr
    assert "Traceback" not in run.stderr


def test_what_is_no_share(tool: ModuleType) -> None:
    with pytest.raises(VLTError, match=r"^'runs/one' is not of the form CHECKPOINT=SHARE"):
        tool.read_shares(["runs/one"])


def test_a_network_without_a_published_encoder(tool: ModuleType, tiny_checkpoint, tmp_path: Path) -> None:
    with pytest.raises(VLTError, match="no published language encoder; leave --language out"):
        tool.write_average(tmp_path / "mean", [f"{tiny_checkpoint}=1"], "parts/minilm")
