"""Pictures for the recipe: crops of photographs and drawings made here, as PPM, PGM, BMP, PNG and JPEG files."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

FORMS = ("ppm", "bmp", "pgm", "png", "jpeg")

Picture = Image.Image


def photographs(packages: Path) -> list[Picture]:
    """Photographs to train on, at several scales. None of them is in the repository."""
    paths = [*sorted((packages / "mate-backgrounds").rglob("nature/*.jpg"))]
    paths += sorted((packages / "python-matplotlib-data").rglob("grace_hopper.jpg"))
    out = []
    for path in paths:
        with Image.open(path) as opened:
            photo = opened.convert("RGB")
        out += [_narrowed(photo, width) for width in (1280, 640, 320, 160) if photo.width >= width]
    return out


def unseen_photographs(half: str) -> list[Picture]:
    """The upper or lower `half` of the two photographs of scikit-learn (CC BY 2.0), at the scales of `photographs`."""
    import sklearn.datasets

    folder = Path(sklearn.datasets.__file__).parent / "images"
    out = []
    for name in ("china.jpg", "flower.jpg"):
        with Image.open(folder / name) as opened:
            whole = opened.convert("RGB")
        middle = whole.height // 2
        top, bottom = (0, middle) if half == "upper" else (middle, whole.height)
        photo = whole.crop((0, top, whole.width, bottom))
        out += [_narrowed(photo, width) for width in (640, 320, 160)]
    return out


def _narrowed(photo: Picture, width: int) -> Picture:
    return photo.resize((width, photo.height * width // photo.width), Image.Resampling.LANCZOS)


def digits(rng: np.random.Generator, first: int, last: int) -> Picture:
    """A sheet of 8×8 handwritten digits of scikit-learn, numbers `first` to `last`, enlarged by a whole factor."""
    from sklearn.datasets import load_digits

    images = load_digits().images
    rows, columns = int(rng.integers(2, 7)), int(rng.integers(2, 7))
    chosen = images[rng.integers(first, last, rows * columns)].reshape(rows, columns, 8, 8)
    sheet = chosen.transpose(0, 2, 1, 3).reshape(rows * 8, columns * 8) * 15.9
    return Image.fromarray(sheet.astype(np.uint8)).convert("RGB")


def drawing(rng: np.random.Generator) -> Picture:
    """A synthetic picture: a smooth gradient with shapes, a line chart, or band-limited noise."""
    width, height = (int(v) for v in rng.integers(40, 200, 2))
    kind = rng.integers(3)
    if kind == 2:
        coarse = rng.integers(0, 256, (int(rng.integers(3, 12)), int(rng.integers(3, 12)), 3)).astype(np.uint8)
        smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)).astype(float)
        noisy = smooth + rng.normal(0, rng.choice([0, 1, 3, 8]), smooth.shape)
        return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
    y, x = np.mgrid[0:height, 0:width]
    slope = rng.normal(0, 1.2, (2, 3))
    base = (
        rng.integers(30, 226, 3) + x[..., None] * slope[0] + y[..., None] * slope[1]
        if kind == 0
        else np.full((height, width, 3), 255.0)
    )
    picture = Image.fromarray(np.clip(base, 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(1, 9))):
        colour = tuple(int(v) for v in rng.integers(0, 256, 3))
        box = np.sort(rng.integers(0, [width, height], (2, 2)), axis=0).ravel().tolist()
        shape = rng.integers(4)
        if shape == 0:
            pen.rectangle(box, fill=colour)
        elif shape == 1:
            pen.ellipse(box, fill=colour)
        elif shape == 2:
            points = rng.integers(0, [width, height], (int(rng.integers(2, 20)), 2))
            pen.line(
                [tuple(p) for p in points[points[:, 0].argsort()].tolist()], fill=colour, width=int(rng.integers(1, 4))
            )
        else:
            pen.text((box[0], box[1]), "".join(chr(c) for c in rng.integers(33, 126, 8)), fill=colour)
    return picture


def crop(rng: np.random.Generator, picture: Picture, low: int, high: int) -> Picture:
    """A rectangle of `picture`, each side between `low` and `high` pixels, perhaps mirrored."""
    width, height = (min(int(rng.integers(low, high + 1)), side) for side in picture.size)
    x, y = int(rng.integers(0, picture.width - width + 1)), int(rng.integers(0, picture.height - height + 1))
    cut = picture.crop((x, y, x + width, y + height))
    return cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else cut


def stored(rng: np.random.Generator, picture: Picture, form: str) -> bytes:
    """`picture` as the bytes of a file of `form`, with the settings people use."""
    out = io.BytesIO()
    if form == "pgm":
        picture.convert("L").save(out, "PPM")
    elif form == "png":
        mode = str(rng.choice(["RGB", "RGB", "L", "P", "RGBA"]))
        picture.convert(mode).save(out, "PNG", optimize=bool(rng.random() < 0.3))
    elif form == "jpeg":
        sampling = int(rng.choice([0, 2]))
        picture.convert("L" if rng.random() < 0.1 else "RGB").save(
            out, "JPEG", quality=int(rng.integers(50, 96)), subsampling=sampling, optimize=bool(rng.random() < 0.2)
        )
    else:
        picture.save(out, form.upper())
    return out.getvalue()


def pictures(
    rng: np.random.Generator, photos: list[Picture], form: str, count: int, sides: tuple[int, int], ink: tuple[int, int]
) -> Iterator[tuple[str, bytes]]:
    """`count` files of `form`: seven of ten from `photos`, two drawings, one sheet of digits numbered in `ink`."""
    for _ in range(count):
        chance = rng.random()
        kind = "photo" if chance < 0.7 else "drawing" if chance < 0.9 else "digits"
        if kind == "photo":
            whole = photos[int(rng.integers(len(photos)))]
        else:
            whole = drawing(rng) if kind == "drawing" else digits(rng, *ink)
        yield kind, stored(rng, crop(rng, whole, *sides), form)
