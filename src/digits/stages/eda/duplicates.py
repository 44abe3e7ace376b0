"""Images that are there twice: byte by byte, or but for a little noise.

Rows are those of the training table, then those of the test table, numbered through. Pairs of rows are a table with the
columns `first` and `second`, the earlier row first; `distance`, Euclidean between the pixels in shares of white; and
`ratio`, of that to the distance of the last of `NEIGHBOURS` neighbours. Each pair is there once.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from digits.data.folds import first_copies
from digits.seeds import as_int, derive
from digits.stages.eda.measures import white

NEIGHBOURS = 10  # the last of them says how densely images lie around a row
LIMIT = 0.25  # of the distance to the last neighbour: nearer is a near duplicate, see `closest_pairs`
CANDIDATES = 1_000  # rows whose distances are measured in pixels, at least
CELL = 1_000  # rows of a cell, on average
PROBES = 8  # cells that are searched for the neighbours of a row
FITTED_ROWS = 10_000  # that the cells are found on


def tables(pairs: pd.DataFrame, train_rows: int) -> np.ndarray:
    """The tables that the two rows of each pair are in, "train", "test" or "across": str (p,)."""
    return np.select([pairs["second"] < train_rows, pairs["first"] >= train_rows], ["train", "test"], "across")


def exact_pairs(images: np.ndarray, train_rows: int) -> pd.DataFrame:
    """Pair every copy with the first such image of its table, and a test row with that of the training table too.

    Three copies of an image in one table are two pairs.

    images: uint8 (n, height, width, channels), the first `train_rows` of them of the training table.
    """
    rows = np.arange(len(images))
    anywhere = first_copies(images)
    within = np.append(anywhere[:train_rows], train_rows + first_copies(images[train_rows:]))
    across = (rows >= train_rows) & (anywhere < train_rows)
    copies = within != rows
    first = np.append(within[copies], anywhere[across])
    second = np.append(rows[copies], rows[across])
    pairs = pd.DataFrame({"first": first, "second": second, "distance": 0.0, "ratio": 0.0})
    return pairs.sort_values(["first", "second"], ignore_index=True)


def closest_pairs(images: np.ndarray, components: np.ndarray, seed: np.random.SeedSequence) -> pd.DataFrame:
    """Find pairs of different images that are closer than their surroundings suggest, the closest first.

    How far apart two images are says little by itself: two ones written by anybody are closer than two eights by one
    hand. So the distance to a neighbour is measured by that to the tenth neighbour of the same row (D. Lowe's test for
    keypoints, 2004, with the tenth for his second, so that several copies do not hide each other; more than ten do).
    A pair with a ratio r on one side has r / (1 - r) at most on the other, by the triangle inequality.

    Among the 70,000 images of MNIST no ratio is below 0.28, and one row in a thousand is below 0.45. Of copies with
    noise of up to 10 grey levels, and of those with JPEG's losses at quality 75, 98 % and more were found below
    `LIMIT`; of copies turned by two degrees two thirds, of those moved by a quarter of a pixel half, of those moved by
    a whole one none. Pairs up to `LIMIT` are near duplicates. Those above are given too, because they say where the
    natural ones begin.

    Neighbours are looked for between components, in nearby cells only, where there are many rows; what is close there
    is measured pixel by pixel.

    images: uint8 (n, height, width, channels). components: of each, float32 (n, d). seed: of the cells.
    """
    distinct = np.unique(first_copies(images))
    if len(distinct) < 3:
        return _unique(*np.zeros((2, 0), int), *np.zeros((2, 0)))
    near, apart = _neighbours(components[distinct], seed)
    closeness = np.divide(apart[:, 0], apart[:, -1], out=np.zeros(len(apart)), where=apart[:, -1] > 0)
    doubtful = closeness <= 2 * LIMIT  # components miss a part of every distance, so twice the limit
    doubtful[np.argsort(closeness, kind="stable")[:CANDIDATES]] = True
    rows, others = distinct[doubtful], distinct[near[doubtful]]
    distances = _distances(images, rows, others)
    ratios = distances / distances.max(axis=1, keepdims=True)
    close = ratios <= LIMIT
    close[np.arange(len(rows)), distances.argmin(axis=1)] = True
    each = np.broadcast_to(rows[:, None], others.shape)
    return _unique(each[close], others[close], distances[close], ratios[close])


def _unique(rows: np.ndarray, others: np.ndarray, distances: np.ndarray, ratios: np.ndarray) -> pd.DataFrame:
    """Pairs by ratio; of a pair that is there from both sides, the smaller ratio."""
    first, second = np.minimum(rows, others), np.maximum(rows, others)
    pairs = pd.DataFrame({"first": first, "second": second, "distance": distances, "ratio": ratios})
    return pairs.sort_values(["ratio", "first", "second"]).drop_duplicates(["first", "second"], ignore_index=True)


def _distances(images: np.ndarray, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Distances of rows, int (r,), to some others each, int (r, k): float64 (r, k), in shares of white."""
    distances = np.empty(others.shape)
    for column, other in enumerate(others.T):
        difference = images[rows].astype(np.float32) - images[other]
        distances[:, column] = np.linalg.norm(difference.reshape(len(rows), -1), axis=1) / white(images)
    return distances


def _neighbours(points: np.ndarray, seed: np.random.SeedSequence) -> tuple[np.ndarray, np.ndarray]:
    """The neighbours of each point, int64 (n, k), and their distances, float64 (n, k), the nearest first.

    k is `NEIGHBOURS`, or one less than there are points. Up to `PROBES` cells of points are searched in full; beyond,
    a far neighbour can be missed, but hardly one that is much closer than the rest.
    """
    count = min(NEIGHBOURS, len(points) - 1)
    near = np.empty((len(points), count), np.int64)
    apart = np.empty((len(points), count))
    with threadpool_limits(1):  # threads that wait for each other after every cell take two and a half times as long
        for rows, around in _cells(points, count + 1, seed):
            index = NearestNeighbors(n_neighbors=count + 1, algorithm="brute").fit(points[around])
            distances, indices = index.kneighbors(points[rows])
            found = around[indices]
            others = found != rows[:, None]
            others[others.all(axis=1), -1] = False  # a row that does not find itself is one of many in one place
            near[rows] = found[others].reshape(-1, count)
            apart[rows] = distances[others].reshape(-1, count)
    return near, apart


def _cells(points: np.ndarray, least: int, seed: np.random.SeedSequence) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The points of each cell of k-means, int (r,), and those of the cells around it, itself included, int (s,).

    least: points around a cell, for which more cells are taken where `PROBES` hold fewer.
    """
    everything = np.arange(len(points))
    count = len(points) // CELL
    if count <= PROBES:
        yield everything, everything
        return
    sample = np.random.default_rng(derive(seed, "cells")).permutation(len(points))[: max(FITTED_ROWS, count)]
    model = KMeans(count, n_init=1, max_iter=20, random_state=as_int(derive(seed, "kmeans"))).fit(points[sample])
    cell = model.predict(points)
    sizes = np.bincount(cell, minlength=count)
    members = np.split(np.argsort(cell, kind="stable"), np.cumsum(sizes)[:-1])
    centres = model.cluster_centers_
    for number in np.flatnonzero(sizes):
        nearest = np.argsort(np.linalg.norm(centres - centres[number], axis=1), kind="stable")
        enough = np.searchsorted(np.cumsum(sizes[nearest]), least) + 1
        around = [members[other] for other in nearest[: max(PROBES, enough)]]
        yield members[number], np.sort(np.concatenate(around))
