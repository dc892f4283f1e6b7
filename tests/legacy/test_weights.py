"""Keras weight files of all kinds: those that are read alike, those that are refused with all that is wrong."""

import random

import h5py
import numpy as np
import pytest
import torch
import yaml

from vlt.errors import CheckpointError, ConfigError, VLTWarning
from vlt.legacy import load_keras_backbone, load_keras_checkpoint
from vlt.model.backbone import Darknet53


@pytest.fixture(scope="module")
def small_state(keras, small_layers, small_config, tmp_path_factory):
    """The small network's tensors as read from a file that is laid out like the recorded ones."""
    path = keras.write(tmp_path_factory.mktemp("small") / "weights.h5", small_layers)
    return load_keras_checkpoint(path, small_config).state_dict()


@pytest.fixture
def load(keras, small_config, tmp_path):
    """Writes layers and loads them."""

    def load(layers, **layout):
        return load_keras_checkpoint(keras.write(tmp_path / "weights.h5", layers, **layout), small_config)

    return load


def assert_same(model, state):
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, state[name]), name


def without(layers, *names):
    assert set(names) <= {layer.name for layer in layers}
    return [layer for layer in layers if layer.name not in names]


# ---------------------------------------------------------------- read alike


def test_values_are_where_they_belong(small_layers, small_state):
    """One of each kind, transposed by hand; the parity test shows that the whole answers rightly."""
    weights = {layer.name: list(layer.weights.values()) for layer in small_layers}
    expected = {
        "backbone.stem.conv.weight": weights["conv2d_1"][0].transpose(3, 2, 0, 1),
        "backbone.stem.norm.running_var": weights["batch_normalization_1"][3],
        "query_balance.query.weight": weights["dense_8"][0].T,
        "query_balance.answer.bias": weights["dense_9"][1],
        "language.backward_gru.input.weight": weights["bidirectional_1"][3].T,
        "language.backward_gru.recurrent_gates.weight": weights["bidirectional_1"][4].T[:128],
        "language.backward_gru.recurrent_candidate.weight": weights["bidirectional_1"][4].T[128:],
        "transformer.decoder.1.memory_attention.output.weight": weights["Decoder-2-MultiHeadQueryAttention"][6].T,
        "transformer.encoder.0.feedforward.2.bias": weights["Encoder-1-FeedForward"][3],
        "transformer.encoder.0.feedforward_residual.norm.bias": weights["Encoder-1-FeedForward-Norm"][1],
    }
    for name, values in expected.items():
        np.testing.assert_array_equal(small_state[name], values)


@pytest.mark.parametrize(("shift", "bare"), [(-1, True), (-1, False), (100, False), (923, False)])
def test_where_numbers_begin_does_not_matter(keras, load, small_layers, small_state, shift, bare):
    """100: the number of digits changes within a class, so that a sort by text would go wrong."""
    assert_same(load(keras.renumbered(small_layers, shift, bare=bare)), small_state)


def test_file_order_does_not_matter(load, small_layers, small_state):
    assert_same(load(random.Random(5).sample(small_layers, len(small_layers))), small_state)


def test_gaps_between_numbers_do_not_matter(keras, load, small_layers, small_state):
    """Numbers go on over all models that a program creates, so another model may have taken some."""
    at = next(index for index, layer in enumerate(small_layers) if layer.name == "conv2d_40")
    assert_same(load(small_layers[:at] + keras.renumbered(small_layers[at:], 7)), small_state)


@pytest.mark.parametrize("layout", [{"text": str}, {"group": "model_weights"}, {"text": str, "group": "model_weights"}])
def test_layouts_of_keras_are_all_read(load, small_layers, small_state, layout):
    assert_same(load(small_layers, **layout), small_state)


