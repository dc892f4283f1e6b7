"""The parts of a network that become graphs: modules from named tensors to named tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vlt.model.candidates import Candidates
from vlt.model.vlt import VLT, Features
from vlt.refine.promptable import PromptableSegmenter


@dataclass(frozen=True, slots=True)
class CandidatesOfOneImage(Candidates):
    """Candidates of one image for all of B expressions: nothing depends on an index, whose values no graph knows."""

    count: int = 1

    def of_expressions(self, x: Tensor) -> Tensor:
        """Repeat a tensor (1, ...) for each expression, (B, ...), without a copy."""
        return x.expand(self.count, *x.shape[1:])

    def by_image(self) -> tuple[Tensor, Tensor]:
        """Number the expressions: `rows` (1, B) and `places` (B,), see `Candidates.by_image`."""
        places = torch.arange(self.count, device=self.boxes.device)
        return places[None], places


class ImageGraph(nn.Module):
    """Images (U, 3, H, W) to what `ExpressionGraph` needs of them.

    Args:
        model: in eval mode.
    """

    def __init__(self, model: VLT) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Encode."""
        features = self.model.encode(images)
        found = {f"map_{level}": x for level, x in enumerate(features.maps)}
        if features.pixels is not None:
            found["pixels"] = features.pixels
        if (candidates := features.candidates) is not None:
            found |= {"boxes": candidates.boxes, "scores": candidates.scores, "valid": candidates.valid}
            found["tokens"] = candidates.tokens
            if candidates.cells is not None:
                found["cells"] = candidates.cells
        return found


class ExpressionGraph(nn.Module):
    """Features of one image and the words of B expressions about it to logits.

    Args:
        model: in eval mode.
        size: (H, W) of the input.
    """

    def __init__(self, model: VLT, size: tuple[int, int]) -> None:
        super().__init__()
        self.model = model
        self.size = size

    def forward(self, words: Tensor, word_mask: Tensor, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Segment."""
        count = words.shape[0]
        maps = [features[name] for name in features if name.startswith("map_")]
        candidates = None
        if "tokens" in features:
            candidates = CandidatesOfOneImage(
                boxes=features["boxes"],
                scores=features["scores"],
                valid=features["valid"],
                tokens=features["tokens"],
                cells=features.get("cells"),
                count=count,
            )
        pixels = features.get("pixels")
        repeated = Features(
            tuple(x.expand(count, *x.shape[1:]) for x in maps),
            None if pixels is None else pixels.expand(count, *pixels.shape[1:]),
            None,
            candidates,
            self.size,
        )
        output = self.model.segment(repeated, words, word_mask)
        found = {"masks": output.logits}
        if output.choice is not None:
            found |= {"outcomes": output.choice.existing()}
        return found


class OutlineImageGraph(nn.Module):
    """Image (1, 3, H, W) to the refiner's feature map.

    Args:
        network: in eval mode.
    """

    def __init__(self, network: PromptableSegmenter) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Encode."""
        return {"encoded": self.network.encode(image[0])}


class OutlineGraph(nn.Module):
    """Feature map of one image and N prompts to the masks of each, see `PromptableSegmenter.segment`.

    Args:
        network: in eval mode.
    """

    def __init__(self, network: PromptableSegmenter) -> None:
        super().__init__()
        self.network = network

    def forward(self, encoded: Tensor, places: Tensor, kinds: Tensor) -> dict[str, Tensor]:
        """Segment."""
        logits, quality = self.network.segment(encoded, places, kinds)
        return {"logits": logits, "quality": quality}
