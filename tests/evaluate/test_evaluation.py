import json
import os
import subprocess
import sys
import textwrap
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PILImage
from predictor_fixture import BrokenEngine, RedEngine, make_predictor

from vlt.data.masks import encode_rle
from vlt.errors import CheckpointError, ConfigError, DataError
from vlt.evaluate import Provenance, Shard, evaluate, evaluation, whole_image
from vlt.geometry import Letterbox
from vlt.metrics import PROTOCOLS
from vlt.refine import Refiner
from vlt.types import Expression


def one_by_one(predictor, referrals, threshold, smoothing=0.0):
    """Every expression on its own, the whole way written out in torch: (sent_id, intersection, union, IoU)."""
    rows = []
    for referral in referrals:
        for expression in referral.expressions:
            size = referral.image.shape[:2]
            box = Letterbox(size, predictor.input_size)
            words = predictor.text(expression.text).values[None]
            encoded = predictor.engine.encode(box.image(referral.image)[None])
            logits = predictor.engine.segment(encoded, np.array([0]), words, np.ones(words.shape, bool)).masks
            canvas = F.interpolate(torch.from_numpy(logits).sigmoid(), predictor.input_size, mode="bilinear")
            (top, left), (height, width) = box.offset, box.inner_size
            inner = canvas[:, :, top : top + height, left : left + width]
            mask = F.interpolate(inner, size, mode="bilinear")[0, 0].numpy() > threshold
            intersection, union = (mask & referral.targets[0]).sum(), (mask | referral.targets[0]).sum()
            rows.append((expression.sent_id, intersection, union, (intersection + smoothing) / (union + smoothing)))
    return rows


def assert_equal_rows(report, rows):
    assert [result.sent_id for result in report.results] == [row[0] for row in rows]
    for result, (_, intersection, union, iou) in zip(report.results, rows, strict=True):
        assert result.intersection == pytest.approx(intersection, abs=2)  # a pixel on the very threshold may differ
        assert result.union == pytest.approx(union, abs=2)
        assert result.iou == pytest.approx(iou, abs=2e-3)


@pytest.mark.parametrize("batch_size", [1, 3, 4, 50])
def test_every_expression_is_scored_at_the_images_size_whatever_the_batch(referrals, batch_size):
    predictor = make_predictor(batch_size=batch_size)
    report = evaluate(predictor, referrals)
    rows = one_by_one(predictor, referrals, 0.5)
    assert_equal_rows(report, rows)
    assert report.scores.count == len(rows) == 11
    assert report.scores.miou == pytest.approx(np.mean([row[3] for row in rows]), abs=2e-3)
    assert report.scores.oiou == pytest.approx(sum(r[1] for r in rows) / sum(r[2] for r in rows), abs=2e-3)
    assert 0.2 < report.scores.miou < 0.95, "the test must see good and bad predictions"


def test_the_original_protocol(referrals):
    predictor = make_predictor(threshold=0.9)
    report = evaluate(predictor, referrals, protocol="original")
    assert_equal_rows(report, one_by_one(predictor, referrals, 0.35, 1e-10))
    assert report.protocol == PROTOCOLS["original"]
    assert list(report.scores.precision) == pytest.approx(np.arange(0.5, 0.99, 0.05))
    assert [result.iou for result in report.results] == [
        (result.intersection + 1e-10) / (result.union + 1e-10) for result in report.results
    ]


def test_our_protocol_takes_the_threshold_from_the_settings(referrals):
    predictor = make_predictor(threshold=0.9)
    report = evaluate(predictor, referrals)
    assert report.protocol == replace(PROTOCOLS["vlt"], threshold=0.9)
    assert_equal_rows(report, one_by_one(predictor, referrals, 0.9))


class NoSegmenter:
    """Fails the test if outlines are refined."""

    def encode(self, image):
        pytest.fail("an image was encoded for the refiner")


def test_the_original_protocol_uses_the_bare_network(referrals):
    """Its own threshold, no test-time augmentation and no refiner; the report says so."""
    plain = make_predictor()
    full = make_predictor(refiner=Refiner(NoSegmenter()), flip=True, threshold=0.9)
    report = evaluate(full, referrals, protocol="original")
    assert report.results == evaluate(plain, referrals, protocol="original").results
    used = report.provenance
    assert (used.threshold, used.flip, used.refined, used.input_size) == (0.35, False, False, (64, 96))
    assert full.settings.flip, "the predictor itself stays as it is"


