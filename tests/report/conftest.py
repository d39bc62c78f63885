"""A small model with random weights, and pictures for it."""

import cv2
import numpy as np
import pytest
import torch

from vidcaption.datasets.samples import Sample
from vidcaption.evaluation.captioning import caption_samples
from vidcaption.model import folder as model_folder
from vidcaption.model.config import ModelConfig
from vidcaption.model.device import Machine
from vidcaption.model.network import CaptionNetwork
from vidcaption.model.vocabulary import Vocabulary
from vidcaption.options.captioning import SearchOptions

CONFIG = ModelConfig.flat(
    image_size=64, grid=2, size=16, attention_heads=2, embedding=12, temporal="none"
)
SEARCH = SearchOptions(beam=1, max_words=6)  # quick


@pytest.fixture(scope="session")
def cpu():
    return Machine(torch.device("cpu"), torch.float32)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Of a model that says different things of different pictures."""
    folder = tmp_path_factory.mktemp("model")
    vocabulary = Vocabulary([f"word{i}" for i in range(26)])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = CaptionNetwork(CONFIG, vocabulary).eval()
    for parameter in network.decoder.parameters():
        parameter.data.mul_(3)
    model_folder.save(folder, network, vocabulary, "# A model\n")
    return folder


@pytest.fixture(scope="session")
def model(folder):
    return model_folder.load(folder)


@pytest.fixture(scope="session")
def samples(tmp_path_factory, model, cpu):
    """Eighteen samples of one to four stills; the model says of "7" just what its reference is."""
    folder = tmp_path_factory.mktemp("stills")
    rng = np.random.default_rng(0)
    drawn = []
    for i in range(18):
        paths = [folder / f"{i}-{number}.png" for number in range(1 + i % 4)]
        for path in paths:
            blobs = cv2.resize(rng.integers(0, 256, (3, 4, 3), np.uint8), (80, 60))
            path.write_bytes(cv2.imencode(".png", blobs)[1].tobytes())
        drawn.append(Sample(str(i), (f"word{i} is unlike the others",), "test", tuple(paths)))
    said = caption_samples(model.network, model.vocabulary, drawn, 4, SEARCH, cpu)
    drawn[7] = Sample("7", (said["7"].text,), "test", drawn[7].stills)
    return drawn
