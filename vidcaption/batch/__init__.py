"""Many inputs: find them, skip what is done, caption each, and go on when one fails."""

from vidcaption.batch.inputs import discover, read_list, spooled, suffixes_of
from vidcaption.batch.manifest import Manifest, read_manifest
from vidcaption.batch.plan import Books, Job, Plan
from vidcaption.batch.runner import Outcome, Watcher, caption_all
from vidcaption.batch.selection import Shard

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
