"""Many inputs: find them, skip what is done, caption each, and go on when one fails."""

from vidcaption.batch.inputs import discover, suffixes_of
from vidcaption.batch.lists import read_list, spooled
from vidcaption.batch.loop import caption_all
from vidcaption.batch.manifest import Manifest, read_manifest
from vidcaption.batch.plan import Books, Job, Plan
from vidcaption.batch.shard import Shard
from vidcaption.batch.work import Outcome, Watcher

__all__ = [
    "Books",
    "Job",
    "Manifest",
    "Outcome",
    "Plan",
    "Shard",
    "Watcher",
    "caption_all",
    "discover",
    "read_list",
    "read_manifest",
    "spooled",
    "suffixes_of",
]
