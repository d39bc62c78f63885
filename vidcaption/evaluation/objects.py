"""Whether captions name the objects in the picture, according to the human captions."""

from collections import Counter
from collections.abc import Mapping, Sequence

from vidcaption.datasets.objects import ObjectNames
from vidcaption.datasets.samples import Sample
from vidcaption.evaluation.statistics import Figure, ratio

_AGREEING = 2  # human captions that must name an object before a caption is expected to


def object_figures(
    said: Mapping[str, str], samples: Sequence[Sample], names: ObjectNames
) -> dict[str, Figure]:
    """Recall and precision of the objects that captions name, pooled over all samples.

    - objects_named: of the objects that at least two human captions of a sample name, the share
      that its caption names. Undefined if no sample has two human captions.
    - objects_confirmed: of the objects that a caption names, the share that any human caption of
      the sample names.

    ``said``: captions by sample id.
    """
    ours = [set(names.named(said[sample.id])) for sample in samples]
    theirs = [Counter(o for text in s.captions for o in names.named(text)) for s in samples]
    expected = [{o for o, times in seen.items() if times >= _AGREEING} for seen in theirs]
    return {
        "objects_named": ratio(
            [len(o & wanted) for o, wanted in zip(ours, expected, strict=True)],
            [len(wanted) for wanted in expected],
        ),
        "objects_confirmed": ratio(
            [len(o & seen.keys()) for o, seen in zip(ours, theirs, strict=True)],
            [len(o) for o in ours],
        ),
    }
