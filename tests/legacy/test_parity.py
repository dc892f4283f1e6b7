"""The reference network against the outputs of the original code, recorded in float32."""

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from vlt.legacy import load_keras_checkpoint

TOLERANCE = 1e-3
"""Largest difference, in standard deviations of the recorded output.

Measured: below 1.3e-4 for all; for the logits 5.9e-5, with one thread 6.6e-5. In double precision the logits differ by
5.1e-5, which is therefore the recording's own rounding.
"""

EVERY_THIRD = {"mask_logits": np.s_[:, ::3, ::3], "word_features": np.s_[..., ::3]}
"""Subset of the larger outputs that the recordings keep; steps of three meet every phase of the upsampling."""


@pytest.fixture(scope="session", params=["refcoco", "refcocog"])
def outputs(request, keras, tmp_path_factory):
    """Recorded and own outputs of one configuration. The 357 MB weight file is made, read and removed."""
    manifest = keras.manifest(request.param)
    folder = tmp_path_factory.mktemp("parity")
    path = keras.write(folder / f"{request.param}.h5", keras.random_layers(manifest.shapes))
    config = manifest.config
    if request.param == "refcocog":  # by the path of a YAML file, the other as a mapping
        config = folder / "original.yaml"
        config.write_text(yaml.safe_dump(manifest.config))
    try:
        model = load_keras_checkpoint(path, config)
    finally:
        path.unlink()
    recorded = np.load(keras.recordings / f"{request.param}.npz")
    photos = [np.asarray(Image.open(keras.recordings / f"image_{index}.png")) for index in range(2)]
    images = torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        output = model.segment(model.encode(images), torch.from_numpy(recorded["words"]))
        first = model(images[:1], torch.from_numpy(recorded["words"][:1]))
    return request.param, recorded, _by_recorded_name(output), first, model


def _by_recorded_name(output):
    return {
        "mask_logits": output.logits[:, 0],
        "word_features": output.text.words,
        "query_vectors": output.visual_queries,
        "language_queries": output.queries,
        "query_confidence": output.confidence,
        "responses": output.response_maps.flatten(2),
    }


@pytest.mark.parametrize(
    "quantity",
    ["mask_logits", "word_features", "query_vectors", "language_queries", "query_confidence", "responses"],
)
def test_outputs_are_the_originals(outputs, quantity):
    _, recorded, own, *_ = outputs
    ours = own[quantity].numpy()[EVERY_THIRD.get(quantity, ...)]
    assert ours.shape == recorded[quantity].shape
    assert np.abs(ours - recorded[quantity]).max() < TOLERANCE * recorded[quantity].std()


def test_one_image_alone_gives_the_same_output(outputs):
    _, _, own, first, _ = outputs
    torch.testing.assert_close(first[:, 0], own["mask_logits"][:1], rtol=1e-4, atol=1e-5)


def test_every_recorded_number_went_somewhere(outputs, keras):
    """Trained weights and moving averages, but for the counters that only PyTorch keeps."""
    name, *_, model = outputs
    manifest = keras.manifest(name)
    recorded = sum(int(np.prod(shape)) for _, weights in manifest.shapes for shape in weights.values())
    own = sum(x.numel() for key, x in model.state_dict().items() if not key.endswith("num_batches_tracked"))
    assert own == recorded == {"refcoco": 89_377_674, "refcocog": 88_786_826}[name]