def test_names_split_over_several_attributes(keras, small_layers, small_config, small_state, tmp_path):
    """Keras splits a list of names that is longer than an HDF5 attribute can be."""
    path = keras.write(tmp_path / "weights.h5", small_layers)
    with h5py.File(path, "a") as file:
        for node, attribute in [(file, "layer_names"), (file["bidirectional_1"], "weight_names")]:
            names = node.attrs.pop(attribute)
            for index, chunk in enumerate(np.array_split(names, 3)):
                node.attrs[f"{attribute}{index}"] = chunk
    assert_same(load_keras_checkpoint(path, small_config), small_state)


def test_one_direction(keras, load, small_layers, small_config, small_state, tmp_path):
    both = next(layer for layer in small_layers if layer.name == "bidirectional_1")
    forward = dict(zip(["kernel:0", "recurrent_kernel:0", "bias:0"], list(both.weights.values())[:3], strict=True))
    layers = [*without(small_layers, "bidirectional_1"), keras.Layer("gru_1", forward)]
    path = keras.write(tmp_path / "weights.h5", layers)
    model = load_keras_checkpoint(path, small_config.model_copy(update={"bidirectional": False}))
    assert model.language.backward_gru is None
    assert_same(model, small_state)


def test_model_is_ready_to_answer(load, small_layers):
    model = load(small_layers)
    assert not any(module.training for module in model.modules())
    with torch.inference_mode():
        assert model(torch.rand(2, 3, 64, 64), torch.rand(2, 5, 8)).shape == (2, 1, 32, 32)


# ---------------------------------------------------------------- refused, with all that is wrong


def refusal(load, layers):
    with pytest.raises(CheckpointError) as caught:
        load(layers)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    "name", ["conv2d_1", "conv2d_30", "conv2d_80", "batch_normalization_61", "dense_12", "dense_9"]
)
def test_a_missing_layer_is_named_by_its_number(load, small_layers, name):
    text = refusal(load, without(small_layers, name))
    assert "misfits: 1:" in text
    assert f"{name} is missing" in text


@pytest.mark.parametrize("name", ["bidirectional_1", "multi_head_attention_1", "Decoder-2-FeedForward-Norm"])
def test_a_missing_layer_without_siblings_is_named(load, small_layers, name):
    text = refusal(load, without(small_layers, name))
    assert "misfits: 1:" in text
    assert f"{name.removesuffix('_1')} is missing" in text


def test_missing_layers_are_named_wherever_numbers_begin(keras, load, small_layers):
    text = refusal(load, without(keras.renumbered(small_layers, 300), "conv2d_330", "conv2d_331", "dense_307"))
    assert "misfits: 3:" in text
    assert all(f"{name} is missing" in text for name in ("conv2d_330", "conv2d_331", "dense_307"))


def test_surplus_layers_are_named(keras, load, small_layers):
    zeros = np.zeros((3, 3, 2, 2), np.float32)
    extra = [keras.Layer("conv2d_81", {"kernel:0": zeros}), keras.Layer("lstm_1", {"kernel:0": zeros})]
    text = refusal(load, small_layers + extra)
    assert "misfits: 2:" in text
    assert all(f"{name} is surplus: kernel (3, 3, 2, 2)" in text for name in ("conv2d_81", "lstm_1"))


def test_all_that_is_wrong_is_listed(keras, load, small_layers):
    broken = keras.Layer("conv2d_33", {"kernel:0": np.zeros((3, 3, 16, 31), np.float32)})
    layers = [broken if layer.name == "conv2d_33" else layer for layer in small_layers]
    layers = [*without(layers, "conv2d_20", "dense_4", "Encoder-2-FeedForward"), keras.Layer("odd", broken.weights)]
    text = refusal(load, layers)
    assert "misfits: 5:" in text
    assert (
        "conv2d_33 holds kernel (3, 3, 16, 31), but backbone.stages.3.3.expand.conv needs kernel (3, 3, 16, 32)" in text
    )
    assert all(f"{name} is missing" in text for name in ("conv2d_20", "dense_4", "Encoder-2-FeedForward"))
    assert "odd is surplus" in text


