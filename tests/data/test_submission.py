"""The validator, on files as other tools write them."""

import zipfile

import numpy as np
import pytest

from digits.data import archives, submission
from digits.data.submission import Reference
from digits.errors import UserError

CLASSES = np.arange(10)
LABELS = np.random.default_rng(0).integers(0, 10, 40)
PROBABILITIES = np.eye(10)[LABELS]
LINES = ["ImageId,Label", *(f"{number},{label}" for number, label in enumerate(LABELS, start=1))]


def changed_labels(count: int) -> np.ndarray:
    """The labels with the wrong ones from the eighth row on, so many."""
    labels = LABELS.copy()
    labels[7 : 7 + count] = (labels[7 : 7 + count] + 1) % 10
    return labels


def reference(**changed) -> Reference:
    return Reference(**{"name": "run 'best'", "labels": LABELS, "accuracy": 0.99, "rows": np.arange(40)} | changed)


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
        ([], "empty"),
        (LINES[:1], "no rows after the header, the test set has 40"),
    ],
)
def test_invalid_forms_are_named(check, lines, said):
    verdict = check(text(lines) if lines else "")
    assert not verdict.valid
    assert any(said in problem for problem in verdict.problems), verdict.problems


def test_many_problems_of_one_kind_are_counted(check):
    verdict = check(text(["ImageId,Label", *(f"{i},x" for i in range(1, 41))]))
    assert verdict.problems == ["line 2: label 'x' is not a number, and 39 more of this kind"]


def test_a_few_problems_of_one_kind_are_listed(check):
    verdict = check(text([*LINES[:4], "4,x", "5,y", *LINES[6:]]))
    assert verdict.problems == ["line 5: label 'x' is not a number", "line 6: label 'y' is not a number"]


def test_ids_of_another_form_are_no_missing_ones(check):
    verdict = check(text(["ImageId,Label", *(f"{i}.0,1" for i in range(1, 41))]))
    assert verdict.problems == ["line 2: ImageId '1.0' is not a plain whole number, and 39 more of this kind"]


def test_only_the_header_is_said_so_and_nothing_else(check):
    assert check("ImageId,Label\n").problems == ["no rows after the header, the test set has 40"]


def test_rows_in_another_order_are_joined_by_id(check):
    verdict = check(text([LINES[0], *reversed(LINES[1:])]))
    assert verdict.valid
    assert np.array_equal(verdict.labels, LABELS)
    assert verdict.remarks == ["the rows are not in the order of ImageId; Kaggle joins them by ImageId, and so did we"]
    submission.compare_own(verdict, LABELS, "best")
    assert verdict.problems == ["the rows are not in the order in which run 'best' writes them"]


def test_labels_that_are_all_equal_are_doubted(check):
    verdict = check(text(["ImageId,Label", *(f"{i},0" for i in range(1, 41))]))
    assert verdict.valid
    assert verdict.remarks == ["every row gets the label 0: sample_submission.csv, sent by mistake?"]
    submission.compare(verdict, reference())
    assert verdict.valid, "labels that are all equal have no order"


