import numpy as np
import pytest

from vlt.data.masks import encode_rle
from vlt.errors import DataError
from vlt.evaluate import centred_box, dummies, evaluate, mean_box_share, whole_photo
from vlt.geometry import Letterbox
from vlt.types import Batch, Expression, Referral


def batch_of(*sizes):
    letterboxes = [Letterbox(size, (64, 96)) for size in sizes]
    return Batch(*[None] * 5, letterboxes=letterboxes)


def referral(size, rows, columns, encode=lambda mask: mask):
    mask = np.zeros(size, dtype=bool)
    mask[rows, columns] = True
    photo = np.zeros((*size, 3), dtype=np.uint8)
    return Referral(ref_id=5, image=photo, target=encode(mask), expressions=(Expression(1, "a"), Expression(2, "b c")))


def test_whole_photo():
    masks = list(whole_photo(batch_of((3, 5), (1, 1))))
    assert [(mask.shape, mask.dtype, mask.all()) for mask in masks] == [((3, 5), bool, True), ((1, 1), bool, True)]


@pytest.mark.parametrize(
    ("size", "share", "rows", "columns"),
    [
        ((10, 20), (0.4, 0.5), (3, 7), (5, 15)),
        ((10, 20), (1, 1), (0, 10), (0, 20)),
        ((1, 1), (0.1, 0.1), (0, 1), (0, 1)),
    ],
)
def test_centred_box(size, share, rows, columns):
    (mask,) = centred_box(share)(batch_of(size))
    expected = np.zeros(size, dtype=bool)
    expected[slice(*rows), slice(*columns)] = True
    assert np.array_equal(mask, expected)


def test_the_mean_box_by_hand():
    train = [
        referral((10, 20), slice(2, 7), slice(0, 4)),  # 5/10 high, 4/20 wide
        referral((100, 50), slice(99, 100), slice(0, 30), encode_rle),  # 1/100 high, 30/50 wide
        referral((10, 10), slice(0, 0), slice(0, 0)),  # empty: has no box
    ]
    assert mean_box_share(train) == pytest.approx(((0.5 + 0.01) / 2, (0.2 + 0.6) / 2))


def test_the_mean_box_of_nothing_is_refused():
    with pytest.raises(DataError, match="none of the 1 referrals has a target with a pixel"):
        mean_box_share([referral((10, 10), slice(0, 0), slice(0, 0))])


def test_dummies_are_evaluated_like_a_model(text, config):
    train = [referral((40, 60), slice(10, 30), slice(15, 45))]  # centred, half as high and wide
    scores = {name: evaluate(answer, text, train, config).scores for name, answer in dummies(train).items()}
    assert scores["whole photo"].miou == pytest.approx(0.25)
    assert scores["centred box"].miou == 1
    assert {one.count for one in scores.values()} == {2}
