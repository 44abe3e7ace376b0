"""The confusion matrix."""

import numpy as np

from digits.figures import confusion


def test_the_confusion_matrix_names_the_commonest_confusion():
    counts = np.diag([50, 60, 70])
    counts[2, 0] = 4
    figure = confusion.confusion_matrix(counts, np.array([3, 5, 8]))
    assert figure.get_supxlabel() == "4 of 184 rows are wrong; most often 8 is taken for 3 (4)"
    assert confusion.confusion_matrix(np.diag([5, 6]), np.array([0, 1])).get_supxlabel() == "0 of 11 rows are wrong"
