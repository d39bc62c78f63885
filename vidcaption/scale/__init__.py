"""Many machines: a run on a Ray cluster, and stages for pipelines of Ray Data.

Needs the extra "ray". Nothing here captions in another way than one machine does.
"""

from vidcaption.scale.cluster import Cluster
from vidcaption.scale.stages import CaptionWindows, ReadWindows

__all__ = ["CaptionWindows", "Cluster", "ReadWindows"]
