"""Feature cache: frozen networks whose outputs are kept on disk, one file per image."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from vlt.errors import ConfigError, DataError
from vlt.files import make_folder, replacing
from vlt.model.backbone import Backbone
from vlt.model.detector import Detections, Detector


class FeatureFiles:
    """Files with the features of images, keyed by the content of the image. Several processes may share a folder.

    Args:
        network: computes the features; other weights lead to other files.
        folder: where the files are stored; made if it does not exist.
        settings: all else that the features depend on.

    Raises:
        DataError: the folder cannot be made.
    """

    def __init__(self, network: nn.Module, folder: Path, settings: str) -> None:
        digest = hashlib.blake2b(settings.encode(), digest_size=8)
        for name, value in network.state_dict().items():
            digest.update(name.encode())
            digest.update(value.cpu().numpy().tobytes())
        self.folder = folder / digest.hexdigest()
        make_folder(self.folder)

    def look_up(self, image: Tensor, compute: Callable[[Tensor], Sequence[Tensor]]) -> list[Tensor]:
        """Return the features of an image, from its file or computed and stored.

        They are read back even when just computed, so that training does not depend on whether they were stored.

        Args:
            image: (3, H, W).
            compute: images (1, 3, H, W) to features, each (1, ...), without gradients.

        Returns:
            The features without their first dimension, on the CPU.

        Raises:
            DataError: a file that cannot be read or written.
        """
        content = hashlib.blake2b(image.cpu().numpy().tobytes(), digest_size=16).hexdigest()
        path = self.folder / f"{content}.safetensors"
        if not path.exists():
            with torch.no_grad():
                computed = compute(image[None])
            with replacing(path) as file:
                file.write(save({f"{level:02d}": x[0].contiguous() for level, x in enumerate(computed)}))
        try:
            stored = load_file(path)
        except (SafetensorError, OSError) as error:
            raise DataError(f"The cached features {path} cannot be read ({error}); remove the file.") from None
        return [stored[level] for level in sorted(stored)]


class CachedBackbone(Backbone):
    """A frozen backbone with a disk cache of its feature maps, see `FeatureFiles`.

    Its parameters have the names of the wrapped backbone's, so that checkpoints with and without a cache are alike.
    The maps of an image are computed without those of others, and stored in half precision.

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
        self.files = FeatureFiles(backbone, folder, settings)
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
        forward = super().forward
        return [x.float() for x in self.files.look_up(image, lambda one: [x.half() for x in forward(one)])]

    def maps(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Compute the maps of normalised pixels (B, 3, H, W)."""
        return self._wrapped[0].maps(pixels)

    def blocks(self) -> list[nn.Module]:
        """Return the blocks of the wrapped backbone."""
        return self._wrapped[0].blocks()


class CachedDetector(Detector):
    """A detector with a disk cache of its detections, see `FeatureFiles`; otherwise like the one it wraps.

    Args:
        detector: other weights or numbers lead to other files.
        folder: where the detections are stored, about 11 KB per image.
        settings: all else that they depend on: size of the input, precision.

    Raises:
        DataError: the folder cannot be made.
    """

    def __init__(self, detector: Detector, folder: Path, settings: str) -> None:
        nn.Module.__init__(self)
        self._wrapped = (detector,)  # see CachedBackbone
        for name, part in detector.named_children():
            self.add_module(name, part)
        numbers = f"{settings}, side {detector.side}, count {detector.count}, floor {detector.floor}"
        self.files = FeatureFiles(detector, folder, numbers)

    def forward(self, images: Tensor) -> Detections:
        """Look up the detections of each image, or compute and store them; otherwise as `Detector.forward`.

        Raises:
            DataError: a file that cannot be read or written.
        """
        found = [self.files.look_up(image, self._wrapped[0]) for image in images]
        return Detections(*(torch.stack(part).to(images.device) for part in zip(*found, strict=True)))
