"""Write the page and the pictures of the built-in model's card.

    python benchmarks/card.py flickr8k.jsonl msrvtt.jsonl

What the epochs gave comes from ``history.csv``, lengths and words from captions of the datasets'
dev samples. The samples shown are the parts of examples/clip.mp4, as pictures of the datasets may
not be given away.
"""

import argparse
from pathlib import Path

from PIL import Image

from vidcaption.datasets.read import read_dataset
from vidcaption.datasets.samples import Sample, of_split
from vidcaption.model.device import Machine
from vidcaption.options.captioning import DeviceOptions
from vidcaption.training.page import CAPTIONS, SHEET, write_training_page

ROOT = Path(__file__).parent.parent
MODEL = ROOT / "weights" / "default"
SECONDS = 4
SAID = {  # by people, of so many seconds each
    "motorcycle": "A red motorcycle stands in a garage.",
    "astronaut": "A smiling astronaut in an orange suit with a flag and a model of a space shuttle "
    "behind her.",
    "coffee": "A cup of coffee and a spoon on a wooden table.",
    "cat": "The face of a cat, seen from near.",
    "rocket": "A rocket on its launch pad at night.",
}


def parts() -> list[Sample]:
    clip = ROOT / "examples" / "clip.mp4"
    return [
        Sample(name, (said,), None, video=clip, start_s=SECONDS * i, end_s=SECONDS * (i + 1))
        for i, (name, said) in enumerate(SAID.items())
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("datasets", nargs="+", type=Path)
    asked = parser.parse_args()
    dev = [each for path in asked.datasets for each in of_split(read_dataset(path), "dev", path)[0]]
    machine = Machine.find(DeviceOptions())
    write_training_page(MODEL, dev, machine, shown=parts())
    (MODEL / CAPTIONS).unlink()  # the page holds it
    with Image.open(MODEL / SHEET) as sheet:
        sheet.quantize(256).save(MODEL / SHEET, optimize=True)  # a quarter of the size


if __name__ == "__main__":
    main()
