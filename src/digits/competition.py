"""What a fork edits first: the competition, its files, its metric, and the words that pages use for it.

docs/fork.md says what else a fork changes.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Competition:
    """A competition that labels images.

    name: Kaggle's, as in the address of its page. title: as people call it. train, test: files with the labelled and
    the unlabelled rows. label: column of `train` with the labels. submission: header of the submission, the id and the
    answer. first_id: id of the first test row. metric: name of a score in `ensemble.metrics.METRICS`. noun, nouns: what
    a class is called, such as `digit`. prose: one sentence for the top of the report.
    """

    name: str
    title: str
    train: str
    test: str
    label: str
    submission: tuple[str, str]
    first_id: int
    metric: str
    noun: str
    nouns: str
    prose: str

    @property
    def url(self) -> str:
        return f"https://www.kaggle.com/competitions/{self.name}"


COMPETITION = Competition(
    name="digit-recognizer",
    title="Digit Recognizer",
    train="train.csv",
    test="test.csv",
    label="label",
    submission=("ImageId", "Label"),
    first_id=1,
    metric="accuracy",
    noun="digit",
    nouns="digits",
    prose="Kaggle's Digit Recognizer asks for the digit on each of its test images of handwriting.",
)
