import numpy as np
from click.testing import CliRunner
from PIL import Image
from predictor_fixture import make_predictor


def test_every_photo_is_a_panel_with_its_masks(load_tool, tmp_path, monkeypatch):
    tool = load_tool("gallery")
    predictor = make_predictor(batch_size=4)
    monkeypatch.setattr(tool.vlt, "load", lambda checkpoint: predictor)
    panels = []
    for name, size in (("wide.png", (80, 160)), ("high.png", (120, 60))):
        Image.fromarray(np.full((*size, 3), 128, np.uint8)).save(tmp_path / name)
        panels += ["--panel", str(tmp_path / name), "red; the left one"]
    output = tmp_path / "row.png"
    result = CliRunner().invoke(tool.main, [str(output), *panels, "--height", "40"])
    assert result.exit_code == 0, result.output
    assert [line.split(": ")[:2] for line in result.stdout.splitlines()] == [
        [name, f"{text!r}"] for name in ("wide.png", "high.png") for text in ("red", "the left one")
    ]
    picture = np.asarray(Image.open(output))
    inside = [picture[picture.shape[0] // 2, x] for x in (8 + 40, 8 + 80 + 8 + 10)]
    assert all((pixel < 255).any() for pixel in inside), "both panels are drawn, 80 and 20 pixels wide"
