"""CVAT's export: regions become records in pixels; texts, labels, masks, and documents that declare entities."""

import numpy as np
import pytest
from records_fixture import BOXES, NAMES, SIZE, TRAIN, mask_of, write_folder

from vlt.data.masks import read_targets
from vlt.data.prepared import read_prepared
from vlt.errors import DataError
from vlt.prepare.own.cvat import read_cvat
from vlt.prepare.own.record_set import form_of, prepare_records, read_records, read_referrals

HEIGHT, WIDTH = SIZE


@pytest.fixture
def root(tmp_path):
    return write_folder(tmp_path)


def element(tag, content="", **attributes):
    given = " ".join(f'{key}="{value}"' for key, value in attributes.items())
    return f"<{tag} {given}>{content}</{tag}>"


def text(value, name="expression"):
    return f'<attribute name="{name}">{value}</attribute>'


def box(number, *texts, label="dog", **keys):
    sides = dict(zip(("xtl", "ytl", "xbr", "ybr"), map(float, BOXES[number]), strict=True))
    return element("box", "".join(texts), label=label, source="manual", occluded=0, z_order=0, **(sides | keys))


def polygon(number, *texts, label="dog"):
    x0, y0, x1, y1 = BOXES[number]
    points = ";".join(f"{x:.2f},{y:.2f}" for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1)))
    return element("polygon", "".join(texts), label=label, points=points)


def runs_of(mask):
    """Run lengths row by row, beginning outside the object."""
    edges = np.flatnonzero(np.diff(mask.ravel(), prepend=False, append=not mask.ravel()[-1]))
    return np.diff(edges, prepend=0).tolist()


def image(*regions, name=NAMES[TRAIN], width=WIDTH, height=HEIGHT):
    return element("image", "".join(regions), id=0, name=name, width=width, height=height)


def write(root, *images, start='<?xml version="1.0" encoding="utf-8"?>\n'):
    meta = "<version>1.1</version><meta><task><name>cups &amp; dogs</name></task></meta>"
    (root / "annotations.xml").write_text(f"{start}<annotations>{meta}{''.join(images)}</annotations>", "utf-8")
    return root / "annotations.xml"


def referrals(root, *regions, **how):
    return read_referrals(read_cvat(write(root, image(*regions, **how))), [root / "images"])


def test_boxes_polygons_and_masks_give_the_same_mask(root):
    crop = {"left": 1, "top": 1, "width": WIDTH - 3, "height": HEIGHT - 2}
    runs = runs_of(mask_of(5)[1:-1, 1:-2])
    found = referrals(
        root,
        box(5, text("box")),
        polygon(5, text("polygon")),
        element("mask", text("mask"), label="dog", rle=", ".join(map(str, runs)), **crop),
        element("mask", text("whole"), label="dog", rle=f"0, {WIDTH}", left=0, top=3, width=WIDTH, height=1),
    )
    assert not found.defects
    masks = [read_targets(one.targets, (1, 1)) for one in found.referrals]
    for mask in masks[:3]:
        assert np.array_equal(mask, mask_of(5))
    assert masks[3].sum() == masks[3][3].sum() == WIDTH
    assert found.boxes == 1
    assert {found.categories[one.category] for one in found.referrals} == {"dog"}


def test_a_rotated_box_turns_around_its_centre(root):
    found = referrals(root, element("box", label="dog", xtl=20, ytl=10, xbr=30, ybr=14, rotation=90.0))
    mask = np.zeros(SIZE, bool)
    mask[7:17, 23:27] = True
    assert np.array_equal(read_targets(found.referrals[0].targets, (1, 1)), mask)
    assert found.boxes == 0


def test_texts_of_a_region_are_its_expressions_and_the_label_replaces_them(root):
    path = write(
        root,
        image(
            box(5, text(" left dog "), text("true", "occluded"), text("the big one", "Caption"), text("left dog")),
            box(6, text(""), text(" ", "description"), label="small_dog"),
            element("tag", text("a cat") + text("a zebra", "caption"), label="absent"),
            element("tag", text("a nice photo"), label="quality"),
            element("tag", label="absent"),
        ),
    )
    records = read_cvat(path)
    assert [one.expressions for one in records] == [
        ("left dog", "the big one"),
        ("small_dog",),
        ("a cat", "a zebra"),
    ]
    assert [one.category for one in records] == ["dog", "small_dog", None]
    assert [one.outline is None for one in records] == [False, False, True]
    assert records[0].where == f"{path}, image {NAMES[TRAIN]}, box 1"
    assert records[0].size == SIZE


@pytest.mark.parametrize("name", ["task 3/a/{}", "/home/share/{}", "C:\\photos\\{}"])
def test_images_are_found_by_the_end_of_their_name(root, name):
    found = referrals(root, box(5), name=name.format(NAMES[TRAIN]))
    assert [one.image.name for one in found.referrals] == [NAMES[TRAIN]]


def test_regions_that_cannot_be_used_are_reported(root):
    path = write(
        root,
        image(
            box(5),
            element("ellipse", label="dog", cx=9, cy=9, rx=3, ry=3),
            box(6, label=" "),
            element("polygon", label="dog", points="1,1;5,5"),
            element("polygon", label="dog", points=""),
            element("polygon", label="dog", points="1,1;5,5;400,9"),
        ),
        image(box(5), name="gone.png"),
    )
    found = read_referrals(read_cvat(path), [root / "images"])
    place = f"{path}, image {NAMES[TRAIN]}, "
    assert {kind.name: ids for kind, ids in found.defects.items()} == {
        "region of a kind that is not read": [place + "ellipse 2"],
        "region without an expression": [place + "box 3"],
        "degenerate polygon": [place + "polygon 4", place + "polygon 5"],
        "empty outline": [place + "polygon 4", place + "polygon 5"],
        "outline outside the image": [place + "polygon 6"],
        "missing photo": [f"{path}, image gone.png, box 1"],
    }
    assert len(found.referrals) == 1


