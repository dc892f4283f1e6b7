"""Preparing referring data sets from the Parquet files of a hub: annotations, masks, pictures, and the report."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from vlt.categories import COCO_CATEGORIES
from vlt.data.prepared import annotation_folder
from vlt.data.shards import require_pyarrow
from vlt.errors import DataError
from vlt.files import malformed
from vlt.prepare.folder import refuse_other, write_data_set
from vlt.prepare.instances import Annotation, Category, Id, InstanceFile, Photo
from vlt.prepare.published.parquet_files import (
    SetFile,
    find_files,
    normalise_split,
    read_columns,
    read_rows,
    select_splits,
    split_names,
)
from vlt.prepare.published.parquet_hub import find_source
from vlt.prepare.published.parquet_rows import REFS, SAMPLES, Ids, Layout, Row, recognise_layout
from vlt.prepare.published.parquet_sets import expected_counts, find_published, layout_notes, total_note
from vlt.prepare.published.pictures import PictureFolder
from vlt.prepare.published.refer_files import Ref
from vlt.prepare.published.refer_set import (
    COCO_IDS,
    NO_IMAGE,
    OTHER_FILE,
    UNKNOWN_CATEGORY,
    ReferReader,
    ReferSet,
    belongs,
)
from vlt.prepare.report import PrepareReport
from vlt.prepare.splits import REFER_SPLITS, check_name


def prepare_parquet(
    data: Sequence[Path | str],
    output_dir: Path,
    *,
    name: str,
    images: Path | None = None,
    splits: Sequence[str] = (),
    generate_mask: bool = False,
) -> PrepareReport:
    """Prepare a data set from Parquet files: annotations, masks, pictures, and `prepare.json` with the report.

    Pictures in the files are written unchanged to `images/NAME/`.

    Args:
        data: Parquet files, or folders of them, of one data set; its layout is recognised by the columns. A name such
            as hf://datasets/OWNER/NAME stands for the files of the Hugging Face hub, see `find_source`.
        output_dir: the folder that holds, or will hold, `anns/`, `masks/` and `images/`.
        name: name of the data set, the folder under all three.
        images: the folder of the images, for the layout whose files hold none.
        splits: names of the splits to prepare; empty: all.
        generate_mask: write the masks as PNGs, as the original's script does.

    Raises:
        ConfigError: pyarrow is not installed; `name` is no plain name.
        DataError: a file is missing, damaged, or of no known layout; a data set of the hub that cannot be downloaded,
            see `find_source`; files of different layouts or data sets; a folder of images that is missing or not
            needed; no such split; no ref can be used; a folder or file cannot be written; the folder of that name holds
            a data set that was made in another way.
    """
    require_pyarrow()
    folder = annotation_folder(output_dir, check_name(name))
    sources = [find_source(place, splits) for place in data]
    files = find_files([path for source in sources for path in source.paths])
    layout = find_layout(files)
    check_images(files[0], layout, images)
    published = find_published(files, layout, name)
    files = select_splits(name_test_split(files, layout), splits)
    given = [each.name for each in sources]
    source = {"parquet": given, "layout": layout.name, "splits": sorted(set(splits))}
    refuse_other(folder, source)
    with PictureFolder(output_dir / "images" / name) as pictures:
        photos = images or pictures.partial
        found = read_set(files, layout, photos, pictures)
        if not found.splits:
            raise DataError(f"No ref of {', '.join(given)} can be used: {found.defects.summary()}.")
        notes = [*found.notes, *layout_notes(files, layout, published), *total_note(found.splits, layout)]
        if layout.has_pictures:
            pictures.publish()
            notes.append(f"The pictures are in {pictures.folder}, which is data.images of a configuration.")
    return write_data_set(
        output_dir,
        name,
        found.splits,
        source=source,
        images=photos,  # image names are relative to it, so they are the same in the folder of published pictures
        defects=found.defects,
        categories=found.categories,
        generate_mask=generate_mask,
        expected=expected_counts(published, layout, split_names(files)),
        notes=notes,
        replaced=REFER_SPLITS,
    )


def find_layout(files: Sequence[SetFile]) -> Layout:
    """Recognise the layout of files by their columns.

    Raises:
        DataError: a file is damaged or of no known layout; two have different layouts.
    """
    first: tuple[Layout, Path] | None = None
    for file in files:
        columns = read_columns(file.path)
        try:
            layout = recognise_layout(columns)
        except DataError as error:
            raise DataError(f"{file.path}: {error}") from None
        first = first or (layout, file.path)
        if layout is not first[0]:
            raise DataError(
                f"{first[1]} has the layout of {first[0].name}, but {file.path} that of {layout.name}; name the files "
                "of one data set."
            )
    assert first is not None
    return first[0]


def check_images(file: SetFile, layout: Layout, images: Path | None) -> None:
    """Check that a folder of images is given where the files hold none, and only there.

    Raises:
        DataError: it is missing, not needed, or no folder.
    """
    if layout.has_pictures and images is not None:
        raise DataError(f"{file.path} holds its pictures, so that no folder of images is read; leave --images out.")
    if not layout.has_pictures and images is None:
        raise DataError(
            f"{file.path} holds no pictures, as usual for {layout.name}; name the folder of {layout.photos} with "
            "--images."
        )
    if images is not None and not images.is_dir():
        raise DataError(f"There is no folder of images {images}; name the one that holds them.")


def name_test_split(files: Sequence[SetFile], layout: Layout) -> list[SetFile]:
    """Name the split test of jxu124/refcoco and jxu124/refcocoplus as published: testA.

    It is testA where there is a testB, or where its first row names the split so. The single split of a benchmark is
    `Layout.only_split`; other files are returned unchanged.
    """
    if layout.only_split is not None:
        return [file._replace(split=layout.only_split) for file in files]
    if layout is not REFS:
        return list(files)
    has_test_b = any(file.split == "testB" for file in files)
    named = []
    for file in files:
        if file.split == "test":
            _, row = next(read_rows(file.path, ("split",)), (0, {}))
            if has_test_b or normalise_split(str(row.get("split"))) == "testA":
                file = file._replace(split="testA")
        named.append(file)
    return named


def convert_rows(files: Sequence[SetFile], layout: Layout) -> Iterator[tuple[SetFile, Row]]:
    """Read the rows of files and convert them.

    Raises:
        DataError: a file is damaged, or a row does not have the values of the layout.
    """
    ids = Ids(itertools.count(), itertools.count())
    for file in files:
        for number, values in read_rows(file.path, (*layout.columns, *layout.optional)):
            where = f"{file.path}, row {number}"
            try:
                yield file, layout.convert(values, ids)
            except ValidationError as error:
                raise malformed(where, error, f"this is not the layout of {layout.name}, download it again") from None
            except DataError as error:
                raise DataError(f"{where}: {error}") from None


def read_set(files: Sequence[SetFile], layout: Layout, images: Path, pictures: PictureFolder) -> ReferSet:
    """Read the refs of files, and write their pictures.

    Args:
        files: files of one layout.
        layout: their layout.
        images: the folder of the images.
        pictures: receives the pictures.

    Raises:
        DataError: see `convert_rows`; a picture cannot be written.
    """
    photos: dict[Id, list[Photo]] = {}
    annotations: dict[Id, list[Annotation]] = {}
    refs: list[tuple[Ref, str]] = []
    for file, row in convert_rows(files, layout):
        image = row.image
        photo = image if isinstance(image, Photo) else pictures.add(image.content, image.name, row.image_id)
        if photo not in photos.setdefault(photo.id, []):
            photos[photo.id].append(photo)
        for ref, annotation in row.objects:
            if annotation not in annotations.setdefault(annotation.id, []):
                annotations[annotation.id].append(annotation)
            refs.append((ref, file.split))
    categories = zip(COCO_IDS, COCO_CATEGORIES, strict=True) if layout.has_refs else ()
    content = InstanceFile(
        images=list(itertools.chain.from_iterable(photos.values())),
        annotations=list(itertools.chain.from_iterable(annotations.values())),
        categories=[Category(id=number, name=noun) for number, noun in categories],
    )
    reader = ReferReader("refcoco", content, images, outlines=layout.has_outlines)
    notes = reader.find_images([ref for ref, _ in refs])
    placed = []
    for ref, split in refs:
        if ref.image_id not in photos:
            reader.defects.add(NO_IMAGE, ref.ref_id, example=f"image_id {ref.image_id!r}")
            continue
        if ref.split and not belongs(normalise_split(ref.split), split):
            reader.defects.add(OTHER_FILE, ref.ref_id, example=f"{ref.split}, not {split}")
        placed.append((ref, [split]))
    splits = reader.fill_splits(placed, split_names(files))
    if not layout.has_refs:
        reader.defects.pop(UNKNOWN_CATEGORY, None)  # the layout has no categories
    if layout is SAMPLES:  # nor boxes
        splits = {split: [dataclasses.replace(each, box=None) for each in own] for split, own in splits.items()}
    return ReferSet(splits, reader.defects, notes, reader.names)
