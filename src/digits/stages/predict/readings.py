"""Predictions of people's own pictures: labels, or why there are none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from digits.competition import COMPETITION

OK, NONE = "ok", f"not a {COMPETITION.noun}"
MOST_SIDE_BY_SIDE = 20  # in a picture: more is no number but noise


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture, and the images made of it for the networks.

    name: of the file, with the row in a CSV. images: uint8 (n, height, width, channels). thumbnail: a small copy, uint8
    (height, width) or with 3 channels; None for rows of a CSV. problem: why it cannot be read; None where it can.
    """

    name: str
    images: np.ndarray
    thumbnail: np.ndarray | None = None
    problem: str | None = None


@dataclass(frozen=True, eq=False)
class Reading:
    """Prediction of a picture.

    status: `OK`, `NONE` or the picture's problem. note: why it is `NONE`. label: of all images together. confidence:
    the probability of the label. probabilities: of each image, float (n, classes).
    """

    picture: Picture
    status: str
    note: str = ""
    label: str = ""
    confidence: float | None = None
    probabilities: np.ndarray | None = None

    @property
    def is_readable(self) -> bool:
        return self.picture.problem is None


def read(picture: Picture, probabilities: np.ndarray, novelty: np.ndarray, classes: np.ndarray, split: bool) -> Reading:
    """Read a picture.

    Args:
        picture: with n images.
        probabilities: of its images, float (n, classes).
        novelty: of its images, float (n,).
        classes: labels, int or str (classes,).
        split: the picture may show several images side by side.
    """
    count = len(picture.images)
    if picture.problem:
        return Reading(picture, picture.problem)
    if not count:
        return Reading(picture, NONE, "there is no ink")
    if count > (MOST_SIDE_BY_SIDE if split else 1):
        hint = "" if split else f": {count} of them; SPLIT=1 reads them all"
        return Reading(picture, NONE, f"several things{hint}")
    labels = [str(classes[predicted]) for predicted in probabilities.argmax(axis=1)]
    label = ("" if max(map(len, map(str, classes))) == 1 else " ").join(labels)
    confidence = float(probabilities.max(axis=1).prod())
    status, note = OK, ""
    if novelty.max() > 1:
        status, note = NONE, f"unlike any {COMPETITION.noun}; the best guess stands here"
    return Reading(picture, status, note, label, confidence, probabilities)
