"""What a fork edits first: the competition."""

from __future__ import annotations

COMPETITION = "digit-recognizer"
COMPETITION_URL = f"https://www.kaggle.com/competitions/{COMPETITION}"
