"""Checkpoints on the Hugging Face hub: their download and upload; `vlt.hub` has their names."""

from __future__ import annotations

from pathlib import Path

from vlt.checkpoint.directory import (
    CONFIG,
    EXPRESSION_GRAPH,
    IMAGE_GRAPH,
    META,
    NOTICES,
    REFINER_FILES,
    WEIGHTS,
    is_checkpoint,
)
from vlt.checkpoint.opened import read_meta
from vlt.config.section import as_url
from vlt.errors import CheckpointError
from vlt.hub import HubName, hub_errors, import_hub, parse_hub_name
from vlt.text.reader import TOKENIZER_FOLDER, VOCABULARY_FILE
from vlt.version import __version__

README = "README.md"
"""The model card, which the hub shows."""
UNHASHED = (*REFINER_FILES, VOCABULARY_FILE, f"{TOKENIZER_FOLDER}/*")
"""Files of a checkpoint of version 0.1, whose meta.json does not list them."""
REPLACED = (WEIGHTS, IMAGE_GRAPH, EXPRESSION_GRAPH, *UNHASHED)
"""Files that an upload removes from the repository where the new checkpoint lacks them."""


def local_or_hub_name(name_or_folder: Path | str, revision: str | None = None) -> Path | str:
    """Resolve a name as the hub's libraries do: a folder that exists is itself, and anything else a model of the hub.

    Args:
        name_or_folder: a folder, or OWNER/NAME with or without `vlt.hub.HUB_SCHEME`.
        revision: a branch, a tag or a commit; None: the newest, or that of the name.

    Returns:
        What `vlt.checkpoint.find_checkpoint` takes.

    Raises:
        CheckpointError: a revision of a folder, or a second one; neither a folder nor the form of a name.
    """
    if Path(name_or_folder).expanduser().exists():
        if revision is not None:
            raise CheckpointError(
                f"{name_or_folder} is a local folder, which has no revision {revision!r}; leave it out."
            )
        return name_or_folder
    try:
        name = parse_hub_name(as_url(name_or_folder) or str(name_or_folder))
    except CheckpointError:
        raise CheckpointError(
            f"{str(name_or_folder)!r} is neither a folder that exists nor the name OWNER/NAME of a model of the hub."
        ) from None
    return str(parse_hub_name(f"{name.repo}@{revision}") if revision is not None else name)


def file_patterns(folder: Path) -> list[str]:
    """List the files of a checkpoint, as patterns of names relative to its folder with `/` between their parts.

    Args:
        folder: has a meta.json; the other files need not be there.

    Raises:
        CheckpointError: meta.json is damaged, or of a newer format.
    """
    return [META, CONFIG, WEIGHTS, *(read_meta(folder).get("sha256") or UNHASHED), *NOTICES]


def download_checkpoint(name: str | HubName) -> Path:
    """Download the files of a checkpoint into the cache of huggingface_hub; what is there already is not fetched again.

    Args:
        name: see `parse_hub_name`.

    Returns:
        The folder of the checkpoint in the cache, whose name is the commit; not to be written to.

    Raises:
        CheckpointError: the name has another form; huggingface_hub is not installed; there is no such model or
            revision, or it is not a checkpoint of this package; the hub cannot be reached.
    """
    hub_name = parse_hub_name(name) if isinstance(name, str) else name
    hub = import_hub(str(hub_name))
    options = {"library_name": "vlt", "library_version": __version__}
    with hub_errors(hub_name, "downloaded"):
        folder = Path(
            hub.snapshot_download(hub_name.repo, revision=hub_name.revision, allow_patterns=[META], **options)
        )
    if not is_checkpoint(folder):
        raise CheckpointError(
            f"{hub_name} is no checkpoint of vlt: it has no {META}; name a model that `vlt push` uploaded."
        )
    patterns = file_patterns(folder)
    with hub_errors(hub_name, "downloaded"):
        hub.snapshot_download(hub_name.repo, revision=folder.name, allow_patterns=patterns, **options)
    return folder


def check_upload(name: HubName) -> None:
    """Check that huggingface_hub is installed and has a token, and that the name has no revision.

    Raises:
        CheckpointError: one of these is not so.
    """
    hub = import_hub(f"Uploading to {name}")
    if name.revision:
        raise CheckpointError(f"{name} names a revision, but an upload makes a new one; leave @{name.revision} out.")
    if hub.get_token() is None:
        raise CheckpointError(
            f"Uploading to {name} needs a token of the hub, and none is stored; `hf auth login` stores one, or set "
            "HF_TOKEN."
        )


def upload_checkpoint(folder: Path, name: HubName, *, private: bool = False, message: str | None = None) -> str:
    """Upload a checkpoint in one commit, into a repository that is made where there is none.

    Args:
        folder: a checkpoint with nothing else but its model card; see `vlt.checkpoint.share.copy_checkpoint`.
        name: the repository; one that exists must be empty or a checkpoint, of which the same files are replaced.
        private: make a new repository private; an existing one stays as it is.
        message: message of the commit; None: the version of this package.

    Returns:
        The address of the repository.

    Raises:
        CheckpointError: see `check_upload`; the hub cannot be reached or refuses; the repository holds something else.
    """
    check_upload(name)
    hub = import_hub(str(name))
    with hub_errors(name, "uploaded"):
        api = hub.HfApi(library_name="vlt", library_version=__version__)
        url = str(api.create_repo(name.repo, private=private or None, exist_ok=True))
        present = set(api.list_repo_files(name.repo)) - {".gitattributes", README}
    if present and META not in present:
        raise CheckpointError(f"{url} exists and is no checkpoint of vlt; choose another name, or delete it there.")
    with hub_errors(name, "uploaded"):
        api.upload_folder(
            repo_id=name.repo,
            folder_path=folder,
            commit_message=message or f"Checkpoint, uploaded by vlt {__version__}",
            delete_patterns=list(REPLACED),
        )
    return url
