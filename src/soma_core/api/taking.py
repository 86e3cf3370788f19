"""Settings that say how items become what a model takes that is none of ours: shared by the plugins that serve such."""

from typing import Literal

from attrs import frozen

from .spec import option


@frozen(kw_only=True)
class TakingConfig:
    """A part of an encoder's own settings. Each of them changes what a vector is."""

    takes: Literal["bytes", "text", "image"] = option("bytes", "what goes in")
    length: int = option(512, "bytes or tokens that go in, at most", min=1, max=1 << 20)
    tail: int = option(0, "of these, bytes from the end of the item", min=0, max=1 << 20)
    pad: int = option(0, "the number behind the last byte or token", min=0, max=1 << 31)
    tokenizer: str = option("", "of text: the path of a tokenizer.json")
    width: int = option(224, "of pictures, in pixels", min=1, max=4096)
    height: int = option(224, "of pictures, in pixels", min=1, max=4096)
    mean: tuple[float, ...] = option((0.485, 0.456, 0.406), "of pictures: what is taken from red, green and blue, 0..1")
    deviation: tuple[float, ...] = option((0.229, 0.224, 0.225), "of pictures: what these are divided by")
    layout: Literal["planes", "pixels"] = option("planes", "of pictures: [3, height, width], or [height, width, 3]")
    pool: Literal["none", "mean", "first"] = option("none", "of [B, T, d]: the mean of what counts, or the first")
