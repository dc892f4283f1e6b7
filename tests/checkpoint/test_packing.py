"""A packed checkpoint is a fraction of the size, close to the original, read by the same reader; damage is refused."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from vlt.checkpoint import load_checkpoint, pack_checkpoint, save_checkpoint
from vlt.checkpoint.packing import LEAST, pack
from vlt.checkpoint.scaling import from_bytes, to_bytes
from vlt.errors import CheckpointError, ConfigError
from vlt.model.build import build_model


@pytest.fixture(scope="module")
def packed(tiny_checkpoint, tmp_path_factory):
    """The directory of a packed checkpoint; not to be written to."""
    folder = tmp_path_factory.mktemp("packed") / "checkpoint"
    pack_checkpoint(tiny_checkpoint, folder)
    return folder


@pytest.fixture
def folder(packed, tmp_path):
    """One to be damaged."""
    return shutil.copytree(packed, tmp_path / "checkpoint")


def tensors_of(folder):
    return load_file(folder / "weights.safetensors")


def edit_weights(folder, edit):
    tensors = tensors_of(folder)
    edit(tensors)
    fingerprint = json.loads((folder / "meta.json").read_text())["text_fingerprint"]
    save_file(tensors, folder / "weights.safetensors", {"text_fingerprint": fingerprint})


def test_every_row_is_off_by_half_a_step_at_most():
    rows = torch.randn(7, 3, 5, generator=torch.manual_seed(0)) * torch.logspace(-6, 3, 7)[:, None, None]
    off = (from_bytes(to_bytes("w", rows))["w"] - rows).abs().flatten(1).amax(1)
    half_a_step = rows.abs().flatten(1).amax(1) / 127 / 2
    assert (off <= half_a_step * 1.0001).all()
    assert (off > 0).all()


def test_rows_of_zeros_stay_zeros():
    assert torch.equal(from_bytes(to_bytes("w", torch.zeros(2, 3)))["w"], torch.zeros(2, 3))


def test_packing_what_is_packed_changes_nothing(packed, tmp_path):
    pack_checkpoint(packed, tmp_path / "again")
    before, after = tensors_of(packed), tensors_of(tmp_path / "again")
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        torch.testing.assert_close(after[name], tensor, rtol=1e-6, atol=0)


def test_what_is_stored_how(packed, tiny_model):
    """int8 for matrices worth it, and the rest as it was."""
    stored, exact = tensors_of(packed), tiny_model.state_dict()
    coarse = {name for name, tensor in stored.items() if tensor.dtype == torch.int8}
    assert {name.split(".")[0] for name in coarse} > {"backbone", "fusion", "transformer"}
    assert coarse == {name for name, tensor in exact.items() if tensor.ndim > 1 and tensor.numel() >= LEAST}
    assert stored.keys() == exact.keys() | {f"{name}.scale" for name in coarse}
    for name in exact.keys() - coarse:
        assert torch.equal(stored[name], exact[name]), name


def test_it_is_smaller(packed, tiny_checkpoint):
    sizes = [(folder / "weights.safetensors").stat().st_size for folder in (packed, tiny_checkpoint)]
    assert sizes[0] < sizes[1] / 2


def test_the_same_reader_gives_a_network_that_answers_alike(packed, tiny_model, tiny_text, tiny_config):
    loaded = load_checkpoint(packed)
    assert loaded.config == tiny_config
    assert {tensor.dtype for tensor in loaded.model.parameters()} == {torch.float32}
    images, words = (
        torch.rand(1, 3, 64, 64, generator=torch.manual_seed(0)),
        torch.tensor(tiny_text("red circle").values[None]),
    )
    with torch.inference_mode():
        found, expected = loaded.model(images, words), tiny_model(images, words)
    assert 0 < (found - expected).abs().max() < 0.2 * expected.std()


def test_one_row_would_share_one_scale_and_stays_exact():
    row = torch.randn(1, 2 * LEAST)
    assert torch.equal(pack({"w": row})["w"], row)


def test_what_is_known_of_the_model_stays_known(packed, tiny_checkpoint):
    before, after = (json.loads((folder / "meta.json").read_text()) for folder in (tiny_checkpoint, packed))
    after["sha256"].pop("weights.safetensors")
    before["sha256"].pop("weights.safetensors")
    assert after == before | {"packed": True}


def test_reports_and_licences_travel_along_and_stay(tiny_checkpoint, tmp_path):
    report = {"scores": {"miou": 0.5}, "provenance": {"split": "val"}}
    (tmp_path / "report.json").write_text(json.dumps(report), encoding="utf-8-sig")  # as Windows programs write it
    pack_checkpoint(tiny_checkpoint, tmp_path / "one", reports=[tmp_path / "report.json"], licences=["all: free"])
    pack_checkpoint(tmp_path / "one", tmp_path / "two")
    for name in ("one", "two"):
        meta = load_checkpoint(tmp_path / name).meta
        assert (meta["reports"], meta["licences"]) == ([report], ["all: free"])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, r"report\.json cannot be read \(No such file or directory\); `vlt test` writes one\.$"),
        ("{", r"report\.json cannot be read"),
        ("[]", r"report\.json is not a report of `vlt test`"),
        ('{"scores": {}}', r"report\.json is not a report of `vlt test`"),
    ],
)
def test_what_is_no_report(tiny_checkpoint, tmp_path, content, sentence):
    if content is not None:
        (tmp_path / "report.json").write_text(content)
    with pytest.raises(CheckpointError, match=sentence):
        pack_checkpoint(tiny_checkpoint, tmp_path / "one", reports=[tmp_path / "report.json"])
    assert not (tmp_path / "one").exists()


def test_weights_that_are_no_numbers_are_not_packed(tiny_config, tiny_text, tmp_path):
    model = build_model(tiny_config.model)
    with torch.no_grad():
        model.query_balance.confidence.bias.fill_(torch.nan)
    save_checkpoint(tmp_path / "one", model=model, config=tiny_config, text=tiny_text, meta={})
    with pytest.raises(
        CheckpointError, match=r"weights\.safetensors are not all finite \(query_balance\.confidence\.bias\)"
    ):
        pack_checkpoint(tmp_path / "one", tmp_path / "two")


# ---------------------------------------------------------------- damaged


def test_a_packed_one_from_the_future(folder):
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps(meta | {"format": meta["format"] + 1}))
    with pytest.raises(
        CheckpointError, match=r"has checkpoint format 3, but vlt \S+ reads up to format 2; upgrade vlt"
    ):
        load_checkpoint(folder)


def scale_of(tensors):
    return next(name for name in tensors if name.endswith(".scale"))


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (
            lambda tensors: tensors.pop(scale_of(tensors)),
            r"is damaged: \S+ \(.*\) needs a scale per row, but has none;",
        ),
        (
            lambda tensors: tensors.update({scale_of(tensors): torch.ones(1)}),
            r"is damaged: \S+ \(.*\) needs a scale per row, but has scales \(1,\); copy the checkpoint again\.$",
        ),
        (
            lambda tensors: tensors.pop(scale_of(tensors).removesuffix(".scale")),
            r"do not fit .*missing: .*unexpected: ",
        ),
    ],
)
def test_damaged_scales(folder, edit, sentence):
    edit_weights(folder, edit)
    with pytest.raises(CheckpointError, match=sentence) as caught:
        load_checkpoint(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [0, 100, 5_000])
def test_truncated(folder, keep):
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"weights\.safetensors is missing or damaged"):
        load_checkpoint(folder)


# ---------------------------------------------------------------- changed


def test_what_needs_no_other_weights_can_be_changed(tiny_checkpoint, tmp_path):
    changes = ["model.image_size=[96, 64]", "inference.threshold=0.25"]
    pack_checkpoint(tiny_checkpoint, tmp_path / "one", assignments=changes)
    config = load_checkpoint(tmp_path / "one").config
    assert (config.model.input_size, config.inference.threshold) == ((96, 64), 0.25)


def test_reports_do_not_outlive_a_change_of_what_they_are_about(tiny_checkpoint, tmp_path):
    (tmp_path / "report.json").write_text(json.dumps({"scores": {}, "provenance": {}}))
    pack_checkpoint(tiny_checkpoint, tmp_path / "one", reports=[tmp_path / "report.json"], licences=["all: free"])
    pack_checkpoint(tmp_path / "one", tmp_path / "two", assignments=["inference.flip=true"])
    meta = load_checkpoint(tmp_path / "two").meta
    assert (meta["reports"], meta["licences"]) == ([], ["all: free"])


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        (
            "model.heads=4",
            ConfigError,
            r"model\.heads cannot be changed in a trained model; only inference",
        ),
        ("model.image_size=[97, 64]", ConfigError, r"97, not a multiple of"),
        ("evaluate.treshold=1", ConfigError, r"the changed configuration"),
    ],
)
def test_other_changes_are_refused(tiny_checkpoint, tmp_path, change, error, sentence):
    with pytest.raises(error, match=sentence):
        pack_checkpoint(tiny_checkpoint, tmp_path / "one", assignments=[change])
    assert not (tmp_path / "one").exists()


def test_exact_weights_are_not_replaced(tiny_checkpoint, tmp_path):
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "exact")
    before = (folder / "weights.safetensors").read_bytes()
    for target in (folder, tmp_path / "exact" / ".." / "exact"):
        with pytest.raises(CheckpointError, match=r"not packed, whose exact weights would be lost"):
            pack_checkpoint(folder, target)
    with pytest.raises(CheckpointError, match=r"lies among the checkpoints of a run"):
        pack_checkpoint(folder, tmp_path / "run" / "checkpoints" / "packed")
    assert (folder / "weights.safetensors").read_bytes() == before
    for _ in range(2):
        pack_checkpoint(folder, tmp_path / "packed")