def test_weights_in_another_order_are_refused(keras, load, small_layers):
    """Equal shapes must not let gamma be taken for beta."""
    norm = next(layer for layer in small_layers if layer.name == "batch_normalization_5")
    swapped = keras.Layer(
        norm.name, {leaf: norm.weights[leaf] for leaf in ("beta:0", "gamma:0", *list(norm.weights)[2:])}
    )
    text = refusal(load, [swapped if layer is norm else layer for layer in small_layers])
    assert "batch_normalization_5 holds beta (8,), gamma (8,)" in text


def test_another_configuration_is_refused(keras, small_layers, small_config, tmp_path):
    path = keras.write(tmp_path / "weights.h5", small_layers)
    other = small_config.model_copy(update={"num_queries": 7, "output_stride": 4})
    with pytest.raises(CheckpointError) as caught:
        load_keras_checkpoint(path, other)
    text = str(caught.value)
    assert "conv2d_73 holds kernel (1, 1, 38, 5), bias (5,), but query_generator.read.3 needs" in text
    assert "conv2d_74 holds kernel (3, 3, 5, 16), but mask_decoder.grow.0.conv needs kernel (3, 3, 7, 16)" in text
    assert "batch_normalization_80 is surplus" in text


# ---------------------------------------------------------------- files that are none


@pytest.mark.parametrize(
    "loader", [load_keras_checkpoint, lambda path, config: load_keras_backbone(path, Darknet53(width=1 / 16))]
)
@pytest.mark.parametrize(
    "defect", ["missing", "directory", "truncated", "text", "empty", "not keras", "unkept promise", "no numbers"]
)
def test_defective_files_are_refused_in_one_sentence(keras, small_layers, small_config, tmp_path, loader, defect):
    path = tmp_path / "weights.h5"
    sentence = {
        "missing": "There is no weight file",
        "directory": "is a directory, not a Keras weight file",
        "not keras": "has no attribute 'layer_names'",
        "unkept promise": "lists 'conv2d_5/kernel:0' but does not hold it",
    }.get(defect, "cannot be read as HDF5")
    make_defective(path, defect, keras, small_layers)
    with pytest.raises(CheckpointError) as caught:
        loader(path, small_config)
    assert str(path) in str(caught.value)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def make_defective(path, defect, keras, layers):
    if defect == "directory":
        path.mkdir()
    elif defect == "text":
        path.write_text("no such key")
    elif defect == "empty":
        path.touch()
    elif defect == "not keras":
        h5py.File(path, "w").close()
    elif defect in ("truncated", "unkept promise", "no numbers"):
        keras.write(path, layers)
    if defect == "truncated":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    if defect in ("unkept promise", "no numbers"):
        with h5py.File(path, "a") as file:
            del file["conv2d_5/conv2d_5/kernel:0"]
            if defect == "no numbers":
                file["conv2d_5/conv2d_5/kernel:0"] = np.dtype("f4")


# ---------------------------------------------------------------- configurations


def test_weights_need_the_reference_network(tmp_path):
    with pytest.raises(ConfigError, match=r"'vlt'.*Keras weights fit 'reference' only"):
        load_keras_checkpoint("any.h5", {"model": {}, "data": {"name": "synthetic"}, "output_dir": "runs"})


def test_our_own_configuration_is_understood(keras, small_layers, small_config, small_state, tmp_path):
    ours = {"model": small_config.model_dump(mode="json"), "data": {"name": "synthetic"}, "output_dir": "runs"}
    (tmp_path / "ours.yaml").write_text(yaml.safe_dump(ours))
    path = keras.write(tmp_path / "weights.h5", small_layers)
    assert_same(load_keras_checkpoint(path, tmp_path / "ours.yaml"), small_state)
    assert_same(load_keras_checkpoint(str(path), ours), small_state)


