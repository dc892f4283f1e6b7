"""A prediction: the mask for one expression, and its conversion to overlay, cutout, JSON and run lengths."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage

from vlt.errors import InputError
from vlt.geometry import Letterbox
from vlt.infer.instance import Instance, Segment
from vlt.types import Image, Mask
from vlt.visualize import PREDICTION_COLOUR, Colour, overlay

NOTEBOOK_SIDE = 800
"""Longest side of the picture that a notebook shows, in pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Prediction(Segment):
    """The mask predicted for one expression.

    Attributes:
        expression: as given.
        mask: (H, W) bool, at the image's size.
        score: in [0, 1]. Of a network that chooses among candidates: the probability of the chosen outcome (a
            candidate, or something that is no candidate), calibrated by `inference.temperature`, which is the
            probability that the mask is right; of several candidates (`inference.several`) the sum of theirs, at most
            the presence; where nothing matches, the presence. It is independent of the threshold.
            Of any other network the confidence that something matches: the mean probability inside the mask, above
            the threshold; for an empty mask the highest probability in the image, at most the threshold. Computed from
            the network's own mask, before outlines are refined. Ranks the predictions of one model; not calibrated.
        threshold: probability above which a pixel belongs to the mask.
        image: (H, W, 3) uint8 RGB, the image.
        presence: the probability that anything in the image matches, in [0, 1], calibrated by `inference.temperature`;
            None where the network does not choose among candidates.
        matches: False where the presence is below `inference.presence`: the mask is then empty at any threshold. True
            does not exclude an empty mask: no pixel may be above the threshold.
        instances: the single objects, the most probable or largest first, where `predict` got `instances=True`;
            else None.
    """

    expression: str
    mask: Mask = field(repr=False)
    score: float
    threshold: float
    image: Image = field(repr=False)
    logits: npt.NDArray[np.float32] = field(repr=False)
    """(1, h, w) float32 in the input of `letterbox`."""
    letterbox: Letterbox = field(repr=False)
    presence: float | None = None
    matches: bool = True
    instances: tuple[Instance, ...] | None = field(default=None, repr=False)

    def probability(self) -> npt.NDArray[np.float32]:
        """Compute the probability of each pixel, (H, W) float32 in [0, 1]; the mask is where it exceeds the threshold.

        There are two exceptions with an empty mask: where nothing matches (`matches` is False); and where no candidate
        was chosen and the network's own mask is empty at the threshold, whatever a refiner finds.
        """
        return self.letterbox.probability(self.logits)

    def to_dict(self) -> dict[str, Any]:
        """Return the prediction as JSON values: expression, score, box, run lengths and (height, width).

        Where the network has a presence, it and `matches` follow the score; `instances` come last, unless None.
        """
        rle = self.rle
        presence = {} if self.presence is None else {"presence": round(self.presence, 4), "matches": self.matches}
        return {
            "expression": self.expression,
            "score": round(self.score, 4),
            **presence,
            "box": self.box,
            "rle": rle,
            "size": rle["size"],
            **({} if self.instances is None else {"instances": [each.to_dict() for each in self.instances]}),
        }

    def overlay(self, colour: Colour = PREDICTION_COLOUR, alpha: float = 0.45) -> Image:
        """Draw the mask on the image.

        Args:
            colour: RGB in 0..255.
            alpha: opacity of the colour inside the mask, in [0, 1].

        Returns:
            (H, W, 3) uint8 RGB.
        """
        return overlay(self.image, self.mask, colour=colour, alpha=alpha)

    def to_supervision(self) -> Any:
        """Convert to `supervision.Detections`: one detection, none for an empty mask; or one of each instance.

        Raises:
            InputError: the package supervision is not installed.
        """
        try:
            import supervision  # noqa: PLC0415 (optional)
        except ImportError:
            raise InputError("to_supervision() needs the package supervision: `pip install supervision`.") from None
        found = [one for one in ([self] if self.instances is None else self.instances) if one.box is not None]
        if not found:
            return supervision.Detections.empty()
        return supervision.Detections(
            xyxy=np.array([one.box for one in found], np.float32),
            mask=np.stack([one.mask for one in found]),
            confidence=np.array([one.score for one in found], np.float32),
            class_id=np.zeros(len(found), np.int64),
            data={"class_name": np.array([self.expression] * len(found))},
        )

    def _repr_png_(self) -> bytes:
        """Return the overlay as PNG, for notebooks."""
        picture = PILImage.fromarray(self.overlay())
        picture.thumbnail((NOTEBOOK_SIDE, NOTEBOOK_SIDE))
        file = io.BytesIO()
        picture.save(file, format="png")
        return file.getvalue()
