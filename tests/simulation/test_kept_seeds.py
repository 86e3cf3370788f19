"""Runs that found something once are run again, for ever: ``seeds.json`` holds each with what it found.

To keep another: ``soma simulate --seed N --json`` prints its scenario.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from soma_core.testing.simulation import draw, plugin_engines, recall, simulate

KEPT: Any = json.loads(Path(__file__).with_name("seeds.json").read_text("utf-8"))


def name(run: Any) -> str:
    return f"{run['scenario']['seed']}-{run['scenario']['nodes']}"


@pytest.mark.parametrize("run", KEPT["runs"], ids=name)
def test_what_was_found_is_not_found_again(run: Any) -> None:
    scenario = recall(run["scenario"])
    report = simulate(scenario, plugin_engines(KEPT["engine"], params=scenario.params))
    assert report.found == "", run["found"]


def test_a_scenario_comes_back_from_json() -> None:
    for seed in range(50):
        scenario = draw(seed)
        assert recall(json.loads(json.dumps(scenario.told()))) == scenario


@pytest.mark.parametrize(("seed", "nodes"), [(0, 1), (1, 4), (2, 5), (3, 7), (4, 10)])
def test_new_seeds(seed: int, nodes: int) -> None:
    scenario = draw(seed, nodes=nodes, seconds=15)
    report = simulate(scenario, plugin_engines("consensus-dag", params=scenario.params))
    assert report.found == ""
    assert report.transactions > 10
