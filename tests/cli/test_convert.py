"""`vlt convert`: what is typed reaches the conversion."""

from click.testing import CliRunner

from vlt.cli import main


def test_what_is_typed_reaches_the_conversion(tmp_path, monkeypatch):
    heard = []
    monkeypatch.setattr("vlt.convert.convert", lambda *arguments: heard.append(arguments) or tmp_path / "out")
    weights, config, out = (tmp_path / name for name in ("weights.h5", "refcoco.yaml", "out"))
    typed = [str(weights), "--config", str(config), str(out), "--set", "model.words.source=hash", "--set", "seed=1"]
    result = CliRunner().invoke(main, ["convert", *typed])
    assert (result.exit_code, result.stdout) == (0, f"{out}\n")
    assert heard == [(weights, config, out, ("model.words.source=hash", "seed=1"))]


def test_without_the_weights(tmp_path):
    (tmp_path / "ours.yaml").write_text("input_size: 416\n")
    typed = [str(tmp_path / "none.h5"), str(tmp_path / "out"), "--config", str(tmp_path / "ours.yaml")]
    result = CliRunner().invoke(main, ["convert", *typed])
    assert result.exit_code == 1
    assert "none.h5" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "out").exists()
