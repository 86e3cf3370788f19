"""The worker as a process spoken to without the node's side: garbage, order, limits."""

import subprocess
import sys

import numpy as np
import pytest

from soma_core.errors import PluginError
from soma_core.node._frames import frame
from soma_core.node.encoding import Limits, _order
from soma_core.node.worker import BULK_MAX, ITEMS_MAX
from soma_core.records import to_value


def raw(data, directory):
    done = subprocess.run(
        [sys.executable, "-P", "-m", "soma_core.node.worker"],
        input=data,
        cwd=directory,
        capture_output=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr.decode()


def opening(fake, directory):
    order = _order(fake, {}, directory, (), Limits(), ())
    return frame([0, "open", to_value(order)])


@pytest.mark.parametrize("garbage", [b"\xff" * 8, frame([0, "cancel"]), frame([0, "open", {}])])
def test_a_worker_that_is_not_asked_to_open_ends(tmp_path, garbage):
    status, out, log = raw(garbage, tmp_path)
    assert (status, out) == (1, b"")
    assert log.startswith("what came in was no request: ")
    assert "Traceback" not in log


def test_a_worker_that_is_asked_nothing_ends(tmp_path):
    assert raw(b"", tmp_path) == (0, b"", "")


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff" * 8,
        frame([1, "run", {"sizes": [1] * (ITEMS_MAX + 1), "seed": None, "job": b""}]),
        frame([1, "run", {"sizes": [BULK_MAX, 1], "seed": None, "job": b""}]),
        frame([1, "run", {"sizes": [-1], "seed": None, "job": b""}]),
        frame([1, "unknown"]),
    ],
)
def test_garbage_ends_a_worker_cleanly(fake, tmp_path, garbage):
    status, _, log = raw(opening(fake, tmp_path) + garbage, tmp_path)
    assert status in (0, 1)  # 0: the main thread was first to see the end
    assert "what came in was no request: " in log
    assert "Traceback" not in log


def test_a_worker_answers_and_skips_what_was_cancelled_before_its_turn(fake, tmp_path):
    requests = [
        frame([7, "cancel"]),
        frame([7, "run", {"sizes": [1], "seed": None, "job": b""}]) + b"a",
        frame([8, "run", {"sizes": [1], "seed": None, "job": b""}]) + b"a",
    ]
    status, out, _ = raw(opening(fake, tmp_path) + b"".join(requests), tmp_path)
    assert status == 0
    skipped, answer = frame([7, "skipped"]), frame([8, "run", [["<f4", [1, 4]]]])
    assert out[out.index(skipped) :] == skipped + answer + np.full(4, 97, "<f4").tobytes()


def test_settings_have_a_greatest_length(fake, tmp_path):
    with pytest.raises(PluginError, match="settings of 40012 characters; keep them below 32768"):
        _order(fake, {"path": "x" * 40000}, tmp_path, (), Limits(), ())
