"""A run's model card: Markdown with a YAML head, in the form of Hugging Face's model cards."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from digits.competition import COMPETITION
from digits.data import Dataset
from digits.errors import one_line
from digits.files import records
from digits.runs import Run
from digits.stages.report import sections
from digits.stages.report.page import PageSection

MOST_CLASSES = 50  # that are listed
LICENCE = "mit"  # of the project
LIMITS = (
    "The scores hold for images that were made as the training images were; others may do worse.",
    f"Every image gets a label, also one that shows no {COMPETITION.noun}. The output named novelty says how unlike "
    "the training images an image is: of these one in a hundred exceeds 1.",
)
USE = """\
```python
import json, numpy, onnxruntime
session = onnxruntime.InferenceSession("ensemble.onnx")
classes = json.loads(session.get_modelmeta().custom_metadata_map["digits"])["classes"]
images = numpy.zeros((1, {height}, {width}, {channels}), numpy.uint8)  # yours, in the form of the training images
print([classes[best] for best in session.run(["probabilities"], {{"images": images}})[0].argmax(axis=1)])
```
"""


def of_run(run: Run) -> str:
    """Text of the model card."""
    metrics = records.read_json(run.metrics, oof_accuracy=float)
    found = records.read_json(run.evaluation / "metrics.json", findings=dict)["findings"]
    left_out = ["The exported file leaves out the test-time augmentation, with which the scores were made."]
    limits = [*LIMITS, *left_out * (run.config.tta != "none"), *found["classes"], *found["confidence"]]
    parts = [
        PageSection("Data", rows=_data(run.dataset)),
        PageSection("Recipe", rows=sections.recipe(run.config, metrics)),
        PageSection("Scores", found["scores"], rows=sections.scores(metrics)),
        PageSection("Limits", limits),
        PageSection("How it was made", rows=sections.origin(run)),
    ]
    return _text(run.folder.name, run.dataset, metrics, parts)


def _data(dataset: Dataset) -> list[list[str]]:
    height, width, channels = dataset.shape
    classes = ", ".join(map(str, dataset.classes[:MOST_CLASSES]))
    more = f" and {len(dataset.classes) - MOST_CLASSES} more" * (len(dataset.classes) > MOST_CLASSES)
    return [
        ["data set", f"{dataset.name}; the data belong to their owners"],
        ["images", f"uint8, {height} x {width} pixels, {channels} {'channel' if channels == 1 else 'channels'}"],
        ["classes", f"{classes}{more}"],
        *([f"fingerprint, {table}", fingerprint] for table, fingerprint in dataset.fingerprints.items()),
    ]


def _text(name: str, dataset: Dataset, metrics: Mapping[str, Any], parts: Sequence[PageSection]) -> str:
    """The card of a run.

    Args:
        name: of the run.
        dataset: of the run.
        metrics: of the run.
        parts: sections of the card.
    """
    head = yaml.safe_dump(_head(name, dataset, metrics), sort_keys=False, allow_unicode=True)
    height, width, channels = dataset.shape
    use = USE.format(height=height, width=width, channels=channels)
    return "\n".join(
        [
            f"---\n{head}---\n\n# {_literal(f'{COMPETITION.title}: {name}')}\n",
            f"{COMPETITION.prose}\n",
            *(part for section in parts for part in _section(section)),
            f"## Use\n\n`make export RUN={name}` writes `ensemble.onnx`, which needs `onnxruntime` alone "
            "(`FORMAT=saved_model` and `FORMAT=litert` write the same for TensorFlow):\n",
            use,
        ]
    )


def _head(name: str, dataset: Dataset, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata: what Hugging Face's search knows a model by. Only what was measured stands in the `model-index`."""
    scores = {"accuracy": metrics["oof_accuracy"]}
    if COMPETITION.metric != "accuracy":
        scores[COMPETITION.metric] = metrics["oof_metric"]
    measured = [
        {"type": metric, "name": f"out-of-fold {metric.replace('_', ' ')}", "value": round(float(score), 5)}
        for metric, score in scores.items()
    ]
    task = {"type": "image-classification"}
    data = {"name": dataset.name, "type": dataset.name, "split": "train"}
    return {
        "license": LICENCE,
        "library_name": "onnx",
        "pipeline_tag": task["type"],
        "tags": ["keras", "onnx", COMPETITION.name],
        "metrics": list(scores),
        "model-index": [{"name": name, "results": [{"task": task, "dataset": data, "metrics": measured}]}],
    }


def _section(section: PageSection) -> Iterator[str]:
    yield f"## {section.title}\n"
    yield from (f"{_literal(sentence)}\n" for sentence in section.sentences)
    if section.rows:
        headings = section.headings or [""] * len(section.rows[0])
        rows = [headings, ["---"] * len(headings), *section.rows]
        yield "".join(f"| {' | '.join(map(_literal, row))} |\n" for row in rows)


def _literal(line: str) -> str:
    """Markdown that shows a text as it is: no HTML, link or picture, for runs come from other people too."""
    return re.sub(r"([\\`\[\]<|])", r"\\\1", one_line(line))
