"""Export a checkpoint with graphs as a page that runs in a browser. Needs no torch."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from vlt.checkpoint.directory import (
    EXPRESSION_GRAPH,
    IMAGE_GRAPH,
    OUTLINE_GRAPH,
    OUTLINE_IMAGE_GRAPH,
    REFINER,
    WEIGHTS,
)
from vlt.checkpoint.opened import OpenedCheckpoint, open_checkpoint, verify_files
from vlt.config.model import ReferenceConfig
from vlt.errors import CheckpointError, ConfigError
from vlt.infer.loading import FAST
from vlt.text.reader import TOKENIZER_CONFIG, TOKENIZER_FILE, TOKENIZER_FOLDER, TokenReader, padded_length

PAGE = Path(__file__).parent / "page"
"""The built page; `npm run build` in web/ of the repository makes it."""
FILES = (
    *(IMAGE_GRAPH, EXPRESSION_GRAPH, OUTLINE_IMAGE_GRAPH, OUTLINE_GRAPH, WEIGHTS, REFINER),
    *(f"{TOKENIZER_FOLDER}/{TOKENIZER_FILE}", f"{TOKENIZER_FOLDER}/{TOKENIZER_CONFIG}"),
)
"""Files of the checkpoint that the page reads."""
SETTINGS = ("threshold", "presence", "temperature", "agreement")
"""Settings of prediction that the page takes over from the checkpoint; the others are those of `FAST`."""
MODEL = "model"
SETTINGS_FILE = f"{MODEL}/settings.json"
"""Where the page finds the model, and what it needs to know of it."""
SPECIAL_TOKENS = 2
"""Number of tokens that the tokenizer adds: one before the words and one after."""


def export_page(source: Path | str | None, folder: Path | str) -> int:
    """Write a folder of static files: the page, the program that it runs, and the model.

    Args:
        source: a checkpoint with graphs; None: the model in the package.
        folder: the directory to write; it must be missing or empty, or hold an earlier page.

    Returns:
        Bytes written.

    Raises:
        CheckpointError: `source` cannot be read; the folder holds something else or cannot be written.
        ConfigError: the page cannot run this network.
    """
    opened, folder = open_checkpoint(source), Path(folder)
    check_runs_in_page(opened)
    verify_files(opened.path, opened.hashes)
    is_free = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    if not is_free and not (folder / SETTINGS_FILE).is_file():
        raise CheckpointError(f"{folder} exists and holds something else; name a folder that does not exist yet.")
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        shutil.copytree(PAGE, temporary)
        for name in FILES:
            target = temporary / MODEL / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(opened.path / name, target)
        licences = "".join(f"{each}\n" for each in opened.meta.get("licences", []))
        (temporary / MODEL / "NOTICE").write_text(licences, encoding="utf-8")
        (temporary / SETTINGS_FILE).write_text(json.dumps(page_settings(opened), indent=1), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    except OSError as error:
        raise CheckpointError(f"The page could not be written to {folder}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def check_runs_in_page(opened: OpenedCheckpoint) -> None:
    """Check that a checkpoint has all that the page needs.

    Raises:
        ConfigError: no graphs, no choice among candidates, no refiner, or word vectors instead of a tokenizer.
    """
    if not (opened.path / IMAGE_GRAPH).is_file():
        raise ConfigError(f"{opened.path} has no graphs, which the page runs; `vlt export CHECKPOINT OUT` makes them.")
    model, text = opened.config.model, opened.text
    chooses = not isinstance(model, ReferenceConfig) and model.candidates is not None
    refines = opened.config.inference.refine and (opened.path / OUTLINE_GRAPH).is_file()
    reads = isinstance(text, TokenReader) and text.tokenizer.num_special_tokens_to_add(False) == SPECIAL_TOKENS
    if not (chooses and refines and reads and padded_length(model) is None):
        raise ConfigError(
            "The page runs networks with candidates, a refiner that is switched on, and a tokenizer that adds a token "
            f"before and after, as the model in the package has; {opened.path} is not one."
        )


def page_settings(opened: OpenedCheckpoint) -> dict[str, Any]:
    """Collect what the page needs to know of a checkpoint, see `Settings` in web/src/predict.ts."""
    inference = opened.config.inference
    return {
        "input_size": opened.config.input_size,
        "max_words": opened.text.max_words,
        **{name: getattr(inference, name) for name in SETTINGS},
        "refine_side": FAST["refine_side"],
        "files": {name: {"size": (opened.path / name).stat().st_size, "sha256": opened.hashes[name]} for name in FILES},
    }
