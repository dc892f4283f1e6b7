import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage

from vlt.errors import InputError, VLTError
from vlt.visualize import (
    MARGIN,
    PALETTE,
    PANEL_SIDE,
    PREDICTION_COLOUR,
    TRUTH_COLOUR,
    compare,
    erode,
    overlay,
    overlay_with_legend,
    palette_colour,
    save_picture,
    side_by_side,
)


def grey(height, width, value=100):
    return np.full((height, width, 3), value, np.uint8)


def block(height, width, rows, columns):
    mask = np.zeros((height, width), dtype=bool)
    mask[rows, columns] = True
    return mask


def test_overlay_tints_the_object_and_nothing_else():
    image, mask = grey(20, 30), block(20, 30, slice(5, 15), slice(5, 25))
    drawn = overlay(image, mask, colour=(200, 0, 100), alpha=0.5, outline=1)
    assert (drawn[~mask] == 100).all()
    assert drawn[10, 10].tolist() == [150, 50, 100]  # half the colour
    assert drawn[5, 10].tolist() == [200, 0, 100]  # the line
    assert (image == 100).all(), "the image itself must stay as it is"


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_alpha_reaches_from_nothing_to_all(alpha):
    mask = block(8, 8, slice(2, 6), slice(2, 6))
    drawn = overlay(grey(8, 8), mask, colour=(255, 0, 0), alpha=alpha, outline=0)
    assert (drawn[mask] == ((255, 0, 0) if alpha else 100)).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (300, 2)])
def test_overlay_takes_any_size(size):
    for mask in (np.zeros(size, dtype=bool), np.ones(size, dtype=bool)):
        drawn = overlay(grey(*size), mask)
        assert drawn.shape == (*size, 3)
        assert drawn.dtype == np.uint8
        assert (drawn[0, 0] == (PREDICTION_COLOUR if mask.any() else 100)).all()


def brute_erode(mask, pixels):
    """A pixel stays if everything within `pixels` steps to the four sides is inside."""
    kept = np.zeros_like(mask)
    for row, column in np.ndindex(mask.shape):
        near = [
            (row + down, column + right)
            for down in range(-pixels, pixels + 1)
            for right in range(-pixels, pixels + 1)
            if abs(down) + abs(right) <= pixels
        ]
        kept[row, column] = all(0 <= y < mask.shape[0] and 0 <= x < mask.shape[1] and mask[y, x] for y, x in near)
    return kept


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), height=st.integers(1, 8), width=st.integers(1, 8), pixels=st.integers(0, 3))
def test_erode_equals_its_brute_force_twin(seed, height, width, pixels):
    mask = np.random.default_rng(seed).random((height, width)) < 0.85
    assert np.array_equal(erode(mask, pixels), brute_erode(mask, pixels))


def test_many_masks_have_colours_of_their_own():
    names, colours = zip(*map(palette_colour, range(300)), strict=True)
    assert len(set(colours)) == len(set(names)) == 300
    assert list(names[: len(PALETTE)]) == list(PALETTE)
    assert names[len(PALETTE)].startswith("#")
    assert palette_colour(0)[1] == PREDICTION_COLOUR
    first = np.array(colours[: len(PALETTE)], int)
    apart = np.abs(first[:, None] - first[None]).sum(-1) + 999 * np.eye(len(first))
    assert apart.min() > 100, "people must see the difference"


def test_a_legend_stands_below_the_image():
    masks = [("a red cup", block(80, 300, slice(0, 20), slice(0, 20))), ("none", np.zeros((80, 300), bool))]
    masks += [("the big blue jug " * 9, block(80, 300, slice(40, 60), slice(40, 80)))]
    image = grey(80, 300)
    drawn = overlay_with_legend(image, masks)
    assert drawn.shape[1:] == (300, 3)
    assert (image == 100).all(), "the image itself must stay as it is"
    assert drawn[0, 0].tolist() == list(palette_colour(0)[1])
    assert drawn[40, 40].tolist() == list(palette_colour(2)[1])
    legend = drawn[80:]
    for index in range(3):
        found = (legend == palette_colour(index)[1]).all(-1)
        assert found.sum() > 100, "a square of each colour, also of an empty mask"
    assert (legend[:, -2:] == 255).all(), "letters must not run off the page"
    one_line = overlay_with_legend(image, masks[:1])
    assert one_line.shape[0] < overlay_with_legend(image, masks[2:]).shape[0], "long texts are wrapped"


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (300, 2)])
@pytest.mark.parametrize("text", ["", "左边的斑马 ñ", "w" * 300, "a\nb"])
def test_any_legend_can_be_drawn(size, text):
    drawn = overlay_with_legend(grey(*size), [(text, np.ones(size, bool))] * 20)
    assert drawn.shape[0] > size[0]
    assert drawn.shape[1:] == (size[1], 3)


