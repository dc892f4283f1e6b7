"""Copy a checkpoint with a model card, and upload the copy to the Hugging Face hub."""

from __future__ import annotations

import shutil
import tempfile
from fnmatch import fnmatch
from pathlib import Path

from vlt.checkpoint.directory import is_checkpoint, whole_directory
from vlt.checkpoint.hub import README, check_upload, file_patterns, upload_checkpoint
from vlt.checkpoint.model_card import model_card
from vlt.checkpoint.opened import OpenedCheckpoint, open_checkpoint, verify_files
from vlt.errors import CheckpointError
from vlt.hub import HubName, parse_hub_name


def copy_checkpoint(source: Path | str | None, folder: Path | str) -> None:
    """Copy the files of a checkpoint, unchanged, and write its model card beside them.

    Args:
        source: see `vlt.checkpoint.find_checkpoint`.
        folder: to be made; it may be an empty directory.

    Raises:
        CheckpointError: `source` is missing or damaged; the folder exists, or cannot be written.
    """
    folder = Path(folder).expanduser()
    if is_checkpoint(folder):
        raise CheckpointError(f"{folder} is a checkpoint and would be replaced; name a folder that does not exist yet.")
    opened = open_checkpoint(source)
    verify_files(opened.path, opened.hashes)
    write_copy(opened, folder)


def write_copy(opened: OpenedCheckpoint, folder: Path, name: HubName | None = None) -> None:
    """Write the copy of `copy_checkpoint`.

    Args:
        opened: the checkpoint, whose files were verified.
        folder: to be made.
        name: name on the hub, for the card; None: not known.

    Raises:
        CheckpointError: the folder cannot be written, or holds something.
    """
    patterns = file_patterns(opened.path)
    card = model_card(opened, name)
    with whole_directory(folder) as temporary:
        for path in sorted(opened.path.rglob("*")):
            relative = path.relative_to(opened.path).as_posix()
            if path.is_file() and any(fnmatch(relative, pattern) for pattern in patterns):
                (temporary / relative).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, temporary / relative)
        (temporary / README).write_text(card, encoding="utf-8")


def push_checkpoint(source: Path | str | None, name: str, *, private: bool = False, message: str | None = None) -> str:
    """Upload a checkpoint to the Hugging Face hub, with a model card.

    Args:
        source: see `vlt.checkpoint.find_checkpoint`.
        name: OWNER/NAME.
        private: make a new repository private.
        message: message of the commit; None: the version of this package.

    Returns:
        The address of the repository.

    Raises:
        CheckpointError: `source` is missing or damaged; see `vlt.checkpoint.hub.upload_checkpoint`.
    """
    hub_name = parse_hub_name(name)
    check_upload(hub_name)
    opened = open_checkpoint(source)
    verify_files(opened.path, opened.hashes)
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "checkpoint"
        write_copy(opened, folder, hub_name)
        return upload_checkpoint(folder, hub_name, private=private, message=message)
