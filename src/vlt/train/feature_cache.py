"""Feature cache: frozen networks whose outputs are kept, those of images on disk and those of texts in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from vlt.errors import ConfigError, DataError
from vlt.files import make_folder, replacing
from vlt.model.backbone import Backbone
from vlt.model.detector import Detections, Detector
from vlt.model.language import BertEncoder, TextFeatures
from vlt.model.layers import Freezable

MAX_TEXTS = 2**16
"""Texts whose states are cached; with 384 channels they take about 0.5 GB. Later ones are encoded anew each time."""
MIN_TOKENS = 4
"""Shorter texts are padded to this many tokens: alone in a batch they would be rounded in another way."""


class ImageKeys:
    """Hashes of the content of images; the last ones are kept, since several caches look up the same images."""

    def __init__(self) -> None:
        self._last: tuple[Tensor, list[str]] | None = None

    def __call__(self, images: Tensor) -> list[str]:
        """Return the hash of each image of (U, 3, H, W), in hexadecimal."""
        if self._last is None or self._last[0] is not images:
            pixels = images.cpu().contiguous().numpy()
            self._last = images, [hashlib.blake2b(memoryview(x), digest_size=16).hexdigest() for x in pixels]
        return self._last[1]


class FeatureFiles:
    """Files with the features of images, keyed by the content of the image. Several processes may share a folder.

    Args:
        network: computes the features; other weights lead to other files.
        folder: where the files are stored; made if it does not exist.
        settings: all else that the features depend on.
        keys: names the files; caches of the same images may share one.

    Raises:
        DataError: the folder cannot be made.
    """

    def __init__(self, network: nn.Module, folder: Path, settings: str, keys: ImageKeys) -> None:
        digest = hashlib.blake2b(settings.encode(), digest_size=8)
        for name, value in network.state_dict().items():
            digest.update(name.encode())
            digest.update(value.cpu().numpy().tobytes())
        self.folder = folder / digest.hexdigest()
        self.keys = keys
        make_folder(self.folder)

    def look_up(self, images: Tensor, compute: Callable[[Tensor], Sequence[Tensor]]) -> list[Tensor]:
        """Return the features of images, from their files or computed and stored.

        Those of an image are computed without other images, and read back even when just computed, so that training
        does not depend on whether they were stored.

        Args:
            images: (U, 3, H, W).
            compute: images (1, 3, H, W) to features, each (1, ...), without gradients.

        Returns:
            The features, each (U, ...), as stored, on the device of the images.

        Raises:
            DataError: a file that cannot be read or written.
        """
        found = []
        for image, key in zip(images, self.keys(images), strict=True):
            path = self.folder / f"{key}.safetensors"
            if not path.exists():
                with torch.no_grad():
                    computed = compute(image[None])
                with replacing(path) as file:
                    file.write(save({f"{level:02d}": x[0].contiguous() for level, x in enumerate(computed)}))
            try:
                stored = load_file(path)
            except (SafetensorError, OSError) as error:
                raise DataError(f"The cached features {path} cannot be read ({error}); remove the file.") from None
            found.append([stored[level] for level in sorted(stored)])
        with torch.autocast("cpu", enabled=False):  # which does not stack half precision
            return [torch.stack(level).to(images.device) for level in zip(*found, strict=True)]


class CachedBackbone(Backbone):
    """A frozen backbone with a disk cache of its feature maps, see `FeatureFiles`.

    Its parameters have the names of the wrapped backbone's, so that checkpoints with and without a cache are alike.
    The maps are stored in half precision.

    Args:
        backbone: frozen; other weights lead to other files.
        folder: where the maps are stored; made if it does not exist. A map of 384 channels at 32 x 32 takes 0.8 MB.
        settings: all else that the maps depend on: depths read, size, precision.
        keys: see `FeatureFiles`.

    Raises:
        ConfigError: a backbone that trains, whose maps change at every step.
        DataError: the folder cannot be made.
    """

    def __init__(self, backbone: Backbone, folder: Path, settings: str, keys: ImageKeys) -> None:
        if any(parameter.requires_grad for parameter in backbone.parameters()):
            raise ConfigError(
                "train.map_cache keeps the feature maps of a frozen backbone, but this one trains; "
                "set model.backbone.trainable_blocks to 0 or leave train.map_cache out."
            )
        super().__init__(
            channels=backbone.channels,
            strides=backbone.strides,
            mean=backbone.mean.flatten().tolist(),
            std=backbone.std.flatten().tolist(),
        )
        self._wrapped = (backbone,)  # a tuple, which PyTorch does not look into: a child would rename the parameters
        for name, part in backbone.named_children():
            self.add_module(name, part)
        self.files = FeatureFiles(backbone, folder, settings, keys)
        self.train_last(0)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Look up the feature maps of each image, or compute and store them; otherwise as `Backbone.forward`.

        Raises:
            DataError: a file that cannot be read or written.
        """
        forward = super().forward
        return tuple(x.float() for x in self.files.look_up(images, lambda one: [x.half() for x in forward(one)]))

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
        settings: all else that they depend on: size of the input; they are float32 under any precision.
        keys: see `FeatureFiles`.

    Raises:
        DataError: the folder cannot be made.
    """

    def __init__(self, detector: Detector, folder: Path, settings: str, keys: ImageKeys) -> None:
        nn.Module.__init__(self)
        self.side, self.count, self.floor = detector.side, detector.count, detector.floor
        for name, part in detector.named_children():
            self.add_module(name, part)
        for name, buffer in detector.named_buffers(recurse=False):
            self.register_buffer(name, buffer, persistent=False)
        numbers = f"{settings}, side {detector.side}, count {detector.count}, floor {detector.floor}"
        self.files = FeatureFiles(detector, folder, numbers, keys)

    def forward(self, images: Tensor) -> Detections:
        """Look up the detections of each image, or compute and store them; otherwise as `Detector.forward`.

        Raises:
            DataError: a file that cannot be read or written.
        """
        return Detections(*self.files.look_up(images, super().forward))


class CachedLanguage(BertEncoder):
    """A BERT-family encoder with a frozen network, whose states are cached in memory, in half precision on the CPU.

    Its parameters have the names of the wrapped encoder's, as in `CachedBackbone`; copies begin without cached states.

    Args:
        encoder: its network is frozen; its projection may train.
    """

    def __init__(self, encoder: BertEncoder) -> None:
        Freezable.__init__(self)
        self.dim, self.state_dim = encoder.dim, encoder.state_dim
        self.network, self.project = encoder.network, encoder.project
        self.cached: dict[tuple[int, ...], Tensor] = {}
        self.train_last(0)

    def __getstate__(self) -> dict[str, Any]:
        """Return what is copied and pickled."""
        return {**self.__dict__, "cached": {}}

    def forward(self, words: Tensor, word_mask: Tensor | None) -> TextFeatures:
        """Look up the states of each text, or compute and cache them; otherwise as `BertEncoder.forward`.

        States of padding are zero.
        """
        lengths = [words.shape[1]] * len(words) if word_mask is None else word_mask.sum(dim=1).tolist()
        texts = [tuple(row[:length]) for row, length in zip(words.tolist(), lengths, strict=True)]
        known = {text: self.cached[text] for text in texts if text in self.cached}
        known |= self.compute([text for text in dict.fromkeys(texts) if text not in known], words.device)
        if len(self.cached) < MAX_TEXTS:
            self.cached |= known
        stacked = pad_sequence([known[text] for text in texts], batch_first=True)  # (B, longest, state_dim)
        states = F.pad(stacked, (0, 0, 0, words.shape[1] - stacked.shape[1])).to(words.device).float()
        return TextFeatures(self.project(states), word_mask, states)

    def compute(self, texts: Sequence[tuple[int, ...]], device: torch.device) -> dict[tuple[int, ...], Tensor]:
        """Compute the states of texts, those of one length at a time: without padding it takes less than half as long.

        Args:
            texts: token ids of each, without padding.
            device: the network's.

        Returns:
            For each text its states (T, state_dim), float16 on the CPU.
        """
        states: dict[tuple[int, ...], Tensor] = {}
        for length in sorted({len(text) for text in texts}):
            group = [text for text in texts if len(text) == length]
            words = F.pad(torch.tensor(group, device=device), (0, max(0, MIN_TOKENS - length)))
            attended = (torch.arange(words.shape[1], device=device) < length).long().expand_as(words)
            with torch.no_grad():
                output = self.network(input_ids=words, attention_mask=attended).last_hidden_state
            states |= zip(group, output[:, :length].half().cpu(), strict=True)
        return states
