"""Reader of street-fashion parsing data sets: images of one person each, with a garment label per pixel.

<root>/images/<number>.jpg   the images
<root>/labels/<number>.png   8-bit, a label per pixel, 0 for the background
<root>/labels.json           {"<label>": "<name>"}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as PILImage
from pydantic import TypeAdapter, ValidationError

from vlt.data.image import read_image
from vlt.errors import DataError
from vlt.files import malformed, read_bytes
from vlt.prepare.instances import Id
from vlt.synth.scenes.picture import Layer, Picture
from vlt.types import Mask

EVERYDAY: Mapping[str, str] = {
    "cape": "coat", "clogs": "shoes", "flats": "shoes", "loafers": "shoes", "pumps": "heels", "wedges": "heels",
}  # fmt: skip
"""Nouns that replace rare label names in expressions."""

UNUSED = frozenset(
    {"accessories", "bra", "bracelet", "earrings", "hair", "intimate", "necklace", "null", "panties", "ring", "skin",
     "wallet", "watch"}
)  # fmt: skip
"""Names of labels that are no garments, or that expressions do not mention."""

WOMENS = frozenset({"bra", "dress", "heels", "pumps", "purse", "skirt", "stockings", "tights", "wedges"})
"""Names of labels that only women wear in these images."""


@dataclass(frozen=True, slots=True)
class FashionPhoto:
    """An image of one person.

    Attributes:
        photo: path of the image.
        labels: path of the label image.
        names: name of each label.
        category: contiguous index of the category "person", -1 if there is none.
    """

    photo: Path
    labels: Path
    names: Mapping[int, str]
    category: int

    @property
    def id(self) -> Id:
        """Id of the image: the number in its file name, or the whole stem if that is no number."""
        return int(self.photo.stem) if self.photo.stem.isdecimal() else self.photo.stem

    @property
    def name(self) -> str:
        """File name of the image."""
        return self.photo.name

    def read(self) -> Picture:
        """Read the image with the person and their garments; without an object if no pixel has a label.

        The person is a "woman" if a label in the image is one of `WOMENS`, else a "person".

        Raises:
            InputError: the image cannot be read.
            DataError: the labels cannot be read, or are of another size than the image.
        """
        image = read_image(self.photo)
        try:
            with PILImage.open(self.labels) as file:
                labels = np.asarray(file.convert("L"))
        except (OSError, ValueError, SyntaxError) as error:
            raise DataError(f"The labels {self.labels} cannot be read ({error}); copy them again.") from None
        if labels.shape != image.shape[:2]:
            sizes = " and ".join(f"{height} x {width}" for height, width in (labels.shape, image.shape[:2]))
            raise DataError(f"{self.labels} and its image have {sizes} pixels; make them one size.")
        mask = labels > 0
        if not mask.any():
            return Picture(image, ())
        present = {label: self.names[label] for label in np.unique(labels).tolist() if label in self.names}
        garments: dict[str, Mask] = {}
        for label, name in present.items():
            if name not in UNUSED:
                garment = EVERYDAY.get(name, name)
                garments[garment] = garments.get(garment, False) | (labels == label)
        noun = "woman" if WOMENS.intersection(present.values()) else "person"
        return Picture(image, (Layer(noun, self.category, mask, float(mask.sum()), garments=garments),))


def read_fashion(root: Path, category: int) -> Sequence[FashionPhoto]:
    """List the images of a street-fashion parsing data set that have labels, sorted by name.

    Args:
        root: the folder with `images/`, `labels/` and `labels.json`.
        category: contiguous index of the category "person", -1 if there is none.

    Raises:
        DataError: a folder or file is missing or malformed; no image has labels.
    """
    path = root / "labels.json"
    try:
        names = TypeAdapter(dict[int, str]).validate_json(read_bytes(path))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}; it names the labels.") from None
    except ValidationError as error:
        raise malformed(path, error, "an object of label and name is needed") from None
    photos = {photo.stem: photo for photo in sorted((root / "images").glob("*.jpg"))}
    labelled = [labels for labels in sorted((root / "labels").glob("*.png")) if labels.stem in photos]
    if not labelled:
        raise DataError(f"{root} has no image images/NAME.jpg with labels/NAME.png; name the folder that holds both.")
    return [FashionPhoto(photos[labels.stem], labels, names, category) for labels in labelled]
