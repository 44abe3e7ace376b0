"""The confusion matrix."""

import numpy as np

from digits.figures import confusion


def test_the_confusion_matrix_names_the_commonest_confusion():
    counts = np.diag([50, 60, 70])
    counts[2, 0] = 4
    text = "4 of 184 rows are wrong, those beside the diagonal; most often 8 is taken for 3 (4 times)."
    assert confusion.caption(counts, np.array([3, 5, 8])).text == text
    shown = confusion.confusion_matrix(counts, np.array([3, 5, 8])).axes[0].texts
    assert [found.get_text() for found in shown] == ["50", "60", "4", "70"]
    assert confusion.caption(np.diag([5, 6]), np.array([0, 1])).text.startswith("0 of 11 rows are wrong")