def test_compare_shows_truth_and_prediction_beside_each_other():
    truth, predicted = block(40, 60, slice(0, 20), slice(0, 20)), block(40, 60, slice(20, 40), slice(40, 60))
    page = compare(grey(40, 60), truth, predicted, "left one")
    left, right = MARGIN, 2 * MARGIN + 60
    top = page.shape[0] - MARGIN - 40
    assert page[top, left].tolist() == list(TRUTH_COLOUR)
    assert page[top + 39, right + 59].tolist() == list(PREDICTION_COLOUR)
    assert page[top, right].tolist() == [100, 100, 100]
    assert page[:top, left:].min() < 100, "the caption must be there"


@pytest.mark.parametrize("size", [(1, 1), (3, 2000), (2000, 3), (1500, 1000)])
def test_compare_brings_images_to_a_readable_size(size):
    page = compare(grey(*size), np.ones(size, dtype=bool), np.zeros(size, dtype=bool), "x")
    assert page.shape[1] <= 2 * PANEL_SIDE + 3 * MARGIN
    assert page.shape[0] <= PANEL_SIDE + 50


def test_long_captions_break_into_lines_and_stay_within_the_page():
    short, long = (side_by_side([grey(10, 10)], caption) for caption in ("a zebra", "zebra on the left " * 40))
    assert long.shape[1] == short.shape[1]
    assert long.shape[0] > short.shape[0] + 100
    assert (long[:, -2:] == 255).all(), "letters must not run off the page"


@pytest.mark.parametrize("caption", ["", "\n", "左边的斑马 ñ", "a\n\nb", "w" * 300])
def test_any_caption_can_be_drawn(caption):
    assert side_by_side([grey(10, 10), grey(30, 5)], caption).shape[2] == 3


def test_save_picture_makes_folders_and_keeps_pixels(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    save_picture(image, tmp_path / "new" / "deep.png")
    with PILImage.open(tmp_path / "new" / "deep.png") as read:
        assert np.array_equal(np.asarray(read), image)


@pytest.mark.parametrize("ending", ["png", "webp"])
def test_masks_and_cutouts_are_kept_exactly(tmp_path, ending):
    mask = np.random.default_rng(0).random((40, 70)) < 0.5
    save_picture(mask, tmp_path / f"mask.{ending}")
    with PILImage.open(tmp_path / f"mask.{ending}") as read:
        assert np.array_equal(np.asarray(read.convert("L")), np.where(mask, 255, 0))
    save_picture(np.dstack([grey(40, 70), np.where(mask, 255, 0).astype(np.uint8)]), tmp_path / f"cutout.{ending}")
    with PILImage.open(tmp_path / f"cutout.{ending}") as read:
        assert np.array_equal(np.asarray(read)[..., 3] > 0, mask)


def test_save_picture_refuses_in_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "a.png", tmp_path / "folder.png"):
        (tmp_path / "folder.png").mkdir(exist_ok=True)
        with pytest.raises(VLTError, match=r"The picture .* cannot be written \(.+\); choose another") as caught:
            save_picture(grey(2, 2), path)
        assert str(path) in str(caught.value)
    with pytest.raises(VLTError, match=r"has no ending that names a format; end it in \.png or \.jpg"):
        save_picture(grey(2, 2), tmp_path / "picture")


@pytest.mark.parametrize(
    "options",
    [
        {"colour": None},
        {"colour": "red"},
        {"colour": (1, 2)},
        {"colour": (300, 0, 0)},
        {"colour": (0.5, 0, 0)},
        {"alpha": None},
        {"alpha": 2},
        {"alpha": "x"},
    ],
)
def test_colours_and_opacities_that_cannot_be_drawn(options):
    with pytest.raises(InputError, match=r"(colour|opacity)"):
        overlay(np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), bool), **options)
