"""What `make bench-scale` counts; how much that is, is for it to say."""

import sys

import numpy as np
import pandas as pd
import pytest

import bench_scale
from bench_scale import Stage, Watched

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the proportional set size")
HELD = 100_000_000


def peak(code):
    return bench_scale._watch("-c", code).stage(1, "held").peak


@pytest.mark.slow
def test_memory_is_that_of_all_processes_and_a_shared_page_counts_once():
    alone = peak(f"import time; held = bytearray({HELD}); time.sleep(1)")
    assert HELD < alone < 1.3 * HELD
    shared = peak(f"import os, time; held = bytearray({HELD}); os.fork(); time.sleep(1)")
    assert HELD < shared < 1.75 * HELD  # a look that begins before the fork and ends after it sees one and a half
    both = peak(f"import os, time; os.fork(); held = bytearray({HELD}); time.sleep(1)")
    assert 2 * HELD < both < 2.6 * HELD


def test_the_processor_time_of_children_counts():
    work = "sum(range(10**7))"
    code = f"import subprocess, sys; [subprocess.run([sys.executable, '-c', '{work}; {work}']) for _ in range(2)]"
    assert bench_scale._watch("-c", code + "; import time; time.sleep(0.5)").stage(1, "worked").cpu > 0.1


def test_a_command_that_fails_ends_the_bench():
    with pytest.raises(SystemExit, match="ended with status 3"):
        bench_scale._watch("-c", "raise SystemExit(3)")


def test_a_part_has_the_memory_of_its_time():
    times = np.arange(10.0)
    looks = Watched(np.column_stack([times, [1, 2, 3, 9, 3, 2, 1, 5, 1, 1], 2 * times]))
    assert looks.stage(7, "all") == Stage(7, "all", 9.0, 18.0, 9.0)
    assert looks.stage(7, "part", 5.0, 6.0) == Stage(7, "part", 1.0, 2.0, 2.0)
    assert looks.stage(7, "between two looks", 7.2, 7.4).peak == 5.0
    assert looks.stage(7, "a clock that is ahead", 8.5, 99.0).seconds == 0.5


def test_table_and_figure_are_written(tmp_path):
    stages = [
        Stage(rows, name, rows / 500, rows / 300, 7e8 + 4e3 * rows) for rows in (1000, 10_000) for name in "abcdefghi"
    ]
    bench_scale._write(tmp_path, pd.DataFrame(stages))
    assert (tmp_path / "scale.md").read_text().splitlines()[2] == "| 1,000 | a | 2.0 | 3.3 | 2.000 | 704 |"
    assert pd.read_csv(tmp_path / "scale.csv")["rows"].tolist() == 9 * [1000] + 9 * [10_000]
    assert (tmp_path / "scale.png").stat().st_size > 10_000
    times, peaks = bench_scale.draw(pd.DataFrame(stages)).axes
    assert [text.get_text() for text in peaks.get_legend().get_texts()] == list("abcdefghi")
    assert times.get_xscale() == times.get_yscale() == "log"
    assert peaks.get_ylim()[1] > 8
