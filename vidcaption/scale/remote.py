"""The parts of Ray that its annotations do not cover."""

from typing import Any

import ray


def remote(work: Any, **options: Any) -> Any:
    """``ray.remote`` of a function or class, with any of its options."""
    decorate: Any = ray.remote
    return decorate(**options)(work)


def machines() -> dict[str, dict[str, float]]:
    """The resources of each machine that is alive, such as ``CPU`` and ``GPU``, by its identity."""
    nodes: Any = ray.nodes
    return {node["NodeID"]: node["Resources"] for node in nodes() if node["Alive"]}