def test_the_report_says_how_predictions_were_made(referrals):
    assert "threshold 0.4; flip True; refined False; input_size 64 x 96" in str(
        evaluate(make_predictor(flip=True, threshold=0.4), referrals)
    )
    given = evaluate(make_predictor(), referrals, provenance=Provenance(split="val", seed=9)).provenance
    assert given == Provenance(
        split="val",
        seed=9,
        threshold=0.5,
        flip=False,
        refined=False,
        input_size=(64, 96),
        hardware="test machine",
    )
    assert evaluate(whole_image, referrals).provenance == Provenance(), "a baseline has none of these settings"


def test_a_protocol_of_ones_own(predictor, referrals):
    own = replace(PROTOCOLS["original"], name="own", threshold=0.4, is_bare=False)
    report = evaluate(predictor.with_settings(flip=True), referrals, protocol=own)
    assert report.protocol == own
    assert (report.provenance.threshold, report.provenance.flip) == (0.4, True)


def test_an_unknown_protocol_is_refused(predictor, referrals):
    with pytest.raises(ConfigError, match="no evaluation protocol 'orignal'; known: vlt, original"):
        evaluate(predictor, referrals, protocol="orignal")


def test_each_image_is_encoded_once_and_few_at_a_time(referrals, monkeypatch):
    monkeypatch.setattr(evaluation, "IMAGES_AT_ONCE", 2)
    engine = RedEngine()
    evaluate(make_predictor(engine, batch_size=5), referrals)
    assert engine.encoded == [2, 1], "three images"
    assert engine.segmented == [(2, 5), (2, 4), (1, 2)]
    assert engine.most_alive == 2


def test_expressions_that_are_alike_are_predicted_once(referrals):
    alike = [
        replace(each, expressions=tuple(replace(one, text="red") for one in each.expressions)) for each in referrals
    ]
    engine = RedEngine()
    report = evaluate(make_predictor(engine, batch_size=5), alike)
    assert sum(count for _, count in engine.segmented) == 3, "one for each image"
    assert_equal_rows(report, one_by_one(make_predictor(), alike, 0.5))


def test_many_expressions_about_an_image_are_predicted_in_groups(predictor, referrals, monkeypatch):
    whole = evaluate(predictor, referrals)
    monkeypatch.setattr(evaluation, "MOST_EXPRESSIONS", 2)
    assert evaluate(predictor, referrals).results == whole.results


def test_worker_processes_change_nothing(predictor, referrals, tmp_path):
    for referral in referrals:
        PILImage.fromarray(referral.image).save(tmp_path / f"{referral.scene}.png")
    stored = [replace(referral, image=tmp_path / f"{referral.scene}.png") for referral in referrals]
    assert evaluate(predictor, stored, workers=2) == evaluate(predictor, referrals)


def test_evaluating_does_not_move_the_random_state(predictor, referrals):
    before = torch.get_rng_state()
    evaluate(predictor, referrals)
    assert torch.equal(torch.get_rng_state(), before)


def test_on_outcome_gets_every_prediction_in_order(predictor, referrals):
    outcomes = []
    report = evaluate(predictor, referrals, on_outcome=outcomes.append)
    assert tuple(outcome.result for outcome in outcomes) == report.results
    for outcome in outcomes:
        assert outcome.mask.shape == outcome.ground_truth.shape == outcome.referral.image.shape[:2]
        assert outcome.mask.dtype == bool
        assert (outcome.mask & outcome.ground_truth).sum() == outcome.result.intersection


def test_evaluated_is_what_is_predicted(referrals):
    """With test-time augmentation too: both use the same predictor."""
    predictor, outcomes = make_predictor(flip=True, threshold=0.6), []
    evaluate(predictor, referrals, on_outcome=outcomes.append)
    for outcome in outcomes:
        (one,) = predictor.predict(outcome.referral.image, outcome.result.expression, warn=False)
        assert np.array_equal(one.mask, outcome.mask)


def test_blank_expressions_are_left_out_and_counted(predictor, referrals):
    whole = evaluate(predictor, referrals)
    blank = (Expression(1, " \t"), Expression(2, "\u200b\u3164"))
    first, *rest = referrals
    silent = replace(referrals[-1], ref_id=77, expressions=blank)
    holed = [replace(first, expressions=(*first.expressions, *blank)), silent, *rest]
    report = evaluate(predictor, holed)
    assert report.blank_expressions == 4
    assert whole.blank_expressions == 0
    assert report.results == whole.results
    with pytest.raises(DataError, match="no expression to evaluate: 1 referrals, 2 blank expressions"):
        evaluate(predictor, [silent])


