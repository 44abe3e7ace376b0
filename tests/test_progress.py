"""What is shown while networks are trained, and how the time that is left is judged."""

import json

import pytest

from digits import progress
from digits.progress import Task, TimeLeft, TrainingLines, about, duration, makespan

ROW = {"loss": 0.5, "held_out_accuracy": 0.875, "seconds": 10.0}


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.04, "0.0 s"), (9.94, "9.9 s"), (59.4, "59 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")]
)
def test_duration(seconds, said):
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("seconds", "said"), [(40, "40 s"), (90, "1 min 30 s"), (2935, "49 min"), (3590, "59 min 50 s")]
)
def test_about(seconds, said):
    assert about(seconds) == said


def test_a_worker_takes_the_next_task_when_it_is_free():
    assert makespan([5, 1, 1, 1], workers=2) == 5
    assert makespan([1, 1, 1, 5], workers=2) == 6
    assert makespan([], workers=3) == 0


def tasks(count, epochs=10, images=100, done=0, macs=3.0):
    return {f"m{number}": Task(f"m{number}", epochs, done, images, macs) for number in range(count)}


def train(left, names, began, seconds, first=0, last=10):
    """Networks side by side, each of whose epochs takes so long, in ten parts."""
    for part in range(first * 10, last * 10 + 1):
        for name in names:
            left.update(began + (part - first * 10) * seconds / 10, name, part / 10)
    return began + (last - first) * seconds


def test_two_at_a_time_take_half_as_long():
    left = TimeLeft(tasks(4), workers=2)
    assert left.seconds(0.0) is None
    now = train(left, ["m0", "m1"], 0.0, 5.0, last=4)
    assert left.seconds(now) == pytest.approx(6 * 5 + 10 * 5)
    assert left.images_per_second(now) == pytest.approx(2 * 100 / 5)
    assert left.share() == pytest.approx(0.2)


def test_a_busy_quarter_of_an_hour_is_forgotten():
    left = TimeLeft(tasks(2, epochs=100), workers=2)
    now = train(left, ["m0", "m1"], 0.0, 90.0, last=10)
    assert left.seconds(now) == pytest.approx(90 * 90)
    now = train(left, ["m0", "m1"], now, 10.0, first=10, last=25)
    assert left.seconds(now) == pytest.approx(75 * 10, rel=0.01)


def test_the_last_network_of_two_workers_has_one_of_them():
    left = TimeLeft(tasks(3), workers=2)
    now = train(left, ["m0", "m1"], 0.0, 5.0)
    left.end(now, "m0")
    left.end(now, "m1")
    assert left.seconds(now) == pytest.approx(50)
    now = train(left, ["m2"], now, 5.0, last=5)
    assert left.seconds(now) == pytest.approx(25)
    assert left.images_per_second(now) == pytest.approx(20)


def test_a_resumed_network_counts_its_remaining_epochs_and_a_lost_one_all_of_them():
    left = TimeLeft(tasks(1, done=8), workers=1)
    now = train(left, ["m0"], 0.0, 5.0, first=8, last=9)
    assert left.seconds(now) == pytest.approx(5)
    left.update(now, "m0", 0.0)  # its worker died, and it restarts
    assert left.seconds(now) == pytest.approx(50)


def test_larger_networks_take_longer():
    both = tasks(1) | {"large": Task("large", 10, 0, 100, macs=9.0)}
    left = TimeLeft(both, workers=1)
    now = train(left, ["m0"], 0.0, 5.0)
    assert left.seconds(now) == pytest.approx(150)


def test_a_network_that_stops_early_leaves_no_time():
    left = TimeLeft(tasks(2), workers=2)
    now = train(left, ["m0", "m1"], 0.0, 5.0, last=4)
    left.end(now, "m0")
    assert left.seconds(now) == pytest.approx(30)
    left.end(now, "m1")
    assert left.seconds(now) == 0
    assert left.share() == 1


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def hear(lines, **message):
    lines.hear(json.dumps({"member": "m0"} | message))


def test_a_line_tells_loss_accuracy_speed_and_what_is_left_of_the_whole_run(capsys, clock):
    with TrainingLines(tasks(2, epochs=4, images=2000), workers=1, live=False) as lines:
        hear(lines, epoch=0, share=0.0)
        clock[0] = 10.0
        hear(lines, row=ROW | {"epoch": 1.0}, images=2000)
        clock[0] = 40.0
        hear(lines, row=ROW | {"epoch": 2.0, "seconds": 20.0}, images=2000)
        lines.hear("a line of somebody else")
    first, second, other = capsys.readouterr().out.splitlines()
    assert first == "m0 epoch 1/4  loss 0.5000  held-out accuracy 0.8750  200 images/s  1 min 10 s left"
    assert second.endswith("100 images/s  2 min 00 s left")
    assert other == "a line of somebody else"


def test_without_a_terminal_a_minute_is_never_silent(capsys, clock):
    with TrainingLines(tasks(2, epochs=4, images=2000), workers=1, live=False) as lines:
        clock[0] = 30.0
        lines.tick()
        hear(lines, epoch=0, share=0.0)
        clock[0] = 60.0
        hear(lines, epoch=0, share=0.5)
        lines.tick()
        lines.tick()
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("6 % done  33 images/s  7 min 30 s left, to about ")


def test_no_more_time_is_left_than_until_the_deadline(capsys, clock):
    with TrainingLines(tasks(2, epochs=4, images=2000), workers=1, live=False, until=25.0) as lines:
        hear(lines, epoch=0, share=0.0)
        clock[0] = 10.0
        hear(lines, row=ROW | {"epoch": 1.0}, images=2000)
    assert capsys.readouterr().out.endswith("  15 s left\n")