def test_an_image_of_another_size_than_stated_is_reported(root):
    found = referrals(root, box(5), width=WIDTH + 1)
    assert [kind.name for kind in found.defects] == ["photo of another size than stated"]


def test_an_export_is_prepared_like_lines_and_recognised_by_its_content(root):
    path = write(root, image(box(5, text("left &lt;dog&gt; &amp; \u00e9t\u00e9"))))
    report = prepare_records([path], [root / "images"], root / "out", form="cvat", name="cvat")
    assert {split: counts.sentences for split, counts in report.counts.items()} == {"train": 1}
    [referral] = read_prepared(root / "out", "cvat", "train", root / "images")
    assert referral.expressions[0].text == "left <dog> & \u00e9t\u00e9"
    assert form_of(path) == "cvat"
    assert len(read_records([path])) == 1


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("region", "sentence"),
    [
        (element("box", label="dog", xtl=1, ytl=1, xbr=5), "box 1: ybr: Field required"),
        (element("box", label="dog", xtl=1, ytl=1, xbr=5, ybr="low"), "box 1: ybr: Input should be a valid number"),
        (element("box", label="dog", xtl=1, ytl=1, xbr=5, ybr="nan"), "box 1: ybr: Input should be a finite number"),
        (element("polygon", label="dog"), "polygon 1: points: Field required"),
        (element("polygon", label="dog", points="1,2;3"), 'polygon 1: points are not "x,y;x,y;..."'),
        (element("polygon", label="dog", points="1,2;3,z"), 'polygon 1: points are not "x,y;x,y;..."'),
        (element("mask", label="dog", rle="1, 2", left=0, top=0, width=2, height=2), "add up to 3 pixels, but the box"),
        (element("mask", label="dog", rle="5, -1", left=0, top=0, width=2, height=2), "mask 1: the run lengths"),
        (element("mask", label="dog", rle="", left=0, top=0, width=2, height=2), "rle is not a list of whole numbers"),
        (
            element("mask", label="dog", rle="0, 4", left=49, top=0, width=2, height=2),
            "the mask ends outside the image",
        ),
        (element("mask", label="dog", rle="0, 4", top=0, width=2, height=2), "mask 1: left: Field required"),
        (box(5, text("\u200b")), "box 1: expression 1 has only invisible characters"),
    ],
)
def test_incomplete_regions_are_refused_by_name(root, region, sentence):
    with pytest.raises(DataError) as error:
        read_cvat(write(root, image(region)))
    assert str(error.value).startswith(f"{root / 'annotations.xml'}, image {NAMES[TRAIN]}, ")
    assert sentence in str(error.value)


BOMB = '<!DOCTYPE a [<!ENTITY b "dog"><!ENTITY c "&b;&b;&b;&b;">]>'


@pytest.mark.parametrize(
    ("start", "encoding"),
    [
        (BOMB, "utf-8"),
        ('<?xml version="1.0" encoding="utf-16"?>' + BOMB, "utf-16"),
        ('<!DOCTYPE a SYSTEM "file:///etc/hostname">', "utf-8"),
        ('<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]>', "utf-8"),
    ],
)
def test_a_document_type_is_refused_before_its_entities_are_read(root, start, encoding):
    path = write(root, image(box(5, text("&c;"))), start=start)
    path.write_text(path.read_text("utf-8"), encoding)
    with pytest.raises(DataError, match=r"annotations.xml: it declares a document type, <!DOCTYPE a>, which exports"):
        read_cvat(path)
    with pytest.raises(DataError, match="it declares a document type"):
        prepare_records([path], [root / "images"], root / "out", form="cvat", name="cvat")
    assert not (root / "out").exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"<annotations><image", r"is not complete XML \(.*\); export the task as"),
        (b"", r"is not complete XML \(no element found"),
        (b"PK\x03\x04rest of an archive", "is not complete XML .*unpack the archive and name its annotations.xml"),
        (b'<?xml version="1.0" encoding="x-none"?><annotations/>', "is not complete XML"),
        (b"<annotations><a>&nbsp;</a></annotations>", "is not complete XML .undefined entity"),
        (
            b"<annotations><track/></annotations>",
            "has no <image> in <annotations>; export the task as",
        ),
        (b"<annotation><image/></annotation>", "has no <image> in <annotations>"),
        (b'<annotations><image name="a.png" width="4"/></annotations>', "image 1: height: Field required"),
        (
            b'<annotations><image name="a" width="0" height="1"/></annotations>',
            "image 1: width: Input should be",
        ),
        (b'<annotations><image name="a" width="4" height="1"/></annotations>', "has no region in any of its 1 images"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS .*`git lfs pull`"),
    ],
)
def test_other_files_are_refused(root, content, sentence):
    (root / "annotations.xml").write_bytes(content)
    with pytest.raises(DataError, match=f"annotations.xml.* {sentence}" if "image 1" not in sentence else sentence):
        read_cvat(root / "annotations.xml")


def test_a_missing_file_is_refused(root):
    with pytest.raises(DataError, match=r"none.xml cannot be read: No such file or directory\."):
        read_cvat(root / "none.xml")
