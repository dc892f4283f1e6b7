import json
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
from torch import nn

from vlt.data.masks import encode_rle
from vlt.errors import ConfigError, DataError
from vlt.evaluate import Provenance, Shard, describe_device, evaluate, whole_photo
from vlt.geometry import Letterbox
from vlt.metrics import PROTOCOLS
from vlt.types import Expression


def one_by_one(model, text, referrals, config, threshold, smoothing=0.0):
    """Every sentence on its own, the whole way written out: (sent_id, intersection, union, IoU)."""
    rows = []
    for referral in referrals:
        for expression in referral.expressions:
            size = referral.image.shape[:2]
            box = Letterbox(size, config.model.input_size)
            words = text(expression.text).values[None]
            with torch.no_grad():
                logits = model(box.image(referral.image)[None], words, torch.ones_like(words).bool(), torch.tensor([0]))
            canvas = F.interpolate(logits.sigmoid(), config.model.input_size, mode="bilinear")
            (top, left), (height, width) = box.offset, box.inner_size
            inner = canvas[:, :, top : top + height, left : left + width]
            mask = F.interpolate(inner, size, mode="bilinear")[0, 0].numpy() > threshold
            intersection, union = (mask & referral.target).sum(), (mask | referral.target).sum()
            rows.append((expression.sent_id, intersection, union, (intersection + smoothing) / (union + smoothing)))
    return rows


def assert_equal_rows(report, rows):
    assert [record.sent_id for record in report.records] == [row[0] for row in rows]
    for record, (_, intersection, union, iou) in zip(report.records, rows, strict=True):
        assert record.intersection == pytest.approx(intersection, abs=2)  # a pixel on the very threshold may differ
        assert record.union == pytest.approx(union, abs=2)
        assert record.iou == pytest.approx(iou, abs=2e-3)


@pytest.mark.parametrize("batch_size", [1, 3, 4, 50])
def test_every_sentence_is_judged_at_the_photos_size_whatever_the_batch(
    model, text, referrals, make_config, batch_size
):
    config = make_config(batch_size=batch_size)
    report = evaluate(model, text, referrals, config)
    rows = one_by_one(model, text, referrals, config, 0.5)
    assert_equal_rows(report, rows)
    assert report.scores.count == len(rows) == 11
    assert report.scores.miou == pytest.approx(np.mean([row[3] for row in rows]), abs=2e-3)
    assert report.scores.oiou == pytest.approx(sum(r[1] for r in rows) / sum(r[2] for r in rows), abs=2e-3)
    assert 0.2 < report.scores.miou < 0.95, "the test must see good and bad answers"


def test_the_original_protocol(model, text, referrals, make_config):
    config = make_config(threshold=0.9)
    report = evaluate(model, text, referrals, config, protocol="original")
    assert_equal_rows(report, one_by_one(model, text, referrals, config, 0.35, 1e-10))
    assert report.protocol == PROTOCOLS["original"]
    assert list(report.scores.precision) == pytest.approx(np.arange(0.5, 0.99, 0.05))
    assert [record.iou for record in report.records] == [
        (record.intersection + 1e-10) / (record.union + 1e-10) for record in report.records
    ]


def test_our_protocol_takes_the_threshold_from_the_configuration(model, text, referrals, make_config):
    config = make_config(threshold=0.9)
    report = evaluate(model, text, referrals, config)
    assert report.protocol == replace(PROTOCOLS["vlt"], threshold=0.9)
    assert_equal_rows(report, one_by_one(model, text, referrals, config, 0.9))


def test_a_protocol_of_ones_own(model, text, referrals, config):
    own = replace(PROTOCOLS["original"], name="own", threshold=0.4)
    assert evaluate(model, text, referrals, config, protocol=own).protocol == own


def test_an_unknown_protocol_is_refused(model, text, referrals, config):
    with pytest.raises(ConfigError, match="no evaluation protocol 'orignal'; known: vlt, original"):
        evaluate(model, text, referrals, config, protocol="orignal")


def test_the_model_sees_each_photo_of_a_batch_once(model, text, referrals, make_config):
    evaluate(model, text, referrals, make_config(batch_size=5))
    assert [(photos, sentences) for photos, sentences, *_ in model.seen] == [(1, 5), (2, 5), (1, 1)]


