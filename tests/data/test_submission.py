"""The validator, on files as other tools write them."""

import numpy as np
import pytest

from digits.data import submission
from digits.errors import UserError

CLASSES = np.arange(10)
LABELS = np.random.default_rng(0).integers(0, 10, 40)
PROBABILITIES = np.eye(10)[LABELS]
LINES = ["ImageId,Label", *(f"{number},{label}" for number, label in enumerate(LABELS, start=1))]


@pytest.fixture
def check(tmp_path):
    def checked(content: str | bytes) -> submission.Verdict:
        path = tmp_path / "some.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return submission.check(path, len(LABELS), CLASSES)

    return checked


def text(lines: list[str], end: str = "\n") -> str:
    return end.join(lines) + end


def changed(at: int, line: str) -> list[str]:
    return [*LINES[:at], line, *LINES[at + 1 :]]


def test_a_written_file_reads_back(tmp_path):
    path = tmp_path / "submission.csv"
    submission.write(path, PROBABILITIES, CLASSES)
    assert path.read_bytes() == text(LINES).encode()
    verdict = submission.check(path, len(LABELS), CLASSES)
    assert verdict.valid
    assert np.array_equal(verdict.labels, LABELS)


def test_an_invalid_file_is_not_written_over_a_good_one(tmp_path):
    path = tmp_path / "submission.csv"
    submission.write(path, PROBABILITIES, CLASSES)
    with pytest.raises(ValueError, match="carriage returns"):
        submission.write(path, PROBABILITIES, np.array([*"012345678", "a\rb"]))
    assert path.read_bytes() == text(LINES).encode()
    assert [file.name for file in tmp_path.iterdir()] == ["submission.csv"]


class TestProbabilities:
    """A competition whose submission has a column of probabilities for every class."""

    NAMES = np.array(["cat", "dog", "fox"])
    LINES = ("id,cat,dog,fox", "0,0.5,0.25,0.25", "1,0.0,0.0,1.0")

    @pytest.fixture(autouse=True)
    def of_probabilities(self, monkeypatch):
        monkeypatch.setattr(submission, "ID", "id")
        monkeypatch.setattr(submission, "FIRST", 0)
        monkeypatch.setattr(submission, "OF_PROBABILITIES", True)

    def test_they_are_written_and_read_back(self, tmp_path):
        submission.write(tmp_path / "s.csv", np.array([[0.5, 0.25, 0.25], [0, 0, 1]]), self.NAMES)
        assert tuple((tmp_path / "s.csv").read_text().splitlines()) == self.LINES
        assert submission.check(tmp_path / "s.csv", 2, self.NAMES).labels.tolist() == ["cat", "fox"]

    @pytest.mark.parametrize(
        ("line", "problem"),
        [
            ("1,0.5,0.5", "line 3: 3 cells instead of 4"),
            ("1,0.5,nan,0", "line 3: 'nan' is not a probability from 0 to 1"),
            ("1,1.5,0,0", "line 3: '1.5' is not a probability"),
            ("1,dog,0,0", "line 3: 'dog' is not a probability"),
        ],
    )
    def test_what_is_none_is_named(self, tmp_path, line, problem):
        (tmp_path / "s.csv").write_text("\n".join((*self.LINES[:2], line)))
        assert problem in submission.check(tmp_path / "s.csv", 2, self.NAMES).problems[0]


