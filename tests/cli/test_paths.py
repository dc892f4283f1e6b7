"""Paths on the command line: the home folder, and URLs in place of a path."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from vlt.cli import main

PREPARE = ["prepare", "coco", "--instances", "i.json", "--images", "images"]


@pytest.mark.parametrize(
    "arguments",
    [
        [*PREPARE, "--output-dir", "URL"],
        ["prepare", "refer", "--output-dir", "o", "--dataset", "refcoco", "--split", "unc", "--data-root", "URL"],
        ["predict", "a.jpg", "cup", "--checkpoint", "URL"],
        ["predict", "a.jpg", "cup", "--output", "URL"],
        ["train", "URL"],
        ["test", "URL"],
        ["info", "URL"],
        ["pack", "URL", "packed"],
        ["ablate", "URL"],
        ["convert", "URL", "out", "--config", "original.yaml"],
    ],
)
def test_a_url_in_place_of_a_path_is_refused(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    url = "https://example.org//models/tiny.yaml"
    result = CliRunner().invoke(main, [url if each == "URL" else each for each in arguments])
    assert result.exit_code == 2
    assert f"{url} is a URL, which is not supported" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments", [["info", "~/nothing"], ["train", "~/nothing"], ["predict", "a.jpg", "x", "--output=~/no/x.png"]]
)
def test_a_leading_tilde_is_the_home_folder(arguments, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    result = CliRunner().invoke(main, arguments)
    assert str(tmp_path) in result.stderr
    assert not Path("~").exists()