def test_the_model_is_put_back_as_it_was(model, text, referrals, config):
    evaluate(model, text, referrals, config)
    assert all(seen[2:] == (False, False, False) for seen in model.seen)
    assert model.training
    assert not model.frozen.training, "what was frozen must stay so"


def test_the_model_is_put_back_after_an_error_too(model, text, referrals, config):
    def interrupt(outcome):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(model, text, referrals, config, on_sample=interrupt)
    assert (model.training, model.frozen.training) == (True, False)
    assert torch.is_grad_enabled()


def test_evaluating_does_not_move_the_random_state(model, text, referrals, config):
    before = torch.get_rng_state()
    evaluate(model, text, referrals, config)
    assert torch.equal(torch.get_rng_state(), before)


def test_on_sample_sees_every_answer_in_order(model, text, referrals, config):
    outcomes = []
    report = evaluate(model, text, referrals, config, on_sample=outcomes.append)
    assert tuple(outcome.record for outcome in outcomes) == report.records
    for outcome in outcomes:
        assert outcome.mask.shape == outcome.target.shape == outcome.referral.image.shape[:2]
        assert outcome.mask.dtype == bool
        assert (outcome.mask & outcome.target).sum() == outcome.record.intersection


def test_blank_sentences_are_left_out_and_counted(model, text, referrals, config):
    whole = evaluate(model, text, referrals, config)
    blank = (Expression(1, ""), Expression(2, " \t"))
    first, *rest = referrals
    silent = replace(referrals[-1], ref_id=77, expressions=blank)
    holed = [replace(first, expressions=(*first.expressions, *blank)), silent, *rest]
    report = evaluate(model, text, holed, config)
    assert report.blank_sentences == 4
    assert whole.blank_sentences == 0
    assert report.records == whole.records
    with pytest.raises(DataError, match="no sentence to evaluate: 1 referrals, 2 blank sentences"):
        evaluate(model, text, [silent], config)


def test_targets_and_photos_in_files_count_as_those_in_memory(model, text, referrals, config, tmp_path):
    def written(referral, kind):
        photo, target = tmp_path / f"{referral.ref_id}.png", referral.target
        PILImage.fromarray(referral.image).save(photo)
        if kind == "png":
            PILImage.fromarray(target.astype(np.uint8)).save(
                tmp_path / "target.png"
            )  # 0 and 1: the object is what is > 0
            return replace(referral, image=photo, target=tmp_path / "target.png")
        return replace(referral, image=photo, target=encode_rle(target))

    for kind in ("rle", "png"):
        stored = [written(referrals[0], kind)]
        report = evaluate(model, text, stored, config)
        assert report.records == evaluate(model, text, referrals[:1], config).records


def test_a_target_of_another_size_is_refused(text, referrals, config):
    wrong = replace(referrals[3], target=np.ones((4, 5), dtype=bool))
    with pytest.raises(DataError, match=r"(?s)3.*(4, 5|4 x 5).*50"):
        evaluate(whole_photo, text, [wrong], config)


def test_anything_that_gives_masks_is_judged_by_the_same_code(text, referrals, config):
    report = evaluate(whole_photo, text, referrals, config)
    expected = [referral.target.mean() for referral in referrals for _ in referral.expressions]
    assert [record.iou for record in report.records] == pytest.approx(expected)


def test_what_the_configuration_and_the_device_tell_is_filled_in(model, text, referrals, config):
    given = evaluate(model, text, referrals, config, provenance=Provenance(split="val", seed=9)).provenance
    assert (given.dataset, given.split, given.seed, given.hardware) == ("synthetic", "val", 9, describe_device("cpu"))
    assert evaluate(model, text, referrals, config).provenance.seed == 3
    assert "CPU" in describe_device("cpu")


class Leaning(nn.Module):
    """Believes more than a model the further to one side, by so much."""

    def __init__(self, model, slope):
        super().__init__()
        self.model = model
        self.slope = slope

    def forward(self, images, *asked):
        return self.model(images, *asked) + torch.linspace(-self.slope, self.slope, images.shape[-1])