class TestZip:
    def zipped(self, folder, members: dict[str, str | bytes], method: int = zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(folder / "some.zip", "w", method) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return folder / "some.zip"

    @pytest.mark.parametrize(
        "members",
        [{"submission.csv": text(LINES)}, {"a/": "", "a/x.CSV": text(LINES), "__MACOSX/a/._x.CSV": "x", "b.txt": "x"}],
    )
    def test_a_zipped_file_is_read(self, tmp_path, members):
        verdict = submission.check(self.zipped(tmp_path, members), len(LABELS), CLASSES)
        assert verdict.valid
        assert np.array_equal(verdict.labels, LABELS)

    @pytest.mark.parametrize(
        ("members", "words"),
        [
            ({}, "holds no CSV files; expected one"),
            ({"x.txt": text(LINES)}, "holds no CSV files; expected one"),
            ({"a.csv": text(LINES), "b.csv": text(LINES)}, "holds 2 CSV files; expected one"),
            ({"../a.csv": text(LINES)}, "unsafe path"),
            ({"a.csv": b"0" * 9 * 2**20}, "a zip bomb"),
            ({"a.csv": b"0" * 3 * 2**20}, "is no submission but a file of more than"),
            ({"a.csv": b"\xff\xfe"}, "not a text file in UTF-8"),
        ],
    )
    def test_any_other_zip_is_refused(self, tmp_path, monkeypatch, members, words):
        monkeypatch.setattr(archives, "HARMLESS", 5 * 2**20)
        path = self.zipped(tmp_path, members)
        with pytest.raises(UserError, match=words) as refused:
            submission.check(path, len(LABELS), CLASSES)
        assert "some.zip" in str(refused.value)

    def test_other_kinds_of_compression_and_damage_are_named(self, tmp_path):
        path = self.zipped(tmp_path, {"a.csv": text(LINES)}, zipfile.ZIP_LZMA)
        with pytest.raises(UserError, match="unknown kind of zip compression"):
            submission.check(path, len(LABELS), CLASSES)
        path.write_bytes(path.read_bytes()[:-30])
        with pytest.raises(UserError, match="not a whole zip file"):
            submission.check(path, len(LABELS), CLASSES)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00\x01", b'ImageId,Label\n"1,2'])
def test_what_is_no_csv(check, content):
    with pytest.raises(UserError, match=r"some\.csv: not a"):
        check(content)


def test_a_missing_file():
    with pytest.raises(UserError, match="No such file"):
        submission.check(submission.Path("none.csv"), 3, CLASSES)


class TestOwn:
    def test_a_runs_own_file_must_agree_in_every_row(self):
        verdict = submission.Verdict(submission.expected_ids(40), labels=LABELS)
        submission.compare_own(verdict, LABELS, "best")
        assert verdict.valid
        verdict.labels = changed_labels(1)
        submission.compare_own(verdict, LABELS, "best")
        assert "1 labels are not those of run 'best', the first at ImageId 8" in verdict.problems[0]

    def test_the_tables_own_ids_are_named(self):
        verdict = submission.Verdict(list(range(42_001, 42_041)), labels=changed_labels(1))
        submission.compare_own(verdict, LABELS, "best")
        assert "the first at ImageId 42008:" in verdict.problems[0]


class TestCompare:
    def compared(self, given: np.ndarray, **changed) -> submission.Verdict:
        verdict = submission.Verdict(submission.expected_ids(len(given)), labels=given)
        submission.compare(verdict, reference(**changed))
        return verdict

    def test_another_tools_labels_only_need_to_be_similar(self):
        verdict = self.compared(changed_labels(1))
        assert verdict.valid
        assert verdict.remarks == ["agrees with run 'best' on 97.50% of the rows; it is right in about 99.0%"]

    def test_a_weak_reference_does_not_condemn_right_labels(self):
        """A network of one epoch was right in 42 %, and so agreed with the true labels in 42 % of the rows."""
        labels = np.random.default_rng(1).integers(0, 10, 28_000)
        shuffled = np.random.default_rng(2).permutation(labels)
        weak = np.where(np.arange(28_000) % 50 < 21, labels, (labels + 1 + np.arange(28_000) % 9) % 10)
        judge = {"labels": weak, "rows": np.arange(28_000)}
        assert self.compared(labels, accuracy=0.42, **judge).valid
        assert not self.compared(shuffled, accuracy=0.42, **judge).valid
        assert not self.compared(labels, accuracy=0.99, **judge).valid, "too little for a reference that is right"

    def test_a_part_of_the_rows_is_enough(self):
        rows = np.random.default_rng(4).permutation(40)[:30]
        part = {"labels": LABELS[rows], "rows": rows}
        assert "on 100.00% of 30 rows" in self.compared(LABELS, **part).remarks[0]
        by_name = np.array(sorted(range(1, 41), key=str)) - 1
        assert "file-name order" in self.compared(LABELS[by_name], **part).problems[0]

    def test_file_name_order_is_recognised(self):
        """An early public repository scored 0.096 this way: ids in order, labels in file-name order."""
        by_name = np.array(sorted(range(1, 41), key=str)) - 1
        assert "file-name order" in self.compared(LABELS[by_name]).problems[0]

    def test_file_name_order_of_the_tables_own_ids_is_recognised(self):
        by_name = np.argsort([str(number) for number in range(90, 130)])
        verdict = submission.Verdict(list(range(90, 130)), labels=LABELS[by_name])
        submission.compare(verdict, reference())
        assert "file-name order" in verdict.problems[0]

    def test_any_other_order_is_doubted(self):
        shuffled = np.random.default_rng(3).permutation(LABELS)
        assert "probably in another order" in self.compared(shuffled).problems[0]
