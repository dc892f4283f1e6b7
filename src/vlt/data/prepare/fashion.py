"""Street-fashion photos: a person each, with a label per pixel that says which garment it is.

<root>/images/<number>.jpg   the photos
<root>/labels/<number>.png   8-bit, a label per pixel, 0 for what is not the person
<root>/labels.json           {"<label>": "<name>"}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as PILImage
from pydantic import TypeAdapter, ValidationError

from vlt.data.photo import read_image
from vlt.data.prepare.picture import Layer, Picture
from vlt.data.prepare.refer_files import Id
from vlt.data.records import malformed
from vlt.errors import DataError

GARMENTS: Mapping[str, str] = {
    "bag": "handbag", "purse": "handbag",
    "blazer": "jacket", "jacket": "jacket", "coat": "coat", "cape": "coat",
    "blouse": "shirt", "shirt": "shirt", "t-shirt": "shirt", "top": "shirt",
    "boots": "shoes", "clogs": "shoes", "flats": "shoes", "heels": "shoes", "loafers": "shoes", "pumps": "shoes",
    "sandals": "shoes", "shoes": "shoes", "sneakers": "shoes", "wedges": "shoes",
    "cardigan": "sweater", "hoodie": "sweater", "jumper": "sweater", "sweater": "sweater", "sweatshirt": "sweater",
    "jeans": "pants", "leggings": "pants", "pants": "pants",
    "stockings": "tights", "tights": "tights",
    "dress": "dress", "hat": "hat", "scarf": "scarf", "shorts": "shorts", "skirt": "skirt", "suit": "suit",
    "tie": "tie", "vest": "vest",
}  # fmt: skip
"""What a label is called in everyday words; the others (skin, hair, jewellery, underwear) are not spoken of."""

_NAMES = TypeAdapter(dict[int, str])


@dataclass(frozen=True, slots=True)
class FashionPhoto:
    """A photo of one person.

    Attributes:
        photo: its path.
        labels: path of the picture with a label per pixel.
        names: of the labels.
        category: index of the category "person", -1 where there is none.
    """

    photo: Path
    labels: Path
    names: Mapping[int, str]
    category: int

    @property
    def id(self) -> Id:
        """Its number; the stem of its file where that is none."""
        return int(self.photo.stem) if self.photo.stem.isdecimal() else self.photo.stem

    @property
    def name(self) -> str:
        """Of its file."""
        return self.photo.name

    def read(self) -> Picture:
        """The photo with the person in it, and their garments; with nothing where no pixel is labelled.

        Raises:
            InputError: the photo cannot be read.
            DataError: the labels cannot be read, or are of another size than the photo.
        """
        image, labels = read_image(self.photo), self._labels()
        if labels.shape != image.shape[:2]:
            sizes = " and ".join(f"{height} x {width}" for height, width in (labels.shape, image.shape[:2]))
            raise DataError(f"{self.labels} and its photo have {sizes} pixels; make them one size.")
        mask = labels > 0
        if not mask.any():
            return Picture(image, ())
        worn = [(label, self.names.get(label, "")) for label in np.unique(labels).tolist()]
        garments: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.bool_]]] = {}
        for label, name in worn:
            if name in GARMENTS:
                garments[GARMENTS[name]] = garments.get(GARMENTS[name], False) | (labels == label)
        return Picture(image, (Layer("person", self.category, mask, float(mask.sum()), garments=garments),))

    def _labels(self) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        try:
            with PILImage.open(self.labels) as image:
                return np.asarray(image.convert("L"))
        except (OSError, ValueError, SyntaxError) as error:
            raise DataError(f"The labels {self.labels} cannot be read ({error}); copy them again.") from None


def read_fashion(root: Path, category: int) -> Sequence[FashionPhoto]:
    """The photos of a street-fashion set that have labels, by name.

    Args:
        root: the folder with `images/`, `labels/` and `labels.json`.
        category: index of the category "person", -1 where there is none.

    Raises:
        DataError: a folder or file is missing or malformed; no photo has labels.
    """
    names = _names(root / "labels.json")
    photos = {photo.stem: photo for photo in sorted((root / "images").glob("*.jpg"))}
    labelled = [path for path in sorted((root / "labels").glob("*.png")) if path.stem in photos]
    if not labelled:
        raise DataError(f"{root} has no photo images/NAME.jpg with labels/NAME.png; name the folder that holds both.")
    return [FashionPhoto(photos[path.stem], path, names, category) for path in labelled]


def _names(path: Path) -> dict[int, str]:
    try:
        return _NAMES.validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}; it names the labels.") from None
    except ValidationError as error:
        raise malformed(path, error, "an object of label and name is needed") from None
