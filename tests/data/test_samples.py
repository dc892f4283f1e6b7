"""Training samples: expressions drawn, images flipped and shared, errors; and the same batches from workers."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PILImage
from referral_fixture import mask, photo, referral
from torch.utils.data import DataLoader

from vlt.config import VLTConfig
from vlt.data.collate import Collate
from vlt.data.masks import encode_rle, read_each_target
from vlt.data.samples import TrainSamples
from vlt.errors import DataError
from vlt.geometry import Letterbox
from vlt.synth.shapes import SyntheticReferrals
from vlt.text.augment import mask_words
from vlt.text.mirror import swap_left_right
from vlt.text.reader import TextReader, build_text
from vlt.types import Expression

SIZE = (32, 64)


def text_for(referrals) -> TextReader:
    config = VLTConfig(max_words=6, language={"name": "gru", "words": {"dim": 4}})
    texts = [expression.text for one in referrals for expression in one.expressions]
    return build_text(config, texts + [swap_left_right(text) or "" for text in texts])


def train_samples(referrals, *, antialias: bool = True, **options):
    return TrainSamples(referrals, text_for(referrals), SIZE, antialias, **{"epoch": 0, "seed": 0, **options})


def refusal(samples, index: int = 0) -> str:
    with pytest.raises(DataError) as caught:
        samples[index]
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence


def assert_same(one, other) -> None:
    """Two batches hold the same."""
    assert len(one) == len(other)
    assert torch.equal(one.images[one.image_index], other.images[other.image_index])
    assert torch.equal(one.words, other.words)
    assert torch.equal(one.word_mask, other.word_mask)
    assert torch.equal(one.targets, other.targets)
    assert torch.equal(one.target_boxes, other.target_boxes)
    assert torch.equal(one.target_mask, other.target_mask)
    assert one.expressions == other.expressions
    assert one.letterboxes == other.letterboxes
    assert [each.ref_id for each in one.referrals] == [each.ref_id for each in other.referrals]


# ---------------------------------------------------------------- training


def test_a_sample_is_the_letterboxed_image_and_mask_and_the_words_of_its_expression():
    one = referral(3, "left dog")
    sample = train_samples([one], antialias=False)[0]
    letterbox = Letterbox((20, 30), SIZE, antialias=False)
    assert sample.letterbox == letterbox
    assert np.array_equal(sample.image, letterbox.image(one.image))
    assert np.array_equal(sample.target, letterbox.target(one.targets[0]))
    assert np.array_equal(sample.words, text_for([one])("left dog").values)
    assert sample.referral is one
    assert sample.expression is one.expressions[0]


def test_without_masks_a_sample_has_the_box_of_its_target_alone():
    one, absent = referral(3, "left dog"), referral(4, targets=())
    for flip in (0.0, 1.0):
        whole, box = train_samples([one], flip=flip)[0], train_samples([one], flip=flip, masks=False)[0]
        assert box.target is None
        assert np.array_equal(box.target_boxes, whole.target_boxes)
        assert np.array_equal(box.image, whole.image)
        rows, columns = (np.flatnonzero((whole.target[0] > 0.5).any(axis=axis)) for axis in (1, 0))
        around = [columns[0] / 64, rows[0] / 32, (columns[-1] + 1) / 64, (rows[-1] + 1) / 32]
        assert box.target_boxes[0] == pytest.approx(around, abs=1 / 32)
    assert train_samples([absent], masks=False)[0].target_boxes.shape == (0, 4)
    batch = Collate(None)([train_samples([each], masks=False)[0] for each in (one, absent)])
    assert batch.targets is None
    assert batch.target_boxes.any(dim=2).tolist() == batch.target_mask.tolist() == [[True], [False]]


def test_each_of_several_targets_has_its_own_box_also_where_the_image_is_flipped():
    left, right, empty = (np.zeros((20, 30), bool) for _ in range(3))
    left[2:8, 0:6], right[10:20, 24:30] = True, True
    targets = [(left, right, empty), (left,), (right,)]
    referrals = [referral(number, "left dog", targets=each) for number, each in enumerate(targets)]
    for flip in (0.0, 1.0):
        samples = train_samples(referrals, flip=flip)
        together, *alone = (samples[index].target_boxes for index in range(3))
        assert together.shape == (3, 4)
        assert np.array_equal(together[:2], np.concatenate(alone))
        assert not together[2].any()
        assert (together[0, 0] > together[1, 0]) == bool(flip)
        union = np.maximum(samples[1].target, samples[2].target)
        np.testing.assert_allclose(samples[0].target, union, atol=1e-6)


def test_samples_of_one_referral_share_its_target_and_a_flip_makes_another(monkeypatch):
    image, read = photo(1), []
    monkeypatch.setattr("vlt.data.samples.read_each_target", lambda *args: read.append(1) or read_each_target(*args))
    texts = ("left dog", "number 12", "red dog")  # the second has no mirrored form
    each = [Expression(number, text) for number, text in enumerate(texts)]
    split = [replace(referral(1, image=image), expressions=(one,)) for one in (each[0], each[2], each[1])]
    other = referral(2, image=image, targets=(~mask(),))
    samples = [train_samples([*split, other], flip=1.0)[i] for i in range(4)]
    read.clear()
    together = train_samples([*split, other], flip=1.0)
    for one, alone in zip([together[i] for i in range(4)], samples, strict=True):
        assert np.array_equal(one.target, alone.target)
        assert np.array_equal(one.target_boxes, alone.target_boxes)
    assert len(read) == 3  # flipped once for two expressions, straight, and that of the other referral


def test_targets_in_all_their_forms_are_the_same(tmp_path):
    PILImage.fromarray(mask().astype(np.uint8) * 255).save(tmp_path / "3.png")
    PILImage.fromarray(photo(3)).save(tmp_path / "3.bmp")
    forms = [
        referral(3),
        referral(3, targets=(encode_rle(mask()),)),
        referral(3, targets=(tmp_path / "3.png",)),
        referral(3, image=tmp_path / "3.bmp"),
    ]
    samples = train_samples(forms)
    for index in range(1, 4):
        assert np.array_equal(samples[index].target, samples[0].target)
        assert np.array_equal(samples[index].image, samples[0].image)


def test_the_ground_truth_is_the_union_of_all_targets_and_zero_without_any():
    other = np.zeros((20, 30), bool)
    other[12:18, 8:25] = True
    several, union, none = train_samples(
        [
            referral(1, targets=(mask(), encode_rle(other))),
            referral(1, targets=(mask() | other,)),
            referral(1, targets=()),
        ]
    )
    assert np.array_equal(several.target, union.target)
    assert not np.array_equal(several.target, train_samples([referral(1)])[0].target)
    assert not none.target.any()


def test_item_i_depends_on_seed_epoch_and_i_alone():
    many = [referral(number, *(f"dog number {text}" for text in range(5))) for number in range(30)]

    def drawn(**options):
        samples = train_samples(many, **options)
        return [samples[index].expression.text for index in range(len(samples))]

    assert drawn(epoch=2, seed=1) == drawn(epoch=2, seed=1)
    assert drawn(epoch=2) != drawn(epoch=3)
    assert drawn(seed=1) != drawn(seed=2)
    assert drawn(epoch=1, seed=2) != drawn(epoch=2, seed=1)
    backwards = train_samples(many, epoch=2, seed=1)
    again = [backwards[index].expression.text for index in reversed(range(30))]
    assert again[::-1] == drawn(epoch=2, seed=1)


def test_every_expression_is_drawn_about_equally_often():
    one = referral(1, "dog", "left dog", "red dog")
    counts = Counter(train_samples([one], epoch=epoch)[0].expression.text for epoch in range(600))
    assert set(counts) == {"dog", "left dog", "red dog"}
    assert min(counts.values()) > 150


def test_an_expression_without_a_mirrored_form_gets_its_image_unflipped_beside_flipped_ones():
    image = photo(1)
    pair = [referral(1, "left dog", image=image), referral(2, "number 12", image=image)]
    alone = [train_samples([one], flip=1.0)[0].image for one in pair]
    flipped, straight, again = (train_samples([*pair, pair[0]], flip=1.0)[index].image for index in range(3))
    shared = train_samples([*pair, pair[0]], flip=1.0)
    in_turn = [shared[index].image for index in range(3)]
    assert not np.array_equal(*alone)
    for found, expected in zip(in_turn, (flipped, straight, again), strict=True):
        assert np.array_equal(found, expected)
    assert np.array_equal(in_turn[1], Letterbox((20, 30), SIZE).image(image))


def test_flipped_samples_swap_left_and_right_in_image_mask_and_words():
    one = referral(1, "left dog")
    straight, mirrored = train_samples([one])[0], train_samples([one], flip=1.0)[0]
    letterbox = Letterbox((20, 30), SIZE)
    assert np.array_equal(mirrored.image, letterbox.image(np.ascontiguousarray(one.image[:, ::-1])))
    assert np.array_equal(mirrored.target, letterbox.target(np.ascontiguousarray(one.targets[0][:, ::-1])))
    assert not np.array_equal(mirrored.target, straight.target)
    assert mirrored.expression == Expression(100, "right dog")
    assert np.array_equal(mirrored.words, text_for([one])("right dog").values)
    assert mirrored.referral is one


def test_words_without_sides_stay_when_flipped():
    one = referral(1, "red dog")
    mirrored = train_samples([one], flip=1.0)[0]
    assert mirrored.expression == one.expressions[0]
    assert not np.array_equal(mirrored.image, train_samples([one])[0].image)


def test_an_expression_without_mirrored_form_keeps_its_image():
    text = "guy right behind her"
    assert swap_left_right(text) is None
    one = referral(1, text)
    sample = train_samples([one], flip=1.0)[0]
    assert np.array_equal(sample.image, train_samples([one])[0].image)
    assert sample.expression.text == text


def test_flip_is_a_probability():
    one = referral(1, "left dog")
    texts = [train_samples([one], epoch=epoch, flip=0.25)[0].expression.text for epoch in range(400)]
    assert 60 < texts.count("right dog") < 140
    assert all(train_samples([one], epoch=epoch)[0].expression.text == "left dog" for epoch in range(20))


# ---------------------------------------------------------------- shared images


def test_consecutive_samples_about_one_image_share_its_array(tmp_path):
    for name in ("a", "b"):
        PILImage.fromarray(photo(ord(name))).save(tmp_path / f"{name}.png")
    many = [
        referral(1, "a", image=tmp_path / "a.png"),
        referral(2, "c", image=tmp_path / "a.png"),
        referral(3, "d", image=tmp_path / "b.png"),
        referral(4, "e", image=tmp_path / "a.png"),
    ]
    samples = train_samples(many)
    batch = Collate(None)([samples[index] for index in range(4)])
    assert batch.image_index.tolist() == [0, 0, 1, 2]
    assert [one.ref_id for one in batch.referrals] == [1, 2, 3, 4]


def test_the_shared_image_is_the_right_one_in_any_order():
    generated = SyntheticReferrals(6, (64, 64), 0, "val")
    samples = train_samples(generated)
    order = np.random.default_rng(0).permutation(np.repeat(np.arange(len(samples)), 2))
    expected = [train_samples(generated)[index].image for index in range(len(samples))]
    for index in order:
        assert np.array_equal(samples[index].image, expected[index])


def test_scenes_generated_on_access_are_shared_by_their_referrals():
    scenes = SyntheticReferrals(6, (64, 64), 0, "val")
    samples = train_samples([referral for referral in scenes for _ in range(2)])
    batch = Collate(None)([samples[index] for index in range(12)])
    assert len(batch) == 2 * len(batch.images) == 12


# ---------------------------------------------------------------- workers


def test_workers_give_the_same_batches(tmp_path):
    PILImage.fromarray(photo(9)).save(tmp_path / "photo.png")
    many = [*SyntheticReferrals(5, (64, 64), 0, "train"), referral(9, "left dog", image=tmp_path / "photo.png")]
    samples = train_samples(many, epoch=3, flip=0.5)
    alone, together = (
        list(DataLoader(samples, batch_size=4, num_workers=workers, collate_fn=Collate(6))) for workers in (0, 2)
    )
    assert len(alone) == len(together)
    for one, other in zip(alone, together, strict=True):
        assert_same(one, other)


# ---------------------------------------------------------------- refused


def test_a_missing_image_names_referral_and_path(tmp_path):
    sentence = refusal(train_samples([referral(7, image=tmp_path / "no.jpg")]))
    assert sentence == f"Referral 7: There is no image {tmp_path / 'no.jpg'}; check the path."


def test_a_blank_expression_names_its_referral():
    assert refusal(train_samples([referral(7, " ")])).startswith("Referral 7: The expression is empty or blank")


def test_a_missing_or_damaged_mask_names_its_referral(tmp_path):
    assert refusal(train_samples([referral(7, targets=(tmp_path / "7.png",))])).startswith(
        "Referral 7: There is no mask "
    )
    broken = {**encode_rle(mask()), "size": [20, 31]}
    assert refusal(train_samples([referral(7, targets=(broken,))])).startswith("Referral 7: Run lengths add up to 600")


def test_a_mask_of_another_size_than_the_image():
    sentence = refusal(train_samples([referral(7, targets=(mask(30, 20),))]))
    assert sentence == ("Referral 7: the image in memory has 20 x 30 pixels, but its mask 30 x 20; make them one size.")


# ---------------------------------------------------------------- two views of each


WORDS = st.lists(st.sampled_from(["left", "dog", "the", "red", "by"]), min_size=1, max_size=9)


@given(WORDS, st.floats(0, 1), st.integers(0, 99))
def test_masking_masks_the_given_share_and_leaves_a_word(words, ratio, key):
    masked = mask_words(" ".join(words), ratio, "?", (0, key)).split()
    assert len(masked) == len(words)
    assert all(now in ("?", before) for now, before in zip(masked, words, strict=True))
    assert masked.count("?") == min(round(ratio * len(words)), len(words) - 1)


def hidden(sample) -> int:
    """The number of a sample's words that are zero."""
    return int((sample.words == 0).all(axis=1).sum())


