"""The types of every path and of every name of the Hugging Face hub on the command line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click


class LocalPath(click.Path):
    """A local file or folder. A leading `~` is the home folder, which shells leave alone in `--option=~/x`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Convert an argument to a `Path`; a URL is refused, since it would become a folder such as `https:`."""
        from vlt.config.section import as_url, expand_home

        if url := as_url(value):
            self.fail(f"{url} is a URL, which is not supported; download it and give its path.", param, ctx)
        return expand_home(Path(os.fsdecode(super().convert(value, param, ctx))))


class HubPath(LocalPath):
    """A path; or a name of the Hugging Face hub, which begins with `hf://` and stays text."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Convert an argument to a `Path`, or to text where it is a name of the hub."""
        from vlt.hub import HUB_SCHEME

        return value if str(value).startswith(HUB_SCHEME) else super().convert(value, param, ctx)
