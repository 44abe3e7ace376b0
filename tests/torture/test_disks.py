"""The disk full at any write, of results and of temporary files, and a folder that may not be written."""

from __future__ import annotations

import shutil

import pytest

from driver import EARLIER, STAGES, WRITES, Place, assert_same, check_whole, execute, finish, line_of, refuse
from faults import disk

STEPS = {"submit": 8, "cluster": 4, "evaluate": 4, "eda": 4, "report": 2, "export": 3, "predict": 2, "tune": 4}
PAGE = 4096  # bytes; what a disk in memory is counted in
AMPLE = 2**27
FULL = "No space left on device; free some space, then run the same command again"


@pytest.mark.torture
@pytest.mark.parametrize("stage", STAGES)
def test_a_disk_full_at_any_write_loses_nothing(stage, reference, tmp_path, tally):
    """The disk gets room bit by bit, so that each call fails at another write."""
    with disk(tmp_path / "disk", AMPLE) as small:
        place = before(stage, reference.copy(small.folder / "output"))
        used, results = small.used(), sum(path.stat().st_size for path in written(reference, stage))
        faults = 0
        for step in range(STEPS[stage]):
            small.remount(f"size={used + (1 + 2 * step) * PAGE + results * step // STEPS[stage]}")
            done = execute(place, stage)
            check_whole(place, finished=True)
            if done.status == 0:
                break
            line = line_of(done)
            assert FULL in line
            assert str(small.folder) in line
            faults += 1
        assert faults >= 2
        small.remount(f"size={AMPLE}")
        finish(place, stage)
        assert_same(place, reference, stage)
    tally(faults=faults)


@pytest.mark.torture
@pytest.mark.parametrize("stage", STAGES)
def test_a_folder_that_may_only_be_read_is_one_line(stage, reference, tmp_path, tally):
    with disk(tmp_path / "disk", AMPLE) as small:
        place = reference.copy(small.folder / "output")
        small.remount("ro")
        line = refuse(place, stage)
        assert "make it writable, or choose another folder with --output" in line
        assert str(small.folder) in line
        small.remount("rw")
        check_whole(place, finished=True)
        assert_same(place, reference, stage)
    tally(faults=1)


def written(place: Place, stage: str) -> list[object]:
    return [path for pattern in WRITES[stage] for path in place.output.glob(pattern) if path.is_file()]


def before(stage: str, place: Place) -> Place:
    """The place as it was before the stage, with an earlier submission."""
    for path in written(place, stage):
        path.unlink()
    if stage == "submit":
        shutil.rmtree(place.run)
        (place.output / "submission.csv").write_text(EARLIER)
    if stage == "tune":
        shutil.rmtree(place.output / "tune")
    return place


@pytest.mark.torture
@pytest.mark.parametrize("stage", ["submit", "export", "predict", "tune"])
def test_full_temporary_folders_are_one_line_or_no_matter(stage, reference, tmp_path, tally):
    """On a disk without any room."""
    with disk(tmp_path / "disk", PAGE) as full:
        (full.folder / "ballast").write_bytes(bytes(2 * PAGE)[:PAGE])
        place = before(stage, reference.copy(tmp_path / "output"))
        done = execute(place, stage, env={"TMPDIR": str(full.folder)})
        if done.status:
            line_of(done)
            finish(place, stage)
        assert_same(place, reference, stage)
    tally(faults=1)
