"""The spaces of several networks brought into one."""

import numpy as np
import pytest
from scipy.stats import ortho_group

from digits.data.demo import demo
from digits.ensemble import alignment
from digits.ensemble.alignment import align, fold_probe
from digits.errors import UserError
from digits.files import arrays
from finished_run import finish

SHAPE = np.random.default_rng(0).normal(size=(400, 6)) * np.array([5, 4, 3, 2, 1, 0.5])


def elsewhere(seed: int, width: int = 6, noise: float = 0.0) -> np.ndarray:
    """The same shape turned, scaled and moved, in `width` dimensions."""
    draw = np.random.default_rng(seed)
    turned = SHAPE @ ortho_group.rvs(width, random_state=seed)[:6]
    return (turned + draw.normal(0, noise, turned.shape)) * draw.uniform(0.2, 9) + draw.normal(0, 50, width)


def test_copies_of_one_shape_fall_onto_each_other():
    spaces = [elsewhere(seed) for seed in range(4)]
    alignments = align(spaces)
    aligned = [align(space) for align, space in zip(alignments, spaces, strict=True)]
    for other in aligned[1:]:
        assert np.allclose(other, aligned[0], atol=1e-6)
    assert max(alignment.residual for alignment in alignments) < 1e-10
    distances = np.linalg.norm(aligned[0][:50, None] - aligned[0][None, :50], axis=2)
    before = np.linalg.norm(SHAPE[:50, None] - SHAPE[None, :50], axis=2)
    assert np.allclose(distances / before.max(), before / before.max() * distances.max() / before.max(), atol=1e-6)


def test_narrower_spaces_are_widened():
    spaces = [elsewhere(1), elsewhere(2, width=9)]
    first, second = align(spaces)
    assert first.rotation.shape == (6, 9)
    assert np.allclose(first(spaces[0]), second(spaces[1]), atol=1e-6)


def test_the_residual_is_the_share_of_variance_that_is_noise():
    variance = (SHAPE**2).sum(axis=1).mean()
    noise = 0.7
    residuals = [alignment.residual for alignment in align([elsewhere(seed, noise=noise) for seed in range(20)])]
    assert np.mean(residuals) == pytest.approx(6 * noise**2 / (variance + 6 * noise**2), rel=0.15)


def test_points_that_are_all_the_same_are_no_division_by_zero():
    constant, shape = align([np.ones((400, 6)), SHAPE])
    assert np.isfinite(constant(np.ones((3, 6)))).all()
    assert np.isfinite(shape(SHAPE)).all()


def test_the_probe_finds_the_fold_before_alignment_and_not_after():
    folds = np.repeat(np.arange(3), 400)
    spaces = [elsewhere(seed, noise=0.1) for seed in range(3)]
    raw = np.concatenate(spaces)
    aligned = np.concatenate([align(space) for align, space in zip(align(spaces), spaces, strict=True)])
    assert fold_probe(raw, folds, seed=0) > 0.95
    assert fold_probe(aligned, folds, seed=0) < 0.45


def test_members_of_a_run_agree_on_the_test_images_once_aligned(tmp_path):
    run = finish(tmp_path / "whole", demo(), seeds=2)
    alignments = alignment.of_run(run)
    assert list(alignments) == [member.name for member in run.members]
    features = [arrays.read(run.member(member) / "test.npz")["features"] for member in run.members]
    aligned = [align(own) for align, own in zip(alignments.values(), features, strict=True)]
    assert np.allclose(aligned, aligned[0], atol=0.05)
    damaged = run.member(run.members[2])
    (damaged / "test.npz").write_bytes(b"")
    with pytest.raises(UserError, match=f"member {damaged.name} .* make submit RUN=whole"):
        alignment.of_run(run)
