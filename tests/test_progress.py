"""The line an epoch."""

import pytest

from digits.progress import EpochLines, duration


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.04, "0.0 s"), (9.94, "9.9 s"), (59.4, "59 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")]
)
def test_duration(seconds, said):
    assert duration(seconds) == said


def test_a_line_tells_loss_accuracy_speed_and_what_is_left(capsys):
    row = {"loss": 0.5, "held_out_accuracy": 0.875, "seconds": 10.0}
    with EpochLines("small-s0-f0 [1/3]", epochs=4, to_come=2, live=False) as lines:
        lines.within(0, 0.5)
        lines.after(row | {"epoch": 1.0}, images=2000)
        lines.after(row | {"epoch": 2.0, "seconds": 20.0}, images=2000)
    first, second = capsys.readouterr().out.splitlines()
    assert first == (
        "small-s0-f0 [1/3] epoch 1/4  loss 0.5000  held-out accuracy 0.8750  200 images/s  1 min 50 s left"
    )
    assert second.endswith("100 images/s  2 min 30 s left")
