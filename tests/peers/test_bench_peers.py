"""Every peer of `fastconv bench` that is installed gives equal results in all of its modes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("typer", reason='needs pip install "fastconv[cli]"')
from typer.testing import CliRunner

from fastconv import cli
from fastconv.bench.cases import OPERATIONS
from fastconv.bench.peers import OURS, PEERS

OPTIONS = {
    "train": ("--batch", "4"),
    "predict": ("--batch", "1,3"),
    # One channel, many, strides, groups, depthwise, overlapping windows, padding, means, dense.
    "ops": (
        *("--batch", "2", "--set", "all", "--operation", ",".join(OPERATIONS), "--layer"),
        "mnist-conv1,mnist-conv2,mnist-pool2,mnist-output,alexnet-conv1,alexnet-pool2,"
        "alexnet-conv5,mobilenet-14x14x512-s2-depthwise,mobilenet-pool,resnet50-pool1",
    ),
}
CASES = [(name, task) for name, peer in PEERS.items() for task in peer.modes if name != OURS]


@pytest.mark.parametrize(("name", "task"), CASES)
def test_equal_results(name: str, task: str, tmp_path: Path) -> None:
    equal_results(name, task, tmp_path)


def test_equal_results_in_channels_first(tmp_path: Path) -> None:
    equal_results("torch", "ops", tmp_path, "--layout", "channels_first")


def equal_results(name: str, task: str, tmp_path: Path, *options: str) -> None:
    """Run the peer, if it is there, beside fastconv."""
    if PEERS[name].missing:
        pytest.skip(PEERS[name].install)
    arguments = ["bench", task, "--against", name, "--quick", "--threads", "1", *OPTIONS[task]]
    result = CliRunner().invoke(cli.app, [*arguments, *options, "--output", str(tmp_path)])
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["problems"] == []
    contestants = [measurement["contestant"] for measurement in found["measurements"]]
    timed = {c["mode"] for c in contestants if c["peer"] == name}
    assert timed == set(PEERS[name].modes[task])
