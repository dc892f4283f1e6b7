"""Feature cache: a frozen backbone whose feature maps are kept on disk, one file per image."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from vlt.errors import ConfigError, DataError
from vlt.files import make_folder, replacing
from vlt.model.backbone import Backbone


class CachedBackbone(Backbone):
    """A frozen backbone with a disk cache of its feature maps, keyed by the content of the image.

    Its parameters have the names of the wrapped backbone's, so that checkpoints with and without a cache are alike.
    The maps of an image are computed without those of others and stored in half precision, and are read back even when
    just computed, so that training does not depend on whether a map was cached. Several processes may share
    a folder.

    Args:
        backbone: frozen; other weights lead to other files.
        folder: where the maps are stored; made if it does not exist. A map of 384 channels at 32 x 32 takes 0.8 MB.
        settings: all else that the maps depend on: depths read, size, precision.

    Raises:
        ConfigError: a backbone that trains, whose maps change at every step.
        DataError: the folder cannot be made.
    """

    def __init__(self, backbone: Backbone, folder: Path, settings: str) -> None:
        if any(parameter.requires_grad for parameter in backbone.parameters()):
            raise ConfigError(
                "train.map_cache keeps the feature maps of a frozen backbone, but this one trains; "
                "set model.backbone.trainable_blocks to 0 or leave train.map_cache out."
            )
        super().__init__(
            channels=backbone.channels,
            strides=backbone.strides,
            seen_coco_labels=backbone.seen_coco_labels,
            mean=backbone.mean.flatten().tolist(),
            std=backbone.std.flatten().tolist(),
        )
        self._wrapped = (backbone,)  # a tuple, which PyTorch does not look into: a child would rename the parameters
        for name, part in backbone.named_children():
            self.add_module(name, part)
        digest = hashlib.blake2b(settings.encode(), digest_size=8)
        for name, value in backbone.state_dict().items():
            digest.update(name.encode())
            digest.update(value.cpu().numpy().tobytes())
        self.folder = folder / digest.hexdigest()
        make_folder(self.folder)
        self.train_last(0)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Look up the feature maps of each image, or compute and store them; otherwise as `Backbone.forward`.

        Raises:
            DataError: a file that cannot be read or written.
        """
        found = [self.look_up(image) for image in images]
        return tuple(torch.stack(level).to(images.device) for level in zip(*found, strict=True))

    def look_up(self, image: Tensor) -> list[Tensor]:
        """Return the maps of one image (3, H, W), each (channels[i], h, w) float32 on the CPU."""
        content = hashlib.blake2b(image.cpu().numpy().tobytes(), digest_size=16).hexdigest()
        path = self.folder / f"{content}.safetensors"
        if not path.exists():
            with torch.no_grad():
                computed = super().forward(image[None])
            maps = {f"{level:02d}": x[0].half().contiguous() for level, x in enumerate(computed)}
            with replacing(path) as file:
                file.write(save(maps))
        try:
            maps = load_file(path)
        except (SafetensorError, OSError) as error:
            raise DataError(f"The cached feature maps {path} cannot be read ({error}); remove the file.") from None
        return [maps[level].float() for level in sorted(maps)]

    def maps(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Compute the maps of normalised pixels (B, 3, H, W)."""
        return self._wrapped[0].maps(pixels)

    def blocks(self) -> list[nn.Module]:
        """Return the blocks of the wrapped backbone."""
        return self._wrapped[0].blocks()