def test_expressions_that_are_cut_are_counted(predictor, referrals):
    """`WordCounts` reads 12 words."""
    assert evaluate(predictor, referrals).cut_expressions == 1
    long = (Expression(1, "red " * 12), Expression(2, "red " * 13), Expression(3, "red " * 99))
    report = evaluate(predictor, [replace(referrals[0], expressions=long)])
    assert report.cut_expressions == 2
    assert "2 expressions were cut at model.max_words: their ends were not read" in str(report)
    assert evaluate(whole_image, referrals).cut_expressions == 0


@pytest.mark.parametrize("flip", [False, True])
def test_output_that_is_not_finite_is_an_error(referrals, flip):
    """And not an empty mask, which is right where nothing is referred to."""
    absent = [replace(referral, targets=()) for referral in referrals]
    with pytest.raises(CheckpointError, match="network's output for 'small thing' is not finite"):
        evaluate(make_predictor(BrokenEngine(letters=5), flip=flip), absent[2:3])


def test_targets_and_images_in_files_count_as_those_in_memory(predictor, referrals, tmp_path):
    def written(referral, kind):
        image, target = tmp_path / f"{referral.ref_id}.png", referral.targets[0]
        PILImage.fromarray(referral.image).save(image)
        if kind == "png":
            # 0 and 1: the object is what is > 0
            PILImage.fromarray(target.astype(np.uint8)).save(tmp_path / "target.png")
            return replace(referral, image=image, targets=(tmp_path / "target.png",))
        return replace(referral, image=image, targets=(encode_rle(target),))

    for kind in ("rle", "png"):
        stored = [written(referrals[0], kind)]
        assert evaluate(predictor, stored).results == evaluate(predictor, referrals[:1]).results


def test_several_targets_are_united(predictor, referrals):
    target = referrals[0].targets[0]
    left, right = target.copy(), target.copy()
    left[:, 48:] = False
    right[:, 30:48] = False
    (kept, *_) = referrals
    split = evaluate(predictor, [replace(kept, targets=(left, encode_rle(right)))])
    assert split.results == evaluate(predictor, [replace(kept, targets=(left | right,))]).results


def test_without_a_target_only_an_empty_mask_is_right(predictor, referrals):
    nothing = replace(referrals[0], targets=(), category=-1)
    report = evaluate(predictor, [nothing])
    assert [(result.iou, result.target) for result in report.results] == [(0, 0)] * 2
    assert (report.presence.n_acc, report.presence.absent) == (0, 2)
    strict = evaluate(predictor.with_settings(threshold=1), [nothing, referrals[1]])
    assert [result.iou for result in strict.results] == [1, 1, 0, 0, 0]
    assert strict.presence == (1, 0, 2)


@pytest.mark.parametrize(
    ("targets", "sentence"),
    [
        ((np.ones((4, 5), dtype=bool),), "Referral 3: its ground truth has 4 x 5 pixels, but its image 50 x 120"),
        ((np.ones((50, 120), bool), np.ones((4, 5), bool)), "Referral 3: .*masks of different sizes"),
        (({"size": [50, 120], "counts": "~~"},), "Referral 3: Run lengths .* damaged"),
    ],
)
def test_ground_truth_that_does_not_fit_is_refused(referrals, targets, sentence):
    with pytest.raises(DataError, match=sentence):
        evaluate(whole_image, [replace(referrals[3], targets=targets)])


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_cannot_be_read_is_named_with_its_referral(predictor, referrals, tmp_path, workers):
    missing = replace(referrals[3], image=tmp_path / "none.jpg")
    with pytest.raises(DataError, match=r"Referral 3: There is no image .*none\.jpg"):
        evaluate(predictor, [*referrals[:3], missing], workers=workers)


def test_anything_that_gives_masks_is_scored_by_the_same_code(referrals):
    report = evaluate(whole_image, referrals)
    expected = [referral.targets[0].mean() for referral in referrals for _ in referral.expressions]
    assert [result.iou for result in report.results] == pytest.approx(expected)


def test_the_flipped_image_is_used_where_the_words_allow_it(referrals):
    def masks(slope, *, flip):
        found = []
        evaluate(make_predictor(RedEngine(slope=slope), flip=flip), referrals, on_outcome=found.append)
        return {outcome.result.expression: outcome.mask for outcome in found}

    one, other, alone = masks(8, flip=True), masks(-8, flip=True), masks(8, flip=False)
    unclear = {"that what is left"}
    assert {text for text in one if np.array_equal(one[text], other[text])} == set(one) - unclear
    assert {text for text in one if np.array_equal(one[text], alone[text])} == unclear


