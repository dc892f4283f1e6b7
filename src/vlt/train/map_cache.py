"""A frozen backbone's maps, kept on disk: a photo that comes again costs a file's reading."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from vlt.errors import ConfigError, DataError
from vlt.files import make_folder, replacing
from vlt.model.backbone import Backbone


class MapCache:
    """Maps by the content of photo and backbone, in half precision, a file per photo.

    A photo's maps are computed alone and pass through half precision the first time too, so that a run that finds
    them and one that makes them learn the same. Several processes may share a folder.

    Args:
        folder: to keep them in; made where it does not exist. A map of 384 channels at 32 x 32 takes 0.8 MB.
        backbone: frozen; other weights make other files.
        settings: all else that its maps depend on, and weights do not show: which depths are read, the precision.

    Raises:
        ConfigError: a backbone that trains, whose maps change at every step.
        DataError: the folder cannot be made.
    """

    def __init__(self, folder: Path, backbone: Backbone, settings: str) -> None:
        if any(parameter.requires_grad for parameter in backbone.parameters()):
            raise ConfigError(
                "train.map_cache keeps the maps of a frozen backbone, but this one trains; "
                "set model.backbone.trainable_blocks to 0 or leave train.map_cache out."
            )
        self._folder = folder / _digest(backbone, settings)
        make_folder(self._folder)

    def __call__(self, images: Tensor, perceive: Callable[[Tensor], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """The maps of photos, from disk where they are known.

        Args:
            images: (B, 3, H, W) float32 in [0, 1].
            perceive: computes the maps of (B, 3, H, W).

        Raises:
            DataError: a file that cannot be read or written.
        """
        known = [self._recall(image, perceive) for image in images]
        return tuple(torch.stack(level).to(images.device) for level in zip(*known, strict=True))

    def _recall(self, image: Tensor, perceive: Callable[[Tensor], tuple[Tensor, ...]]) -> list[Tensor]:
        content = hashlib.blake2b(image.cpu().numpy().tobytes(), digest_size=16).hexdigest()
        path = self._folder / f"{content}.safetensors"
        if not path.exists():
            with torch.no_grad():
                maps = {f"{level:02d}": x[0].half().contiguous() for level, x in enumerate(perceive(image[None]))}
            with replacing(path) as file:
                file.write(save(maps))
        try:
            maps = load_file(path)
        except (SafetensorError, OSError) as error:
            raise DataError(f"The cached maps {path} cannot be read ({error}); remove the file.") from None
        return [maps[level].float() for level in sorted(maps)]


def _digest(backbone: Backbone, settings: str) -> str:
    digest = hashlib.blake2b(settings.encode(), digest_size=8)
    for name, value in backbone.state_dict().items():
        digest.update(name.encode())
        digest.update(value.cpu().numpy().tobytes())
    return digest.hexdigest()
