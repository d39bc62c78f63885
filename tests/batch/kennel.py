"""Runs ``vidcaption run`` in forks of this process, kills each after a while, then lets one end.

    python kennel.py KILLS SEED LONGEST_S ARGUMENT...

PyTorch is imported once, and not used before the forks: a kill costs a second instead of ten. Says
after each kill which files there are, by their content, as a line of JSON.
"""

import hashlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from vidcaption.cli import main


def start(arguments: list[str]) -> int:
    child = os.fork()
    if child == 0:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
        os._exit(main(arguments))
    return child


def files() -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path().rglob("*"))
        if path.is_file()
    }


def run(kills: int, seed: str, longest_s: float, arguments: list[str]) -> int:
    import vidcaption.pipeline  # noqa: F401

    chance = random.Random(seed)
    for _ in range(kills):
        child = start(arguments)
        time.sleep(chance.uniform(0, longest_s))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        print(json.dumps(files()), flush=True)
    _, status = os.waitpid(start([*arguments, "--manifest", "last.jsonl"]), 0)
    print(json.dumps(files()), flush=True)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":  # not in the processes that read videos
    sys.exit(run(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), sys.argv[4:]))