def test_configuration_mistakes_are_named(tmp_path):
    (tmp_path / "original.yaml").write_text("num_querys: 16\nword_len: 15\n")
    with pytest.raises(ConfigError, match=r"original.yaml: unknown key 'num_querys'.*did you mean 'num_query'"):
        load_keras_checkpoint("any.h5", tmp_path / "original.yaml")
    with pytest.raises(ConfigError, match="lang_att is false"):
        load_keras_checkpoint("any.h5", {"lang_att": False})
    with pytest.raises(ConfigError, match=r"model\.fused_dim is 512"):
        load_keras_checkpoint("any.h5", {"jemb_dim": 512})


def test_balance_cannot_be_turned_off_by_the_originals_key(tmp_path):
    with pytest.warns(VLTWarning, match="query_balance"), pytest.raises(CheckpointError, match="no weight file"):
        load_keras_checkpoint(tmp_path / "none.h5", {"query_balance": False})


# ---------------------------------------------------------------- a backbone alone


def backbone_file(keras, small_layers, path, shift=0):
    """The backbone of the small network with a head behind it, in the layout of a detector's file."""
    ours = [layer for layer in small_layers if layer.name in set(_backbone_names())]
    kernel = np.zeros((1, 1, 64, 255), np.float32)
    head = [
        keras.Layer("conv2d_59", {"kernel:0": kernel, "bias:0": np.zeros(255, np.float32)}),
        keras.Layer("dense_1", {"kernel:0": np.zeros((4, 4), np.float32)}),
    ]
    layers = keras.renumbered(head + ours, shift)
    return keras.write(path, random.Random(2).sample(layers, len(layers)))


def _backbone_names():
    return [f"{kind}_{number}" for kind in ("conv2d", "batch_normalization") for number in range(1, 59)]


@pytest.mark.parametrize("shift", [0, -1, 250])
def test_backbone_is_filled_and_the_head_left(keras, small_layers, small_state, tmp_path, shift):
    backbone = Darknet53(width=1 / 16)
    report = load_keras_backbone(backbone_file(keras, small_layers, tmp_path / "darknet.h5", shift), backbone)
    for name, tensor in backbone.state_dict().items():
        assert torch.equal(tensor, small_state[f"backbone.{name}"]), name
    assert len(report.loaded) == 2 * 58
    assert report.loaded[f"conv2d_{58 + shift}"] == "neck.5.conv"
    assert sorted(report.ignored) == [f"conv2d_{59 + shift}", f"dense_{1 + shift}"]


def test_backbone_that_does_not_fit_is_left_as_it_was(keras, small_layers, tmp_path):
    backbone = Darknet53(width=1 / 8)
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"conv2d_1 holds kernel \(3, 3, 3, 2\), but stem.conv needs") as caught:
        load_keras_backbone(backbone_file(keras, small_layers, tmp_path / "darknet.h5"), backbone)
    assert "misfits: 116:" in str(caught.value)
    assert_same(backbone, before)


def test_backbone_with_a_hole_names_it(keras, small_layers, tmp_path):
    layers = without(
        [layer for layer in small_layers if layer.name in set(_backbone_names())], "conv2d_20", "conv2d_58"
    )
    head = [
        keras.Layer(f"conv2d_{number}", {"kernel:0": np.zeros((1, 1, 7, 7), np.float32)}) for number in range(59, 65)
    ]
    path = keras.write(tmp_path / "darknet.h5", layers + head)
    with pytest.raises(CheckpointError, match=r"misfits: 2: conv2d_20 is missing.*; conv2d_58 is missing"):
        load_keras_backbone(path, Darknet53(width=1 / 16))


def test_backbone_of_a_checkpoint(keras, small_layers, small_state, tmp_path):
    """The original's own checkpoints begin with a backbone too."""
    backbone = Darknet53(width=1 / 16)
    load_keras_backbone(keras.write(tmp_path / "weights.h5", small_layers), backbone)
    assert_same(backbone, {name.removeprefix("backbone."): tensor for name, tensor in small_state.items()})
