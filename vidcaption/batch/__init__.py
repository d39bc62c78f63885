"""Many inputs: find them, skip those that are done, caption each, and continue after errors."""

from vidcaption.batch.batch import Batch
from vidcaption.batch.captioners import Captioners
from vidcaption.batch.delivery import Delivery, beside
from vidcaption.batch.inputs import Shard, discover, read_list, spooled, suffixes_of
from vidcaption.batch.manifest import Manifest, read_manifest
from vidcaption.batch.plan import Books, Job, Plan
from vidcaption.batch.runner import Executor, Opened, Outcome, Runner, Watcher

__all__ = [
    "Batch",
    "Books",
    "Captioners",
    "Delivery",
    "Executor",
    "Job",
    "Manifest",
    "Opened",
    "Outcome",
    "Plan",
    "Runner",
    "Shard",
    "Watcher",
    "beside",
    "discover",
    "read_list",
    "read_manifest",
    "spooled",
    "suffixes_of",
]
