import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from vlt.cli import main
from vlt.config import Config, dump_config, parse_config
from vlt.data.masks import encode_rle
from vlt.data.prepared import write_prepared
from vlt.types import Expression, Referral


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """A number of threads, so that a busy machine adds no advice to stderr."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def configure(tiny_config, tmp_path) -> Callable[..., Config]:
    """Makes the configuration of a run of seconds in `tmp_path`, with keys of sections changed."""

    def make(**sections: Any) -> Config:
        values = {**tiny_config.model_dump(mode="json"), "output_dir": str(tmp_path / "run")}
        for name, changes in sections.items():
            is_whole = not isinstance(changes, dict) or "name" in changes
            values[name] = changes if is_whole else {**values[name], **changes}
        return parse_config(values, "test")

    return make


@pytest.fixture
def doctor(tmp_path) -> Callable[..., Result]:
    """Runs `vlt doctor` on a configuration."""

    def run(config: Config, *options: str) -> Result:
        path = tmp_path / "config.yaml"
        path.write_text(dump_config(config))
        result = CliRunner().invoke(main, ["doctor", str(path), *options])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


@pytest.fixture
def examined(doctor) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Runs `vlt doctor --json` and gives the exit code and the diagnosis."""

    def run(config: Config, *options: str) -> tuple[int, dict[str, Any]]:
        result = doctor(config, "--json", *options)
        return result.exit_code, json.loads(result.stdout)

    return run


@pytest.fixture
def prepared(tmp_path) -> dict[str, Any]:
    """A prepared set of four photos for training and two others for validation, as a section `data`."""
    images = tmp_path / "images"
    images.mkdir()
    splits = {"train": range(1, 5), "val": range(5, 7)}
    for number in range(1, 7):
        Image.new("RGB", (64, 48), (40 * number, 0, 0)).save(images / f"{number}.png")
    members = {split: [referral(number, images) for number in numbers] for split, numbers in splits.items()}
    write_prepared(tmp_path, "mine", members, generate_mask=False, images=images)
    return {"name": "refer", "root": str(tmp_path), "dataset": "mine", "images": str(images)}


def referral(number: int, images: Path) -> Referral:
    """A referral to the left half of a photo, with two expressions."""
    mask = np.zeros((48, 64), bool)
    mask[:, :32] = True
    expressions = tuple(Expression(10 * number + place, text) for place, text in enumerate(("red", "the left half")))
    return Referral(number, images / f"{number}.png", (encode_rle(mask),), expressions, 0)


@pytest.fixture
def found() -> Callable[..., list[dict[str, str]]]:
    """Picks the findings of a severity, or of a subject, out of a diagnosis."""

    def pick(diagnosis: dict[str, Any], *, severity: str = "", subject: str = "") -> list[dict[str, str]]:
        return [
            finding
            for finding in diagnosis["findings"]
            if finding["severity"].startswith(severity) and finding["subject"].startswith(subject)
        ]

    return pick


@pytest.fixture
def results() -> Callable[[dict[str, Any]], dict[str, str]]:
    """Gives the lines of a diagnosis by the names of their checks; several of a name are joined."""

    def join(diagnosis: dict[str, Any]) -> dict[str, str]:
        lines: dict[str, str] = {}
        for check in diagnosis["checks"]:
            lines[check["name"]] = "\n".join(filter(None, [lines.get(check["name"]), check["result"]]))
        return lines

    return join