def test_the_second_view_is_another_expression_with_words_masked():
    samples = train_samples([referral(0), referral(1, "left dog", "brown dog", "dog on grass")], mask_ratio=0.5)
    assert len(samples) == 4
    for epoch in range(8):
        samples = train_samples([referral(1, "left dog", "brown dog", "wet dog")], mask_ratio=0.5, epoch=epoch)
        first, second = samples[0], samples[1]
        assert first.referral is second.referral
        assert first.expression != second.expression
        assert (hidden(first), hidden(second)) == (0, 1)


def test_a_single_expression_is_masked_in_both_views_and_not_always_alike():
    readings = [
        [train_samples([referral(0, "big brown left dog")], mask_ratio=0.5, epoch=epoch)[i] for i in range(2)]
        for epoch in range(8)
    ]
    assert {hidden(sample) for pair in readings for sample in pair} == {2}
    assert any(not np.array_equal(first.words, second.words) for first, second in readings)


def test_first_views_are_the_samples_of_a_run_without_contrast():
    referrals = [referral(number, "left dog", "brown dog", "wet dog") for number in range(4)]
    plain, contrasted = train_samples(referrals), train_samples(referrals, mask_ratio=0.5)
    assert all(plain[i].expression == contrasted[2 * i].expression for i in range(4))


