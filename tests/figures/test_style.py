"""What all figures share: colours, sizes and axes."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from digits.figures import folder, style
from digits.figures.caption import Caption


def _contrast_on_white(colour: str) -> float:
    """Contrast ratio of WCAG 2.2."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
    return 1.05 / (float(np.dot(linear, [0.2126, 0.7152, 0.0722])) + 0.05)


def test_every_colour_stands_out_on_white():
    assert min(map(_contrast_on_white, [*style.PALETTE, *style.SERIES])) >= 3


def test_the_caption_is_in_the_record_and_not_in_the_picture(tmp_path):
    figure, (axes,) = style.styled(style.canvas)()
    axes.plot([1, 2])
    captions = folder.draw(
        tmp_path, [("one", figure, Caption("A title that is too long for a single line " * 2, "Look."))]
    )
    assert captions == {"one.png": {"title": "A title that is too long for a single line " * 2, "text": "Look."}}
    assert not figure.get_supxlabel()
    assert max(map(len, figure.get_suptitle().splitlines())) <= 10 * style.WIDTH
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.width == round(200 * style.WIDTH)


@pytest.mark.parametrize("values", [[0.5, 0.02, 0.01], [0.5, 0.004, 0.0]])
def test_no_share_is_drawn_as_another(values):
    axes = Figure().subplots()
    axes.plot(values)
    style.log_shares(axes)
    axes.figure.draw_without_rendering()
    low, _ = axes.get_ylim()
    shown = axes.transData.transform([(0, value) for value in values])[:, 1]
    assert low <= min(values)
    assert shown[0] > shown[1] > shown[2]
    ticks = [label.get_text() for label in axes.get_yticklabels()]
    assert ("0%" in ticks) == (min(values) == 0)
