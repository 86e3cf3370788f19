from pathlib import Path

import numpy as np
import pytest

import soma_core
import soma_encoders


def test_the_line_of_the_readme_gives_an_array(tmp_path):
    picture = tmp_path / "a.jpg"
    picture.write_bytes(soma_encoders.samples()[2].read_bytes())
    with soma_core.load("encoder-jax", weights="text") as encoder:
        vectors = encoder.encode(["two cats", b"\x00", Path(picture)])
        assert (vectors.shape, vectors.dtype) == ((3, 128), np.float32)
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
        with pytest.raises(ValueError, match="item 1: empty"):
            encoder.encode(["a", ""])


def test_specialists_disagree_about_the_loss_and_agree_about_the_place():
    items = [path.read_bytes() for path in soma_encoders.samples()[:2]]
    found = {}
    for name in ("text", "code"):
        with soma_core.load("encoder-jax", weights=name) as encoder:
            found[name] = encoder.evaluate(items)
    losses = np.stack([found["text"].bits_per_byte, found["code"].bits_per_byte])
    assert losses.argmin(0).tolist() == [0, 1]
    cosines = found["text"].vectors @ found["code"].vectors.T
    assert cosines[0, 0] > cosines[0, 1]
    assert cosines[1, 1] > cosines[1, 0]
