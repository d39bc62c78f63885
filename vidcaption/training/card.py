"""The model card that training writes beside the weights."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from huggingface_hub import ModelCard, ModelCardData

from vidcaption.model.config import ModelConfig
from vidcaption.options.training import TrainOptions
from vidcaption.store.push import TAGS
from vidcaption.training.history import Epoch, best_of

_CARD = """\
---
{{ card_data }}
---

# A vidcaption model

Trained with `vidcaption train`. {{ counts }}

Best epoch: {{ best }}.

Before you share this model, describe here the data that it was trained on, its terms, and what it
does not cover.

## Architecture

```json
{{ config }}
```

## Training

```json
{{ options }}
```
"""


def write_card(
    counts: str, config: ModelConfig, options: TrainOptions, history: Sequence[Epoch]
) -> str:
    """Markdown, with the metadata for the Hub at the top: ``counts`` (a sentence on the data), the
    best epoch, and the whole configuration."""
    best = best_of(history)
    card = ModelCard.from_template(
        ModelCardData(library_name="vidcaption", tags=list(TAGS)),
        template_str=_CARD,
        counts=counts,
        best=f"{best.epoch} ({best.stage}), {best.score}",
        config=json.dumps(asdict(config), indent=2),
        options=json.dumps(asdict(options), indent=2),
    )
    return f"{card}\n"
