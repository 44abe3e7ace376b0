"""The figures of a clustering."""

import numpy as np
import pytest

from digits.figures import sheets
from digits.figures.sheets import GAP, tile
from digits.stages.cluster import figures
from digits.stages.cluster.clustering import NOISE, Sweep, contingency

DRAW = np.random.default_rng(0)
LABELS = DRAW.integers(0, 3, 200)
CLUSTERS = np.where(DRAW.random(200) < 0.9, LABELS, NOISE)
IMAGES = DRAW.integers(0, 256, (200, 8, 8, 1)).astype(np.uint8)
POINTS = DRAW.normal(size=(200, 2)) + 5 * LABELS[:, None]


def text(figure) -> str:
    return " ".join(found.get_text() for found in figure.findobj(lambda artist: hasattr(artist, "get_text")))


def test_a_tile_holds_every_image_where_it_belongs():
    sheet = tile(IMAGES[:5], columns=3)
    pitch = 8 + GAP
    assert sheet.shape == (2 * pitch + GAP, 3 * pitch + GAP)
    fourth = sheet[GAP + pitch : GAP + pitch + 8, GAP : GAP + 8]
    assert np.allclose(fourth, 1 - IMAGES[3, ..., 0] / IMAGES[3].max())
    assert (sheet[:GAP] == 1).all()


def test_the_map_names_every_group_but_noise():
    figure = figures.cluster_map(POINTS, CLUSTERS, LABELS, "title")
    left, right = figure.axes
    assert [found.get_text() for found in left.texts] == [found.get_text() for found in right.texts] == ["0", "1", "2"]
    assert sum(len(points.get_offsets()) for points in left.collections) == 200


def test_sizes_and_matrix_show_every_count():
    kept = CLUSTERS != NOISE
    table = contingency(CLUSTERS[kept], LABELS[kept])
    sizes = figures.cluster_sizes(table, [0, 1, 2], np.arange(3))
    assert sum(bar.get_height() for bar in sizes.axes[0].patches) == pytest.approx(kept.sum())
    matrix = figures.cluster_matrix(table, [0, 1, 2], np.arange(3))
    shown = [int(found.get_text().replace(",", "")) for found in matrix.axes[0].texts]
    assert sorted(shown) == sorted(table[table > 0].tolist())


def test_silhouettes_are_a_band_a_cluster():
    values = np.where(CLUSTERS == NOISE, np.nan, DRAW.uniform(-0.2, 0.9, 200))
    figure = figures.silhouette_plot(values, CLUSTERS)
    assert len(figure.axes[0].collections) == 3
    assert f"mean {np.nanmean(values):.3f}" in text(figure)


def test_misfits_are_framed():
    misfits = np.zeros(12, bool)
    misfits[[2, 7]] = True
    figure = figures.cluster_sheet(IMAGES[:12], misfits, "title")
    assert len(figure.axes[0].patches) == 2


def test_the_nearest_and_farthest_of_every_cluster():
    figure = figures.centroid_sheet(IMAGES, LABELS != 1, CLUSTERS, DRAW.random(200))
    assert len(figure.axes) == 6


def test_a_mean_image_a_cluster():
    figure = figures.mean_images(IMAGES, CLUSTERS, LABELS)
    assert sum(bool(axes.images) for axes in figure.axes) == 3
    assert "0: mostly 0" in text(figure)


def test_the_sweep_says_where_the_silhouette_is_highest():
    swept = Sweep(np.arange(2, 6), np.array([9.0, 5.0, 3.0, 2.0]), np.array([0.1, 0.5, 0.3, 0.2]))
    assert "highest at k = 3" in text(figures.cluster_sweep(swept, 3, 200))


def test_the_other_figures_draw(tmp_path):
    figures.neighbour_curve(np.sort(DRAW.random(50)), 0.5, 10).savefig(tmp_path / "a.png")
    figures.controls(
        {"aligned": {"purity": 0.99, "silhouette": 0.7}, "raw": {"purity": 0.2, "silhouette": -0.01}}, 0.995
    ).savefig(tmp_path / "b.png")
    table = figures.score_table(np.array([[0.9, np.nan], [0.4, -0.1]]), ["kmeans", "ward"], ["a", "b"], "Purity")
    table.savefig(tmp_path / "c.png")
    assert [found.get_text() for found in table.axes[0].texts] == ["0.900", "-", "0.400", "-0.100"]
    sheets.sheet(IMAGES[:3], ["one", "two", "three"], "title", "note").savefig(tmp_path / "d.png")
    sheets.sheet(IMAGES[:0], [], "title", "note").savefig(tmp_path / "e.png")
