"""The competition: its files, its metric, and the words that pages use for it. A fork edits this first.

docs/fork.md says what else a fork changes.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Competition:
    """A Kaggle competition that asks for the class of images.

    name: in the address of the competition's page. title: as people call it.
    train, test: files with the labelled and the unlabelled rows. label: column of `train` with the labels.
    submission: header of the submission, the id and the answer. The id alone where the answer is a probability for
        every class: one column each follows, in ascending order of the labels.
    first_id: id of the first test row; the others count on from there.
    metric: name of a score in `ensemble.metrics.METRICS`.
    rows: of `train` and `test`, by which a copy is known under any name, and a submission of other rows; None where
        they do not matter.
    noun, nouns: one class and several, in sentences. prose: one sentence for the top of the report.
    """

    name: str
    title: str
    train: str
    test: str
    label: str
    submission: tuple[str, str] | tuple[str]
    first_id: int
    metric: str
    noun: str
    nouns: str
    prose: str
    rows: tuple[int, int] | None = None

    @property
    def url(self) -> str:
        return f"https://www.kaggle.com/competitions/{self.name}"

    def asks_for(self, data: str, rows: int) -> bool:
        """It scores predictions of so many test rows of the data of this name."""
        return data == self.name and (self.rows is None or rows == self.rows[1])


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
    rows=(42_000, 28_000),
)
