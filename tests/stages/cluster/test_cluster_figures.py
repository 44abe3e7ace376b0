"""The figures of a clustering."""

import numpy as np

from digits.figures import sheets
from digits.figures.sheets import GAP, tile
from digits.stages.cluster import figures, findings
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


def test_the_map_numbers_every_cluster_but_noise_and_crosses_the_misfits_on_top():
    misfits = np.arange(200) % 40 == 0
    (axes,) = figures.cluster_map(POINTS, CLUSTERS, misfits).axes  # one map: by label it would look the same
    assert [found.get_text() for found in axes.texts] == ["0", "1", "2"]
    assert not any(found.get_bbox_patch() for found in axes.texts)  # a box would hide points
    *points, crosses = axes.collections
    assert sum(len(some.get_offsets()) for some in points) == 200
    assert len(crosses.get_offsets()) == (misfits & (CLUSTERS != NOISE)).sum()
    caption = findings.map_caption("tsne", "aligned", 42_000, 7)
    assert caption.title == "t-SNE of the aligned features"
    assert caption.text.startswith("42,000 rows, coloured by cluster. Crosses: 7 misfits, ")
    assert "mean nothing in t-SNE" in caption.text
    assert "mean nothing" not in findings.map_caption("pca", "pixels", 10, 0).text


def test_the_matrix_shows_every_count():
    kept = CLUSTERS != NOISE
    table = contingency(CLUSTERS[kept], LABELS[kept])
    matrix = figures.cluster_matrix(table, [0, 1, 2], np.arange(3))
    shown = [int(found.get_text().replace(",", "")) for found in matrix.axes[0].texts]
    assert sorted(shown) == sorted(table[table > 0].tolist())


def test_silhouettes_are_a_band_a_cluster():
    values = np.where(CLUSTERS == NOISE, np.nan, DRAW.uniform(-0.2, 0.9, 200))
    figure = figures.silhouette_plot(values, CLUSTERS)
    assert len(figure.axes[0].collections) == 3
    assert f"mean {np.nanmean(values):.3f}" in text(figure)
    assert not figure.axes[0].texts  # nothing is written over the bands


def test_misfits_are_framed_and_counted():
    misfits = np.zeros(12, bool)
    misfits[[2, 7]] = True
    figure = figures.cluster_sheet(IMAGES[:12], misfits)
    assert len(figure.axes[0].patches) == 2
    caption = findings.sheet_caption(3, 4184, 100, 120, "a dog")
    assert caption.title == "Cluster 3, mostly a dog: 100 of 4,184 rows"
    assert caption.text.startswith("Framed and first: 120 misfits")
    assert findings.sheet_caption(3, 12, 12, 0, 5) == ("Cluster 3, mostly 5: 12 rows", "There is no misfit.")


def test_the_nearest_and_farthest_of_every_cluster():
    figure = figures.centroid_sheet(IMAGES, LABELS != 1, CLUSTERS, DRAW.random(200))
    assert len(figure.axes) == 6


def test_a_mean_image_a_cluster():
    figure = figures.mean_images(IMAGES, CLUSTERS, LABELS)
    assert sum(bool(axes.images) for axes in figure.axes) == 3
    assert "0:\nmostly 0" in text(figure)


def test_the_sweep_says_where_the_silhouette_is_highest(tmp_path):
    swept = Sweep(np.arange(2, 6), np.array([9.0, 5.0, 3.0, 2.0]), np.array([0.1, 0.5, 0.3, 0.2]))
    figures.cluster_sweep(swept, 3).savefig(tmp_path / "a.png")
    record = {"neighbours": 10, "oof_accuracy": 0.99}
    assert "highest at k = 3" in findings.captions(record, 3, swept.silhouette, 200)["sweep"].text


def test_the_other_figures_draw(tmp_path):
    figures.neighbour_curve(np.sort(DRAW.random(50)), 0.5).savefig(tmp_path / "a.png")
    figures.controls(
        {"aligned": {"purity": 0.99, "silhouette": 0.7}, "raw": {"purity": 0.2, "silhouette": -0.01}}, 0.995
    ).savefig(tmp_path / "b.png")
    table = figures.score_table(np.array([[0.9, np.nan], [0.4, -0.1]]), ["kmeans", "ward"], ["a", "b"])
    table.savefig(tmp_path / "c.png")
    assert [found.get_text() for found in table.axes[0].texts] == ["0.900", "-", "0.400", "-0.100"]
    sheets.sheet(IMAGES[:3], ["one", "two", "three"]).savefig(tmp_path / "d.png")
