"""Find the digits on the picture of a page, and bring them into the form of the training data.

Ink is what differs from the paper around it and has sharp edges, unlike shadows. Pieces of ink are grouped into digits,
and each digit is scaled, thickened or thinned, and centred like those of MNIST.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

WORKING = 400 * 400  # pixels of the picture that is searched for ink: a pen's line is still a pixel wide
LONGEST = 4_000  # pixels of a side: the windows grow with it, which took minutes on a picture of one long line
SMALL = 64  # pixels of a side up to which a picture has no grain to be smoothed
FLAT = 2.5  # grey levels by which the paper of a drawing differs from itself ...
RIM, PAGE = 0.75, 0.25  # ... on this share of the picture's rim, and of all of it
STROKE = 0.3  # of a photo: no line is as wide
FINE = 0.12  # of the picture: the paper's light changes more slowly, but for the edges of shadows
CONTRAST = 18.0  # least difference of paper and ink in grey levels, more than empty paper has ...
NOISES = 5.0  # ... and in standard deviations of the paper's grain
SURE, FAINT = 0.5, 0.25  # shares of the strongest ink: sure ink, and ink where it is connected with sure ink
BOX = 20 / 28  # share of the side that the digit's box takes in the training data
DRAWN = 160  # pixels of the box in which strokes are made thicker or thinner
STROKES = (1.9, 4.2)  # widths in 28ths of the side that stay as they are: of 87 % of the training rows


class Piece(NamedTuple):
    """A connected piece of ink: its number in the map of all pieces, its box, its area in pixels."""

    number: int
    left: int
    top: int
    right: int
    bottom: int
    area: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def longer(self) -> int:
        return max(self.width, self.height)


class Ink(NamedTuple):
    """Strength of each pixel's ink, float32 (height, width) in 0..1, and the number of its piece, int32; 0 is paper.

    outline: length of the edges around the pieces times their contrast: pixels times grey levels.
    """

    strength: np.ndarray
    numbers: np.ndarray
    pieces: list[Piece]
    outline: float


def to_digit(picture: np.ndarray, side: int) -> np.ndarray | None:
    """Take all ink of a picture as one digit: uint8 (side, side), ink bright; None without ink.

    picture: uint8 (height, width), dark ink on light paper or the other way round. side: of the training images.
    """
    ink, groups = _groups(picture)
    if not groups:
        return None
    return _normalised(_cut(ink, [piece for group in groups for piece in group]), side)


def to_digits(picture: np.ndarray, side: int) -> np.ndarray:
    """Find the digits that stand side by side in a picture, from left to right: uint8 (digits, side, side), ink bright.

    Touching digits are one. The arguments are those of `to_digit`.
    """
    ink, groups = _groups(picture)
    found = [_normalised(_cut(ink, group), side) for group in groups]
    return np.stack(found) if found else np.zeros((0, side, side), np.uint8)


# --- paper and ink -----------------------------------------------------------------------------------------


def _groups(picture: np.ndarray) -> tuple[Ink, list[list[Piece]]]:
    """The ink of a picture, and the pieces of each of its digits from left to right.

    Dark or light ink, whichever has more outline: the hole of a dark 0 is a light spot too, but the ring has more.
    """
    scale = min(np.sqrt(WORKING / picture.size), LONGEST / max(picture.shape))
    if scale < 1:
        size = [max(1, round(length * scale)) for length in picture.shape[::-1]]
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    picture = picture.astype(np.float32)
    paper = _flat_paper(picture)
    ink = max((_pieces(picture, sign, paper) for sign in (-1, 1)), key=lambda found: found.outline)
    return ink, _grouped(_without_dirt(ink.pieces))


def _contrast(picture: np.ndarray, sign: int) -> np.ndarray:
    """Difference of each pixel from the paper around it, float32 (height, width), in grey levels.

    picture: float32 (height, width). sign: 1 for ink lighter than paper, -1 for darker.
    """
    smooth = cv2.medianBlur(picture, 3) if min(picture.shape) > SMALL else picture
    window = np.ones([max(3, round(STROKE * length) | 1) for length in picture.shape], np.uint8)
    contrast = sign * (picture - cv2.morphologyEx(smooth, cv2.MORPH_OPEN if sign > 0 else cv2.MORPH_CLOSE, window))
    # What a shadow left is thin or pale: a median over the paper does not see it. Ink is taken out of the paper first.
    inked = contrast > max(3 * _grain(contrast), FAINT * _strongest(contrast))
    paper = np.where(inked, picture - sign * contrast, picture).clip(0, 255).astype(np.uint8)
    window = max(3, round(FINE * min(picture.shape)) | 1)
    return np.maximum(sign * (picture - cv2.medianBlur(paper, window)), 0)


def _flat_paper(picture: np.ndarray) -> float | None:
    """Grey level of the paper of a drawing, which is the same everywhere; None for a photo."""
    rim = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    paper = float(np.median(rim))
    shares = [np.mean(np.abs(pixels - paper) < FLAT) for pixels in (rim, picture)]
    return paper if shares[0] >= RIM and shares[1] >= PAGE else None


def _grain(contrast: np.ndarray) -> float:
    """Standard deviation of the noise of paper, which most pixels are."""
    return 1.4826 * float(np.median(np.abs(contrast - np.median(contrast))))


def _strongest(contrast: np.ndarray) -> float:
    """Mean contrast of the strongest hundredth of the pixels."""
    return _mean_of_highest(contrast, max(1, contrast.size // 100))


def _level(contrast: np.ndarray) -> float:
    """Contrast of full ink: the mean of the strongest pixels, as many as a short thin line has."""
    return _mean_of_highest(contrast, min(30, contrast.size))


def _mean_of_highest(values: np.ndarray, count: int) -> float:
    return float(np.partition(values, -count, axis=None)[-count:].mean())


def _pieces(picture: np.ndarray, sign: int, paper: float | None) -> Ink:
    """Ink and its connected pieces; none where nothing is stronger than the grain of the paper.

    picture, sign: as for `_contrast`. paper: of a drawing. There, all that differs from it is ink: lines of any width,
    and soft ones.
    """
    contrast = _contrast(picture, sign) if paper is None else np.maximum(sign * (picture - paper), 0)
    large = min(contrast.shape) > SMALL
    soft = cv2.GaussianBlur(contrast, (0, 0), 0.8) if large else contrast
    steps = np.full_like(picture, np.inf)
    if paper is None:
        steps = cv2.morphologyEx(picture, cv2.MORPH_GRADIENT, np.ones((7, 7) if large else (3, 3), np.uint8))
    least, noise = max(CONTRAST, NOISES * _grain(contrast)), _noise(picture)
    found = Ink(np.zeros_like(contrast), np.zeros(contrast.shape, np.int32), [], 0.0)
    for _ in range(3):
        level = _level(soft)
        if level < least:
            break
        numbers, pieces = _connected(soft / level)
        sharpness, edge = _outlines(numbers, contrast, steps, noise)
        sharp = [piece for piece in pieces if sharpness[piece.number] > 0]
        inner = [piece for piece in sharp if not _is_edge(piece, numbers)]
        if inner or not found.pieces:
            kept = inner or sharp
            outline = sum(float(edge[piece.number]) for piece in kept)
            found = Ink(np.minimum(contrast / level, 1), numbers, kept, outline)
        if inner:
            break
        # What lies along the picture's edge, such as a table, hides fainter ink: look again without it.
        hidden = cv2.dilate(
            np.isin(numbers, [piece.number for piece in pieces]).astype(np.uint8), np.ones((21, 21), np.uint8)
        )
        soft = np.where(hidden > 0, 0, soft)
        least = max(least, level / 10)
    return found


def _connected(strength: np.ndarray) -> tuple[np.ndarray, list[Piece]]:
    """Connected pieces that hold sure ink: their numbers, int32 (height, width), and their list.

    Where a piece goes from edge to edge, as the lines of ruled paper do, only stronger ink is taken.
    """
    height, width = strength.shape
    for faint in (FAINT, 0.4, 0.55, FAINT):
        numbers, pieces = _above(strength, faint)
        if not any(piece.width > 0.97 * width or piece.height > 0.97 * height for piece in pieces):
            break
    return numbers, pieces


def _above(strength: np.ndarray, faint: float) -> tuple[np.ndarray, list[Piece]]:
    _, numbers, boxes, _ = cv2.connectedComponentsWithStats((strength > faint).astype(np.uint8), connectivity=8)
    sure = set(np.unique(numbers[strength > max(SURE, faint)]).tolist())
    return numbers, [
        Piece(number, left, top, left + width, top + height, area)
        for number, (left, top, width, height, area) in enumerate(boxes.tolist())
        if number and number in sure
    ]


def _outlines(
    numbers: np.ndarray, contrast: np.ndarray, steps: np.ndarray, noise: float
) -> tuple[np.ndarray, np.ndarray]:
    """Sharp pixels of each piece's outline, less twice the blurred ones and those on the picture's rim.

    The outline of ink is sharp all around, that of a shadow on one side at most.

    Args:
        numbers: of the pieces, int32 (height, width).
        contrast: float32 (height, width).
        steps: how much the picture changes around each pixel, float32 (height, width).
        noise: the standard deviation of the picture's noise, which makes ragged outlines look sharp.

    Returns:
        Float (pieces,), negative for what is too pale; and the same times the piece's mean contrast.
    """
    count = numbers.max() + 1
    areas = np.bincount(numbers.ravel(), minlength=count)
    mean = np.bincount(numbers.ravel(), contrast.ravel(), count) / np.maximum(areas, 1)
    inside = cv2.erode((numbers > 0).astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1)
    outline = (numbers > 0) & (inside == 0)
    sharp = (steps > 0.5 * mean[numbers] + 4 * noise)[outline]
    balance = np.bincount(numbers[outline], np.where(sharp, 1, -2), count)
    rim = np.concatenate([numbers[0], numbers[-1], numbers[:, 0], numbers[:, -1]])
    sharpness = np.where(mean < CONTRAST, -1, balance - np.bincount(rim, minlength=count))
    return sharpness, sharpness * mean


def _noise(picture: np.ndarray) -> float:
    """Standard deviation of the noise from pixel to pixel; 0 on a drawing."""
    return _grain(picture - cv2.medianBlur(picture, 3)) if min(picture.shape) > SMALL else 0.0


def _is_edge(piece: Piece, numbers: np.ndarray) -> bool:
    """A piece lies along an edge of the picture."""
    sides = (numbers[0], numbers[-1], numbers[:, 0], numbers[:, -1])
    return any((side == piece.number).sum() > 0.5 * len(side) for side in sides)


# --- pieces of ink and digits ------------------------------------------------------------------------------


def _without_dirt(pieces: list[Piece]) -> list[Piece]:
    """Drop specks, and frames around the others."""
    if not pieces:
        return []
    longest = max(piece.longer for piece in pieces)
    largest = max(piece.area for piece in pieces)
    kept = [piece for piece in pieces if piece.area > 0.02 * largest and piece.longer > 0.12 * longest]
    return [piece for piece in kept if not _is_frame(piece, kept)]


def _is_frame(piece: Piece, pieces: list[Piece]) -> bool:
    """A piece is a thin line around another that is no speck."""
    thin = piece.area < 0.2 * piece.width * piece.height
    return thin and any(
        piece.left < other.left and piece.top < other.top and piece.right > other.right and piece.bottom > other.bottom
        for other in pieces
        if other.longer > 0.3 * piece.longer
    )


def _grouped(pieces: list[Piece]) -> list[list[Piece]]:
    """Group pieces into digits, from left to right: those above each other, and short ones beside them, make one."""
    tallest = max((_box(group).height for group in _in_groups(pieces, 0)), default=0)
    groups = _in_groups(pieces, tallest)  # again: the first piece of a broken line did not know how tall digits are
    return [group for group in groups if _box(group).height > 0.4 * tallest]


def _in_groups(pieces: list[Piece], tallest: int) -> list[list[Piece]]:
    groups: list[list[Piece]] = []
    boxes: list[Piece] = []  # around each group: a picture of dots has thousands of pieces in one
    for piece in sorted(pieces, key=lambda piece: piece.left):
        if groups and _belongs(piece, boxes[-1], tallest):
            groups[-1].append(piece)
            boxes[-1] = _box([boxes[-1], piece])
        else:
            groups.append([piece])
            boxes.append(piece)
    return groups


def _box(pieces: list[Piece]) -> Piece:
    """A piece with the box around all of these."""
    return pieces[0]._replace(
        left=min(piece.left for piece in pieces), top=min(piece.top for piece in pieces),
        right=max(piece.right for piece in pieces), bottom=max(piece.bottom for piece in pieces),
    )  # fmt: skip


def _belongs(piece: Piece, box: Piece, tallest: int) -> bool:
    """A piece is part of the group in this box, among digits of that height."""
    overlap = min(box.right, piece.right) - max(box.left, piece.left)
    if overlap > 0.3 * min(piece.width, box.width):
        return True
    shorter, taller = sorted([piece.height, box.height])
    common_rows = min(box.bottom, piece.bottom) - max(box.top, piece.top)
    reach = max(taller, tallest / 2)
    broken = shorter < 0.5 * reach or common_rows < 0.2 * shorter  # the bar of a 5 set off, the rest of a slanted line
    return broken and overlap > -0.25 * reach


def _cut(ink: Ink, pieces: list[Piece]) -> np.ndarray:
    """Cut out the ink of these pieces alone, cropped to their box: float32 (height, width) in 0..1."""
    box = _box(pieces)
    place = slice(box.top, box.bottom), slice(box.left, box.right)
    own = np.isin(ink.numbers[place], [piece.number for piece in pieces])
    return np.where(own, ink.strength[place], 0).astype(np.float32)


# --- the form of the training data -------------------------------------------------------------------------


def _normalised(digit: np.ndarray, side: int) -> np.ndarray:
    """Turn cropped ink into an image of the training data, uint8 (side, side).

    As the makers of MNIST did: the box scaled to 20 of 28 pixels, the centre of mass moved to the middle. Lines thinner
    or thicker than nearly all of the training data are brought to their widths first.
    """
    large = _with_usual_strokes(np.pad(_resized(digit, DRAWN), DRAWN // 5))
    inked = large > FAINT * large.max()
    rows, columns = np.flatnonzero(inked.any(axis=1)), np.flatnonzero(inked.any(axis=0))
    small = _resized(large[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], BOX * side)
    full = np.quantile(small[small > 0.1 * small.max()], 0.8)
    return (255 * np.clip(_centred(small, side) / full, 0, 1)).round().astype(np.uint8)


def _resized(ink: np.ndarray, longer: float) -> np.ndarray:
    """Scale ink float32 (height, width) so that its longer side has that many pixels."""
    scale = longer / max(ink.shape)
    size = [max(1, round(length * scale)) for length in ink.shape[::-1]]
    return np.clip(cv2.resize(ink, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC), 0, 1)


def _with_usual_strokes(ink: np.ndarray) -> np.ndarray:
    """Thicken or thin ink to lines as wide as those of the training data; its box has `DRAWN` pixels."""
    scale = DRAWN / (28 * BOX)
    width = stroke_width(ink) / scale
    change = round((np.clip(width, *STROKES) - width) * scale / 2)
    if not change:
        return ink
    pen = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * abs(change) + 1, 2 * abs(change) + 1))
    changed = (cv2.dilate if change > 0 else cv2.erode)(ink, pen)
    return changed if changed.any() else ink


def stroke_width(ink: np.ndarray) -> float:
    """Mean width of the lines of ink, float (height, width) in 0..1, in pixels.

    The distance to the nearest edge is on average a quarter of the line's width.
    """
    inside = (ink > 0.5).astype(np.uint8)
    if not inside.any():
        return 1.0
    return 4 * float(cv2.distanceTransform(inside, cv2.DIST_L2, 3)[inside > 0].mean()) - 1


def _centred(small: np.ndarray, side: int) -> np.ndarray:
    """Put a small image on an empty one, its centre of mass in the middle."""
    rows, columns = np.indices(small.shape)
    middle = (np.average(columns, weights=small), np.average(rows, weights=small))
    shift = np.float32([[1, 0, (side - 1) / 2 - middle[0]], [0, 1, (side - 1) / 2 - middle[1]]])
    return cv2.warpAffine(small, shift, (side, side))