def test_the_mirrored_photo_is_a_second_opinion_where_the_words_allow_it(model, text, referrals, make_config):
    def masks(model, *, mirror):
        found = []
        evaluate(model, text, referrals, make_config(mirror=mirror), on_sample=found.append)
        return {outcome.record.expression: outcome.mask for outcome in found}

    one, other, alone = (
        masks(Leaning(model, 8), mirror=True),
        masks(Leaning(model, -8), mirror=True),
        masks(Leaning(model, 8), mirror=False),
    )
    unclear = {"that what is left"}
    assert {said for said in one if np.array_equal(one[said], other[said])} == set(one) - unclear
    assert {said for said in one if np.array_equal(one[said], alone[said])} == unclear


def test_progress_goes_to_stderr_when_asked_for(model, text, referrals, config, capsys):
    evaluate(model, text, referrals, config)
    assert capsys.readouterr() == ("", "")
    evaluate(model, text, referrals, config, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "11/11" in err


# ---------------------------------------------------------------- several processes


@given(count=st.integers(0, 200), world=st.integers(1, 12))
def test_shares_cover_every_sentence_once_and_are_even(count, world):
    shares = [Shard(rank, world).indices(count) for rank in range(world)]
    assert [index for share in shares for index in share] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("world", [2, 3, 13])
def test_processes_together_report_what_one_does(model, text, referrals, config, world):
    """Each process is played in turn; `gather` gives what the others had, as the real one would."""
    parts = []

    def keep(mine):
        parts.append(mine)
        return alone

    alone = list(evaluate(model, text, referrals, config).records)
    for rank in range(world):
        evaluate(model, text, referrals, config, shard=Shard(rank, world, keep))
    gathered = [record for part in parts for record in part]
    assert gathered == alone, "no sentence may be missing, twice or out of order"
    report = evaluate(model, text, referrals, config, shard=Shard(world - 1, world, lambda mine: gathered))
    assert report == evaluate(model, text, referrals, config)


TWO_PROCESSES = """
import json
import sys
import torch
from accelerate import Accelerator
from vlt.config import parse_config
from vlt.data.synthetic import SyntheticReferrals
from vlt.data.text import build_text
from vlt.evaluate import Shard, evaluate, whole_photo
from vlt.metrics import ReferringMetrics

config = parse_config({
    "model": {"image_size": [64, 64], "backbone": {"name": "darknet53"}}, "data": {"name": "synthetic"},
    "output_dir": "unused", "evaluate": {"batch_size": 4},
}, "test")
referrals = SyntheticReferrals(7, (48, 64), 0, "val")
text = build_text(config.model, [e.text for r in referrals for e in r.expressions])
accelerator = Accelerator(cpu=True)
outcomes = []
report = evaluate(whole_photo, text, referrals, config, shard=Shard.of(accelerator), on_sample=outcomes.append)
metrics = ReferringMetrics(report.protocol)  # the other way: each process counts its own, torchmetrics adds them up
for outcome in outcomes:
    record = outcome.record
    counts = (torch.tensor([count]) for count in (record.intersection, record.union, record.boundary))
    metrics.update(*counts)
synchronised = metrics.compute()
assert (synchronised.count, synchronised.oiou) == (report.scores.count, report.scores.oiou)
assert abs(synchronised.miou - report.scores.miou) < 1e-12
sent_ids = [record.sent_id for record in report.records]
# A file for each: what two processes print at once may be mixed.
with open(f"{sys.argv[1]}.{accelerator.process_index}.json", "w") as file:
    json.dump([accelerator.num_processes, report.to_dict(), sent_ids], file)
accelerator.end_training()
"""


@pytest.mark.slow
def test_two_real_processes_report_what_one_does(tmp_path):
    script = tmp_path / "shard.py"
    script.write_text(textwrap.dedent(TWO_PROCESSES))

    def run(name, *launcher):
        command = [sys.executable, *launcher, str(script), str(tmp_path / name)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert result.returncode == 0, result.stderr
        return [json.loads(path.read_text()) for path in sorted(tmp_path.glob(f"{name}.*.json"))]

    ((one, *alone),) = run("alone")
    both = run(
        "both",
        "-m",
        "torch.distributed.run",
        "--nproc-per-node=2",
        "--rdzv-backend=c10d",
        "--rdzv-endpoint=localhost:0",
    )
    assert one == 1
    assert [processes for processes, *_ in both] == [2, 2]
    assert all(together == alone for _, *together in both)
    assert len(alone[1]) > 7


def test_records_are_plain_values(model, text, referrals, config):
    record = evaluate(model, text, referrals, config).records[0]
    assert json.loads(json.dumps(asdict(record))) == asdict(record)
