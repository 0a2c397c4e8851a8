"""Writes the folder pictures: a bay (a photo in name), waves and a patchwork (styles), and masks for a doodle.

    python configs/data/make_pictures.py

The pictures are computed: nobody painted or photographed them. Needs Pillow.
"""

from pathlib import Path

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 192, 256
Y, X = np.mgrid[0:HEIGHT, 0:WIDTH] / HEIGHT
"""Coordinates of the pixels, in heights of the picture."""


def main() -> None:
    folder = Path(__file__).parent / "pictures"
    folder.mkdir(exist_ok=True)
    sky, hills, water = style_mask()
    for name, picture in {
        "bay": bay(),
        "waves": waves(),
        "patchwork": sum(
            mask[..., None] * colors for mask, colors in zip((sky, hills, water), textures(), strict=True)
        ),
        "patchwork_mask": np.stack((sky, hills, water), axis=-1),
        "doodle_mask": np.stack(doodle_mask(), axis=-1),
    }.items():
        Image.fromarray((255 * picture.clip(0, 1)).round().astype(np.uint8)).save(folder / f"{name}.png", optimize=True)


def mixed(share: np.ndarray, first: tuple[float, ...], second: tuple[float, ...]) -> np.ndarray:
    """Return colors between two, (height, width, 3)."""
    return np.array(first) + share[..., None] * (np.array(second) - np.array(first))


def bay() -> np.ndarray:
    """A sun over hills and water."""
    picture = mixed(Y, (0.35, 0.55, 0.85), (0.98, 0.8, 0.6))
    picture[np.hypot(X - 0.95, Y - 0.3) < 0.11] = (1, 0.95, 0.7)
    for level, height, color in ((0.5, 0.12, (0.5, 0.55, 0.68)), (0.58, 0.07, (0.28, 0.38, 0.36))):
        ridge = level - height * (np.sin(5 * X / level) + 0.5 * np.sin(13 * X + 9 * level) + 0.25 * np.sin(31 * X))
        picture[ridge < Y] = color
    water = mixed((Y - 0.62) / 0.38, (0.75, 0.65, 0.55), (0.08, 0.22, 0.36))
    glitter = 0.12 * np.sin(160 * Y + 5 * np.sin(11 * X)) * np.exp(-8 * (X - 0.95) ** 2)
    return np.where((Y > 0.62)[..., None], water + glitter[..., None], picture)


def waves() -> np.ndarray:
    """Strokes that wind around three places."""
    phase = sum(s * np.hypot(X - x, 1.4 * (Y - y)) for s, x, y in ((1, 0.3, 0.3), (-0.8, 0.95, 0.45), (0.6, 0.6, 0.9)))
    stroke = 0.5 + 0.5 * np.sin(70 * phase + 2 * np.sin(23 * X + 17 * Y))
    light = 0.5 + 0.5 * np.sin(9 * phase + 1)
    return 0.75 * mixed(light, (0.05, 0.15, 0.5), (0.95, 0.8, 0.2)) + 0.25 * mixed(stroke, (0, 0, 0.1), (0.9, 1, 1))


def textures() -> tuple[np.ndarray, ...]:
    """Stripes, dots and checks."""
    stripes = mixed((np.sin(60 * (X + Y)) > 0).astype(float), (0.3, 0.6, 0.95), (0.9, 0.95, 1))
    dots = mixed((np.sin(75 * X) * np.sin(75 * Y) > 0.3).astype(float), (0.15, 0.45, 0.15), (0.9, 0.85, 0.2))
    checks = mixed((np.sin(50 * X) * np.sin(50 * Y) > 0).astype(float), (0.6, 0.1, 0.2), (0.95, 0.75, 0.6))
    return stripes, dots, checks


def style_mask() -> tuple[np.ndarray, ...]:
    """Three parts one above the other, as numbers 0 and 1."""
    return (Y < 0.4) * 1.0, ((Y >= 0.4) & (Y < 0.7)) * 1.0, (Y >= 0.7) * 1.0


def doodle_mask() -> tuple[np.ndarray, ...]:
    """The same parts in the shapes of a doodle: a hill before the sky, and a pond."""
    pond = np.hypot((X - 0.9) / 1.8, Y - 0.85) < 0.18
    hill = (Y > 0.45 + 0.9 * (X - 0.55) ** 2) & ~pond
    return (~hill & ~pond) * 1.0, hill * 1.0, pond * 1.0


if __name__ == "__main__":
    main()
