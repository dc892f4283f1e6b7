"""The page in the package is what `web/` builds, with the npm packages that its lock file names."""

import shutil
import subprocess
from pathlib import Path

import pytest

from vlt.export.web import PAGE

WEB = Path(__file__).parents[2] / "web"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("npm") is None, reason="there is no npm")
def test_the_built_page_is_up_to_date(tmp_path):
    shutil.copytree(WEB, tmp_path / "web", ignore=shutil.ignore_patterns("node_modules"))
    for name in ("LICENSE", "NOTICE"):
        shutil.copy(WEB.parent / name, tmp_path)
    for command in (["npm", "ci", "--no-audit", "--no-fund"], ["npm", "run", "build"]):
        done = subprocess.run(command, cwd=tmp_path / "web", capture_output=True, text=True, check=False, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
    built = tmp_path / "src" / "vlt" / "export" / "page"
    assert {path.name for path in built.iterdir()} == {path.name for path in PAGE.iterdir()}
    assert [path.name for path in built.iterdir() if path.read_bytes() != (PAGE / path.name).read_bytes()] == []