def test_chatter_is_a_probability():
    sentences = ["the dog", "left cat"]
    referrals = [referral(number, sentences[number % 2]) for number in range(40)]
    said = [sample.expression.text for sample in train_samples(referrals, chatter=0.5)]
    plain = [text in sentences for text in said]
    assert 8 <= sum(plain) <= 32
    assert all(any(sentence in text for sentence in sentences) for text in said)
    assert said == [sample.expression.text for sample in train_samples(referrals, chatter=0.5)]
    assert all(sample.expression.text in sentences for sample in train_samples(referrals))


def test_slips_are_a_probability_and_do_not_keep_an_image_from_being_flipped():
    referrals = [referral(number, "the leftmost giraffe") for number in range(40)]
    written = [sample.expression.text for sample in train_samples(referrals, slips=0.5, flip=1.0)]
    whole = [text == "the rightmost giraffe" for text in written]
    assert 8 <= sum(whole) <= 32
    assert not any("left" in text for text in written)
    assert written == [sample.expression.text for sample in train_samples(referrals, slips=0.5, flip=1.0)]
    other = [sample.expression.text for sample in train_samples(referrals, slips=0.5, flip=1.0, epoch=1)]
    assert written != other


def test_details_are_added_where_nothing_matches_only():
    present, absent = referral(1, "the dog"), replace(referral(2, "the dog"), targets=())
    samples = train_samples([present, absent], details=1.0)
    assert samples[0].expression.text == "the dog"
    assert len(samples[1].expression.text) > len("the dog")


# ---------------------------------------------------------------- light


def test_light_is_a_probability_and_drawn_anew_in_each_epoch():
    referrals = [referral(i) for i in range(60)]
    plain = train_samples(referrals)
    shown = [train_samples(referrals, light=0.5, epoch=epoch) for epoch in (0, 1)]
    changed = [[not np.array_equal(each[i].image, plain[i].image) for i in range(60)] for each in shown]
    assert 15 <= sum(changed[0]) <= 45
    assert changed[0] != changed[1]
    again = train_samples(referrals, light=0.5)
    assert all(np.array_equal(again[i].image, shown[0][i].image) for i in range(60))
    assert all(np.array_equal(again[i].target, plain[i].target) for i in range(60))


def test_expressions_about_one_image_share_its_brightness(tmp_path):
    PILImage.fromarray(photo()).save(tmp_path / "photo.png")
    about_one = [referral(i, image=tmp_path / "photo.png") for i in range(3)]
    samples = train_samples(about_one, light=1.0)
    assert samples[0].image is samples[1].image
    assert np.array_equal(samples[2].image, samples[0].image)
