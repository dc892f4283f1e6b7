import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage

from vlt.errors import VLTError
from vlt.visualize import (
    ANSWER_COLOUR,
    MARGIN,
    PANEL_SIDE,
    TRUTH_COLOUR,
    compare,
    erode,
    overlay,
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
    assert (image == 100).all(), "the photo itself must stay as it is"


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
        assert (drawn[0, 0] == (ANSWER_COLOUR if mask.any() else 100)).all()


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


def test_compare_shows_truth_and_answer_beside_each_other():
    truth, answer = block(40, 60, slice(0, 20), slice(0, 20)), block(40, 60, slice(20, 40), slice(40, 60))
    page = compare(grey(40, 60), truth, answer, "left one")
    left, right = MARGIN, 2 * MARGIN + 60
    top = page.shape[0] - MARGIN - 40
    assert page[top, left].tolist() == list(TRUTH_COLOUR)
    assert page[top + 39, right + 59].tolist() == list(ANSWER_COLOUR)
    assert page[top, right].tolist() == [100, 100, 100]
    assert page[:top, left:].min() < 100, "the caption must be there"


@pytest.mark.parametrize("size", [(1, 1), (3, 2000), (2000, 3), (1500, 1000)])
def test_compare_brings_photos_to_a_readable_size(size):
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


def test_save_picture_refuses_in_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "a.png", tmp_path / "folder.png"):
        (tmp_path / "folder.png").mkdir(exist_ok=True)
        with pytest.raises(VLTError, match=r"The picture .* cannot be written \(.+\); choose another") as caught:
            save_picture(grey(2, 2), path)
        assert str(path) in str(caught.value)
    with pytest.raises(VLTError, match=r"has no ending that names a format; end it in \.png or \.jpg"):
        save_picture(grey(2, 2), tmp_path / "picture")
