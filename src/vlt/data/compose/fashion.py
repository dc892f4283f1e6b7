"""Street-fashion photos: a person each, with a label per pixel that says which garment it is.

<root>/images/<number>.jpg   the photos
<root>/labels/<number>.png   8-bit, a label per pixel, 0 for what is not the person
<root>/labels.json           {"<label>": "<name>"}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage
from pydantic import TypeAdapter, ValidationError

from vlt.data.compose.picture import Layer, Picture
from vlt.data.photo import read_image
from vlt.data.prepare.refer_files import Id
from vlt.data.records import malformed
from vlt.errors import DataError

EVERYDAY: Mapping[str, str] = {
    "cape": "coat", "clogs": "shoes", "flats": "shoes", "loafers": "shoes", "pumps": "heels", "wedges": "heels",
}  # fmt: skip
"""Labels that people call by another name."""

UNSPOKEN = frozenset(
    {"accessories", "bra", "bracelet", "earrings", "hair", "intimate", "necklace", "null", "panties", "ring", "skin",
     "wallet", "watch"}
)  # fmt: skip
"""Labels of what is no garment that one would speak of."""

WOMENS = frozenset({"bra", "dress", "heels", "pumps", "purse", "skirt", "stockings", "tights", "wedges"})
"""Labels of what in these photos only women wear."""

if TYPE_CHECKING:
    from vlt.types import Mask

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
        worn = {label: self.names[label] for label in np.unique(labels).tolist() if label in self.names}
        garments: dict[str, Mask] = {}
        for label, name in worn.items():
            if name not in UNSPOKEN:
                noun = EVERYDAY.get(name, name)
                garments[noun] = garments.get(noun, False) | (labels == label)
        noun = "woman" if WOMENS.intersection(worn.values()) else "person"
        return Picture(image, (Layer(noun, self.category, mask, float(mask.sum()), garments=garments),))

    def _labels(self) -> npt.NDArray[np.uint8]:
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
