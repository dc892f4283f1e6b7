"""Folder of pictures that data files hold: written aside, and put in their place when the data set is complete."""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path, PurePath

from vlt.data.image import open_image, read_orientation
from vlt.errors import DataError, InputError
from vlt.files import make_folder
from vlt.prepare.instances import Id, Photo

LONGEST_STEM = 100
"""Letters of a picture's name without its ending, at most."""


class PictureFolder:
    """Writes pictures as they are to a temporary folder, which is removed at the end of the `with` block.

    Args:
        folder: the folder in which `publish` puts them.

    Attributes:
        folder: the same.
        partial: the temporary folder beside it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
        self._names: dict[bytes, str] = {}
        self._taken: set[str] = set()
        self._made = [parent for parent in list(folder.parents)[:2] if not parent.exists()]

    def __enter__(self) -> PictureFolder:
        """Return the folder."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the pictures that were not published, and the folders above that were made for them alone."""
        shutil.rmtree(self.partial, ignore_errors=True)
        for parent in self._made:
            with suppress(OSError):  # it does not exist, or holds the published pictures
                parent.rmdir()

    def add(self, content: bytes, name: str, image_id: Id) -> Photo:
        """Write a picture, each content once.

        Args:
            content: content of its file.
            name: name of its file, to which the hash of its content is added where another picture has it.
            image_id: its id.

        Returns:
            Its name in the folder, and the size of its stored pixels; 1 x 1 where it cannot be read.

        Raises:
            DataError: it cannot be written.
        """
        digest = hashlib.sha256(content).digest()
        if digest not in self._names:
            self._names[digest] = self._free_name(name, content, digest)
            make_folder(self.partial)
            path = self.partial / self._names[digest]
            try:
                path.write_bytes(content)
            except OSError as error:
                raise DataError(f"{path} cannot be written: {error.strerror or error}.") from None
        name = self._names[digest]
        try:
            height, width = read_orientation(self.partial / name)[1]
        except InputError:
            height, width = 1, 1
        return Photo(id=image_id, file_name=name, height=height, width=width)

    def publish(self) -> None:
        """Put all pictures in their place; those of an earlier run that have the same names are replaced.

        Raises:
            DataError: the folder cannot be written.
        """
        make_folder(self.folder)
        for name in self._names.values():
            try:
                os.replace(self.partial / name, self.folder / name)
            except OSError as error:
                raise DataError(f"{self.folder / name} cannot be written: {error.strerror or error}.") from None

    def _free_name(self, name: str, content: bytes, digest: bytes) -> str:
        """Choose a name that no other picture has, with an ending."""
        stem, ending = PurePath(name).stem[:LONGEST_STEM], PurePath(name).suffix
        if not ending:
            try:
                ending = f".{(open_image(content).format or 'image').lower()}".replace(".jpeg", ".jpg")
            except InputError:
                ending = ".image"
        free = f"{stem or digest.hex()[:16]}{ending}"
        if free.lower() in self._taken:  # some file systems do not distinguish upper and lower case
            free = f"{stem}-{digest.hex()[:16]}{ending}"
        self._taken.add(free.lower())
        return free
