"""What reusing freed memory gives a CNN on the CPU: prints JSON.

    python benchmarks/allocator.py --runs 5

Runs the built-in model's encoder on random frames in processes of their own, by turns with glibc
as it is and as ``vidcaption.model.device`` sets it.
"""

import argparse
import json
import statistics
import subprocess
import sys

BATCH = 32  # frames
MEASURE = """
import sys, time, torch
from vidcaption.model import device, folder
from vidcaption.store import resolve
if sys.argv[1] == "kept":
    device.Machine.find(device.DeviceOptions(device="cpu")).keep_freed_memory()
encoder = folder.load(resolve()).network.encoder
images = torch.randint(0, 256, (int(sys.argv[2]), 3, 224, 224), dtype=torch.uint8)
with torch.inference_mode():
    encoder(images)
    began = time.perf_counter()
    for _ in range(5):
        encoder(images)
print(5 * len(images) / (time.perf_counter() - began))
"""


def frames_per_second(how: str) -> float:
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, how, str(BATCH)], check=True, capture_output=True, text=True
    )
    return float(run.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    pairs = [(frames_per_second("given back"), frames_per_second("kept")) for _ in range(runs)]
    plain, kept = (statistics.median(values) for values in zip(*pairs, strict=True))
    ratio = statistics.median(after / before for before, after in pairs)
    report = {
        "runs": runs,
        "batch": BATCH,
        "frames_per_second": {"given back": round(plain, 1), "kept": round(kept, 1)},
        "ratio": round(ratio, 2),
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