def test_progress_goes_to_stderr_on_request(predictor, referrals, capsys):
    evaluate(predictor, referrals)
    assert capsys.readouterr() == ("", "")
    evaluate(predictor, referrals, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "11/11" in err


# ---------------------------------------------------------------- several processes


@given(count=st.integers(0, 200), world=st.integers(1, 12))
def test_shares_cover_every_expression_once_and_are_even(count, world):
    shares = [Shard(rank, world).indices(count) for rank in range(world)]
    assert [index for share in shares for index in share] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("world", [2, 3, 13])
def test_processes_together_report_what_one_does(predictor, referrals, world):
    """Each process is played in turn; `gather` gives what the others had, as the real one would."""
    parts = []

    def keep(mine):
        parts.append(mine)
        return alone

    alone = list(evaluate(predictor, referrals).results)
    for rank in range(world):
        evaluate(predictor, referrals, shard=Shard(rank, world, keep))
    gathered = [result for part in parts for result in part]
    assert gathered == alone, "no expression may be missing, twice or out of order"
    report = evaluate(predictor, referrals, shard=Shard(world - 1, world, lambda mine: gathered))
    assert report == evaluate(predictor, referrals)


SEVERAL_PROCESSES = """
import json
import sys
import torch
from dataclasses import replace
from accelerate import Accelerator
import vlt
from vlt.synth.shapes import SyntheticReferrals
from vlt.evaluate import Shard, evaluate, whole_image
from vlt.metrics import ReferringMetrics

accelerator = Accelerator(cpu=True)
shard = Shard.of(accelerator)
network = vlt.load(sys.argv[2], device="cpu")
seven, two = (list(SyntheticReferrals(count, (48, 64), 0, "val")) for count in (7, 2))
single = [replace(two[0], expressions=two[0].expressions[:1])]
outcomes, found = [], {}
for name, predictor, protocol in (
    ("whole image", whole_image, "vlt"), ("network", network, "vlt"), ("videos", whole_image, "video")
):
    for count, referrals in {"seven": seven, "two": two, "one expression": single}.items():
        seen = outcomes.append if (name, count) == ("whole image", "seven") else None
        report = evaluate(predictor, referrals, protocol=protocol, shard=shard, on_outcome=seen)
        rows = [[r.sent_id, r.iou, r.intersection, r.union, r.boundary, r.box] for r in report.results]
        values = report.to_dict()
        confidences = [level["score"] for level in values.pop("reliability", [])]
        found[f"{name}, {count}"] = [values, rows, confidences]
        if seen:
            whole = report
metrics = ReferringMetrics(whole.protocol)  # the other way: each process counts its own, torchmetrics adds them up
for outcome in outcomes:
    result = outcome.result
    counts = result.intersection, result.union, result.boundary, result.box, result.target
    metrics.update(*(torch.tensor([count]) for count in counts))
synchronised = metrics.compute()
assert (synchronised.count, synchronised.oiou) == (whole.scores.count, whole.scores.oiou)
assert abs(synchronised.miou - whole.scores.miou) < 1e-12
# A file for each: what several processes print at once may be mixed.
with open(f"{sys.argv[1]}.{accelerator.process_index}.json", "w") as file:
    json.dump([accelerator.num_processes, found], file)
accelerator.end_training()
"""


@pytest.mark.slow
def test_real_processes_report_exactly_what_one_does(tmp_path, tiny_checkpoint):
    """Two and three, of more images than processes, of fewer, and of a single expression.

    Confidences, which are no part of a score, depend on the batch of an expression in the last bits.
    """
    script = tmp_path / "shard.py"
    script.write_text(textwrap.dedent(SEVERAL_PROCESSES))

    def run(name, *launcher):
        command = [sys.executable, *launcher, str(script), str(tmp_path / name), str(tiny_checkpoint)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
        assert result.returncode == 0, result.stderr
        return [json.loads(path.read_text()) for path in sorted(tmp_path.glob(f"{name}.*.json"))]

    ((number, alone),) = run("alone")
    assert number == 1
    counts = {name: len(rows) for name, (_, rows, _) in alone.items()}
    assert counts["network, one expression"] == 1
    assert any(count % 2 and count > 7 for count in counts.values())
    assert any(count % 3 for count in counts.values())
    for processes in (2, 3):
        launcher = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}")
        ranks = run(f"{processes} processes", *launcher)
        assert [number for number, _ in ranks] == [processes] * processes
        for _, together in ranks:
            for name, (values, rows, confidences) in alone.items():
                assert together[name][:2] == [values, rows], name
                assert together[name][2] == pytest.approx(confidences, abs=1e-6)


def test_results_are_plain_values(predictor, referrals):
    result = evaluate(predictor, referrals).results[0]
    assert json.loads(json.dumps(asdict(result))) == asdict(result)