@pytest.mark.parametrize(
    ("content", "remark"),
    [
        (text(LINES), None),
        (text(LINES)[:-1], None),
        (text(LINES) + "\n\n", None),
        (text(LINES, "\r\n"), "CRLF"),
        (b"\xef\xbb\xbf" + text(LINES).encode(), "byte-order mark"),
    ],
)
def test_valid_forms(check, content, remark):
    verdict = check(content)
    assert verdict.valid
    assert np.array_equal(verdict.labels, LABELS)
    assert remark is None or any(remark in said for said in verdict.remarks)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (LINES[1:], "the header 'ImageId,Label' is missing"),
        (["Id,Label", *LINES[1:]], "the header must be 'ImageId,Label', found 'Id,Label'"),
        (["ImageId,Label,x", *LINES[1:]], "the header must be"),
        (LINES[:-1], "39 rows after the header, the test set has 40"),
        (LINES[:-1], "ImageId 40 is missing"),
        ([*LINES, "41,undefined"], "line 42: label 'undefined' is not a number"),
        ([*LINES, "41,3"], "ImageId 41 is beyond the 40 test rows"),
        (["ImageId,Label", *(f"{i},{label}" for i, label in enumerate(LABELS))], "ImageId starts at 0"),
        (changed(3, LINES[4]), "ImageId 4 stands more than once"),
        (changed(3, LINES[4]), "ImageId 3 is missing"),
        (changed(3, "3.0,1"), "line 4: ImageId '3.0' is not a plain whole number"),
        (changed(3, " 3,1"), "line 4: ImageId ' 3' is not a plain whole number"),
        (changed(3, "03,1"), "line 4: ImageId '03' is not a plain whole number"),
        (changed(3, "9" * 5000 + ",1"), "is not a plain whole number"),
        (changed(3, "3, 1"), "line 4: label ' 1' must be written as a whole number, 1"),
        (["\x0c".join(LINES)], "the header must be"),
        (["\u2028".join(LINES)], "the header must be"),
        (["\r".join(LINES)], "carriage returns that are no part of a line end"),
        (changed(3, "3,1.0"), "line 4: label '1.0' must be written as a whole number, 1"),
        (changed(3, "3,1.5"), "line 4: label '1.5' is not a label seen in training"),
        (changed(3, "3,10"), "line 4: label '10' is not a label seen in training"),
        (changed(3, "3,-1"), "not a label seen in training"),
        (changed(3, "3,nan"), "line 4: label 'nan'"),
        (changed(3, "3,"), "line 4: label '' is not a number"),
        (changed(3, "3,1,1"), "line 4: 3 cells instead of 2"),
        (changed(3, ""), "line 4: 0 cells instead of 2"),
        ([LINES[0], *reversed(LINES[1:])], "not in the order of ImageId"),
        ([], "empty"),
    ],
)
def test_invalid_forms_are_named(check, lines, said):
    verdict = check(text(lines) if lines else "")
    assert not verdict.valid
    assert any(said in problem for problem in verdict.problems), verdict.problems


def test_many_problems_of_one_kind_are_counted(check):
    verdict = check(text(["ImageId,Label", *(f"{i},x" for i in range(1, 41))]))
    assert len(verdict.problems) == submission.SHOWN + 1
    assert verdict.problems[-1] == "... and 35 more of this kind"


@pytest.mark.parametrize("content", [b"\xff\xfe\x00\x01", b'ImageId,Label\n"1,2'])
def test_what_is_no_csv(check, content):
    with pytest.raises(UserError, match=r"some\.csv: not a"):
        check(content)


def test_a_missing_file():
    with pytest.raises(UserError, match="No such file"):
        submission.check(submission.Path("none.csv"), 3, CLASSES)


class TestCompare:
    def compared(self, labels: np.ndarray, own: bool = False) -> submission.Verdict:
        verdict = submission.Verdict(labels=labels)
        submission.compare(verdict, LABELS, "best", own)
        return verdict

    def test_another_tools_labels_only_need_to_be_similar(self):
        labels = LABELS.copy()
        labels[7] = (labels[7] + 1) % 10
        verdict = self.compared(labels)
        assert verdict.valid
        assert verdict.remarks == ["agrees with run 'best' on 97.50% of the rows"]

    def test_a_runs_own_file_must_agree_in_every_row(self):
        assert self.compared(LABELS, own=True).valid
        labels = LABELS.copy()
        labels[7] = (labels[7] + 1) % 10
        assert "the first at ImageId 8" in self.compared(labels, own=True).problems[0]

    def test_file_name_order_is_recognised(self):
        """An early public repository scored 0.096 this way: ids in order, labels in file-name order."""
        by_name = np.array(sorted(range(1, 41), key=str)) - 1
        assert "file-name order" in self.compared(LABELS[by_name]).problems[0]

    def test_any_other_order_is_doubted(self):
        shuffled = np.random.default_rng(3).permutation(LABELS)
        assert "probably in another order" in self.compared(shuffled).problems[0]
