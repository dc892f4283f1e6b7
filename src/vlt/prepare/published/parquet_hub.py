"""Parquet files of data sets of the Hugging Face hub: listed, chosen by their splits, and downloaded into its cache."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from vlt.config.section import as_url
from vlt.errors import DataError
from vlt.hub import HUB_SCHEME, HubName, hub_errors, import_hub, parse_hub_name
from vlt.prepare.published.parquet_files import ENDING, PARTIAL, parse_name, select_splits, split_names
from vlt.version import __version__

CONVERTED = "refs/convert/parquet"
"""Branch in which the hub keeps the files of a data set of another format, converted to Parquet."""


class Source(NamedTuple):
    """Parquet files, or folders of them, that were named together.

    Attributes:
        name: the path, or the name on the hub with the commit.
        paths: the same path, or those of the downloaded files.
    """

    name: str
    paths: list[Path]


def find_source(place: Path | str, splits: Sequence[str]) -> Source:
    """Return the place of Parquet files on this machine; those of a data set of the hub are downloaded first.

    Args:
        place: a file or folder; or hf://datasets/OWNER/NAME or hf://datasets/OWNER/NAME@REVISION.
        splits: names of the splits that are needed; empty: all. No files of others are downloaded.

    Raises:
        DataError: the name has another form; huggingface_hub is not installed; there is no such data set or revision,
            or it cannot be read; it has no Parquet files, or none of a split; the hub cannot be reached.
    """
    url = as_url(place)
    if url is None or not url.startswith(HUB_SCHEME):
        return Source(str(place), [Path(place)])
    name = parse_hub_name(url, "data set")
    hub = import_hub(str(name), DataError)
    commit, names = list_files(hub, name)
    chosen = [str(path) for path in choose_files(name, names, splits)]
    with hub_errors(name, "downloaded"):
        folder = hub.snapshot_download(
            name.repo,
            repo_type="dataset",
            revision=commit,
            allow_patterns=[glob.escape(each) for each in chosen],
            library_name="vlt",
            library_version=__version__,
        )
    return Source(str(name._replace(revision=commit)), [Path(folder, each) for each in chosen])


def list_files(hub: Any, name: HubName) -> tuple[str, list[str]]:
    """List the Parquet files of a data set; where it has none, and no revision is given, those that the hub converted.

    Args:
        hub: the module huggingface_hub.
        name: name of the data set.

    Returns:
        The commit, and the names of the files in it.

    Raises:
        DataError: there is no such data set or revision; it has no Parquet files, or only a part of it was converted;
            the hub cannot be reached.
    """
    api = hub.HfApi(library_name="vlt", library_version=__version__)
    with hub_errors(name, "downloaded"):
        info = api.dataset_info(name.repo, revision=name.revision)
        names = parquet_names(info)
        if names:
            return info.sha, names
        if name.revision is None:
            with suppress(hub.errors.RevisionNotFoundError):
                info = api.dataset_info(name.repo, revision=CONVERTED)
                names = parquet_names(info)
    if not names:
        remedy = "leave the revision out" if name.revision else "download it, and convert it or name another data set"
        raise DataError(f"{name} has no file *{ENDING}; {remedy}.")
    partial = next((each for each in names if f"/{PARTIAL}" in each), None)
    if partial:
        raise DataError(
            f"The hub has converted only a part of {name} to Parquet ({partial}); download the data set, and convert "
            "all of it."
        )
    configurations = sorted({each.partition("/")[0] for each in names})
    if len(configurations) > 1:
        raise DataError(
            f"{name} has several configurations, {', '.join(configurations)}, whose ids may collide; download the "
            f"files of one from its branch {CONVERTED}, and name their folder."
        )
    return info.sha, names


def parquet_names(info: Any) -> list[str]:
    """List the Parquet files of what the hub states of a data set, in alphabetical order."""
    return sorted(each.rfilename for each in info.siblings or () if each.rfilename.endswith(ENDING))


def choose_files(name: HubName, names: Sequence[str], splits: Sequence[str]) -> list[Path]:
    """Choose the files of some splits.

    Args:
        name: name of the data set, for errors.
        names: names of its files.
        splits: names of the splits; empty: all.

    Returns:
        Names of files. With those of testA, or of a test that may be called testA, come those of testB, by which
        `vlt.prepare.published.parquet.name_test_split` decides.

    Raises:
        DataError: the name of a file states no split; there is no file of one of the splits; the files are of several
            data sets, by their names.
    """
    try:
        files = [parse_name(Path(each)) for each in names]
        present, wanted = split_names(files), list(splits)
        if "test" in present and "testA" not in present and {"test", "testA"} & {*splits}:
            wanted = [split for split in splits if split not in ("test", "testA")]
            wanted += [split for split in ("test", "testB") if split in present]
        chosen = select_splits(files, wanted)
    except DataError as error:
        raise DataError(f"{name}: {error}") from None
    data_sets = sorted({file.dataset for file in chosen})
    if len(data_sets) > 1:
        raise DataError(
            f"{name} has files of several data sets, {', '.join(data_sets)}; download those of one, and name them."
        )
    return [file.path for file in chosen]
