"""`fastconv bench`: layers, checks, the processes of contestants, the command."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("typer", reason='needs pip install "fastconv[cli]"')
from typer import BadParameter
from typer.testing import CliRunner, Result

import fastconv
from fastconv import cli, reference
from fastconv.bench import checks, command, data, models, processes, runner
from fastconv.bench.cases import OPERATIONS, Case
from fastconv.bench.layer_sets import LAYER_SETS, find_layer
from fastconv.bench.peers import OURS, PEERS, Peer, numpy_reference
from fastconv.bench.processes import Contestant, Worker, WorkerError
from fastconv.bench.worker import others_run
from fastconv.bench.workloads import MODELS

LAYER = find_layer("mnist-conv2")
FORWARD = Case("ops", LAYER.name, 2, "forward")


@pytest.fixture
def wrong_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer `wrong` with many faults, and one that is not installed."""
    modes = ("wrong", "unsupported", "fails", "dies", "dies later", "chatty", "slow")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    wrong = Peer("Wrong", "wrong_peer", {}, {"ops": modes})
    missing = Peer("Missing", "wrong_peer", {"no_such_library": "no-such-wheel"}, wrong.modes)
    monkeypatch.setitem(PEERS, "wrong", wrong)
    monkeypatch.setitem(PEERS, "missing", missing)


def run(*arguments: str) -> Result:
    """`fastconv bench` in this process, on a wide terminal without colours."""
    environment = {"COLUMNS": "200", "TERM": "dumb"}
    return CliRunner(env=environment).invoke(cli.app, ["bench", *arguments])


def quick(*arguments: str) -> Result:
    """The least that `fastconv bench` can do."""
    return run(*arguments, "--quick", "--threads", "1")


# --- layers and inputs --------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_networks_are_those_of_the_package(name: str) -> None:
    network = models.network(name)
    shape, classes = MODELS[name]
    built = fastconv.networks.build(name, shape, classes)
    assert [w.shape for w in network.weights()] == [w.shape for w in built.get_weights()]
    assert all(w.any() for w in network.weights())
    built.set_weights(network.weights())
    (x, *_) = data.prediction_inputs(shape, 2)
    ours = built.predict_on_batch(x)
    theirs = numpy_reference.predict(network, [x], "float64 sums").results()[0]
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=checks.PREDICTION_TOLERANCE)


def test_flops_of_a_network() -> None:
    # 26 * 26 * 9 * 32 + 11 * 11 * 9 * 32 * 64 + 1600 * 10 multiply-adds.
    forward = 2 * (194_688 + 2_230_272 + 16_000)
    assert Case("predict", "m1", 128).flops == 128 * forward
    # Without the gradient of the images.
    assert Case("train", "m1", 128).flops == 128 * (3 * forward - 2 * 194_688)


def test_training_data_are_digits() -> None:
    batches = data.training_batches((28, 28, 1), 10, 8)
    assert len(batches) == data.TRAINING_BATCHES
    assert batches[0].x.shape == (8, 28, 28, 1)
    # Most of a digit is background.
    assert 0.05 < np.mean([b.x.mean() for b in batches]) < 0.3
    assert len({b.x.tobytes() for b in batches}) == len(batches)


def test_gradients_of_the_reference_network() -> None:
    """Of the loss, by central differences in a few weights of every layer."""
    network = models.network("minimal", dropout=False)
    ((x, y), *_) = data.training_batches(network.input_shape, 10, 2)

    def loss() -> float:
        logits = np.float64(numpy_reference.forward(network, x)[0])
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_sum = np.log(np.exp(shifted).sum(axis=1))
        return float((log_sum - shifted[np.arange(len(y)), y]).sum())

    logits, saved = numpy_reference.forward(network, x, training=True)
    _, grad = reference.softmax_cross_entropy(logits, y)
    gradients = numpy_reference.backward(network, grad, saved)
    step = 1e-2
    for weight, gradient in zip(network.weights(), gradients, strict=True):
        assert weight.shape == gradient.shape
        place = np.unravel_index(np.abs(gradient).argmax(), weight.shape)
        before = weight[place]
        weight[place] = before + step
        above = loss()
        weight[place] = before - step
        below = loss()
        weight[place] = before
        # The error is step^2 / 6 of the third derivative, plus kinks of ReLU within the step.
        assert gradient[place] == pytest.approx((above - below) / (2 * step), rel=0.02)


# --- checks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["train", "predict", "ops"])
def test_difference(task: str) -> None:
    right = np.arange(100.0)
    assert checks.difference(task, [right], [right]) is None
    for wrong in (right + 0.01, np.where(right == 50, np.nan, right)):
        assert "is allowed" in checks.difference(task, [right], [wrong])
    assert "shape (99,)" in checks.difference(task, [right], [right[1:]])
    assert "1 results instead of 2" in checks.difference(task, [right] * 2, [right])


# --- processes ----------------------------------------------------------------------------------


def test_environment_of_a_contestant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    tuned = processes.environment(Contestant("torch", "contiguous", 3, "tuned"), "avx2")
    assert tuned["OMP_NUM_THREADS"] == tuned["NPROC"] == "3"
    assert tuned["MALLOC_TOP_PAD_"] == str(2**28)
    assert tuned["FASTCONV_ISA"] == tuned["ATEN_CPU_CAPABILITY"] == "avx2"
    default = processes.environment(Contestant("keras-jax", "fit", 1, "default"), None)
    assert not [name for name in default if name.startswith("MALLOC_")]
    assert default["KERAS_BACKEND"] == "jax"
    assert default.get("FASTCONV_ISA") == os.environ.get("FASTCONV_ISA")


def test_every_level_is_known() -> None:
    levels = set(fastconv.available_isas()) - {"neon"}
    assert levels <= set(processes.ISA_ENVIRONMENTS)


@pytest.fixture
def worker(request: pytest.FixtureRequest) -> Iterator[Worker]:
    """The process of a contestant."""
    request.getfixturevalue("wrong_peers")
    peer, mode = request.param
    started = Worker(Contestant(peer, mode, 1, "default"))
    yield started
    started.close()


def prepare(worker: Worker, folder: Path, case: Case = FORWARD) -> list[np.ndarray]:
    """What the worker says the results are."""
    path = folder / "results.npz"
    worker.ask({"do": "prepare", "case": dataclasses.asdict(case), "results": str(path)})
    assert worker.ask({"do": "warm_up", "seconds": 0.0})["seconds"] > 0
    return checks.load_results(path)


@pytest.mark.parametrize("worker", [(OURS, "ops")], indirect=True)
def test_worker_answers(worker: Worker, tmp_path: Path) -> None:
    (found,) = prepare(worker, tmp_path)
    x, kernel, bias, _ = data.operands("forward", LAYER, 2, integers=True)
    np.testing.assert_array_equal(found, reference.conv2d(x, kernel, bias))
    worker.ask({"do": "rest", "seconds": 1.0})
    time.sleep(0.2)
    reply = worker.ask({"do": "run", "warm_up": 1, "calls": 5})
    assert len(reply["seconds"]) == 5
    assert all(0 < seconds < 1 for seconds in reply["seconds"])
    # It slept.
    assert 0 <= reply["idle"] < 0.1
    # The slowest level on one core makes some GFLOP/s.
    assert worker.ask({"do": "peak", "seconds": 0.01})["flops"] > 1e8
    # No memory moves a terabyte a second, and all move a gigabyte.
    moving = worker.ask({"do": "move", "read": 1 << 26, "written": 1 << 26, "seconds": 0.01})
    assert 1e-4 < moving["seconds"] < 0.1
    assert worker.ask({"do": "memory"})["peak_bytes"] > 2**20
    (again,) = prepare(worker, tmp_path, dataclasses.replace(FORWARD, cold=True))
    np.testing.assert_array_equal(again, found)
    assert len(worker.ask({"do": "run", "warm_up": 0, "calls": 3})["seconds"]) == 3


@pytest.mark.parametrize("worker", [("wrong", "chatty")], indirect=True)
def test_what_libraries_print_is_no_reply(worker: Worker, tmp_path: Path) -> None:
    prepare(worker, tmp_path)
    assert len(worker.ask({"do": "run", "warm_up": 0, "calls": 2})["seconds"]) == 2


@pytest.mark.parametrize(
    ("worker", "unsupported", "message"),
    [
        (("wrong", "fails"), False, "^ValueError: broken$"),
        (("wrong", "unsupported"), True, "not here"),
        (("wrong", "dies"), False, "ended with 3: last words"),
    ],
    indirect=["worker"],
)
def test_worker_errors(worker: Worker, tmp_path: Path, unsupported: bool, message: str) -> None:
    with pytest.raises(WorkerError, match=message) as raised:
        prepare(worker, tmp_path)
    assert raised.value.unsupported == unsupported


@pytest.mark.parametrize("worker", [("wrong", "slow")], indirect=True)
def test_worker_that_does_not_answer_is_ended(worker: Worker, tmp_path: Path) -> None:
    prepare(worker, tmp_path)
    with pytest.raises(WorkerError, match="no answer in time"):
        worker.ask({"do": "run", "warm_up": 0, "calls": 1000}, seconds=0.05)
    with pytest.raises(WorkerError, match="ended with -9"):
        worker.ask({"do": "memory"})


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no states to read")
def test_threads_that_run_are_seen() -> None:
    stop = threading.Event()

    def hash_until_told() -> None:
        while not stop.is_set():
            # Without Python's lock.
            hashlib.sha256(bytes(1 << 22))

    def seen(expected: bool) -> bool:
        end = time.monotonic() + 20
        while others_run() != expected:
            if time.monotonic() > end:
                return False
            time.sleep(1e-4)
        return True

    thread = threading.Thread(target=hash_until_told)
    thread.start()
    try:
        assert seen(True)
    finally:
        stop.set()
        thread.join()
    assert seen(False)


@pytest.mark.skipif(sys.platform != "linux", reason="processors cannot be chosen")
@pytest.mark.parametrize("worker", [(OURS, "ops")], indirect=True)
def test_worker_is_held_to_its_processors(worker: Worker) -> None:
    worker.ask({"do": "memory"})
    assert len(os.sched_getaffinity(worker.pid)) == 1


# --- the command --------------------------------------------------------------------------------


def test_quick_run_of_everything(tmp_path: Path) -> None:
    result = quick(
        *("--against", "numpy", "--batch", "2", "--output", str(tmp_path)),
        *("--layer", "mnist-conv1,mnist-pool1"),
    )
    assert result.exit_code == 0, result.output
    for text in (
        "Training step of m1, batch 2, malloc tuned",
        "Prediction of m1, batch 2, malloc tuned",
        "The small networks for MNIST and Fashion-MNIST: channels_last, 1 thread, malloc tuned",
        "All convolutions of a set: channels_last, 1 thread, malloc tuned",
        "Slower than the peer, ",
        "fused-kernel-gradient",
        "1 thread: fastconv is",
    ):
        assert text in result.output
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["problems"] == []
    assert found["peak_flops"]["1"] > 1e8
    assert len(found["measurements"]) == (2 + 1) + (1 + 1) + (8 + 3 + 8)
    for measurement in found["measurements"]:
        seconds = measurement["seconds"]
        assert 0 < seconds["lower"] <= seconds["median"] <= seconds["upper"]
        assert len(measurement["turn_medians"]) == runner.QUICK.turns
    markdown = (tmp_path / "results.md").read_text()
    # Training, prediction; three kinds of layers, who is slower, the set.
    assert markdown.count("### ") == 2 + 3 + 1 + 1
    pytest.importorskip("matplotlib", reason="draws with matplotlib")
    for name in ("plot", "mnist"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (tmp_path / f"{name}.svg").read_text()


def test_names_and_parts_of_names() -> None:
    known = ["conv1", "conv1-pool", "output"]
    assert command.chosen("--layer", None, known) == known
    assert command.chosen("--layer", "output, conv1", known, parts=True) == ["output", "conv1"]
    assert command.chosen("--layer", "conv", known, parts=True) == ["conv1", "conv1-pool"]
    with pytest.raises(BadParameter, match="'conv' is not one of conv1"):
        command.chosen("--layer", "conv", known)
    with pytest.raises(BadParameter, match="'dense' is not one of conv1"):
        command.chosen("--layer", "dense", known, parts=True)


FEW = ("ops", "--batch", "1", "--layer", "mnist-pool2", "--operation", "max-pool")


def test_nobody_to_compare_with() -> None:
    result = quick(*FEW, "--against", "none")
    assert result.exit_code == 0, result.output
    assert "NumPy reference" not in result.output
    assert "not installed" not in result.output
    assert "max-pool" in result.output
    assert "Slower than the peer" not in result.output


@pytest.mark.usefixtures("wrong_peers")
def test_missing_peer_is_named() -> None:
    result = quick(*FEW, "--against", "missing,numpy")
    assert result.exit_code == 0, result.output
    assert "missing is not installed: pip install no-such-wheel" in result.output
    assert "NumPy reference" in result.output


def test_missing_matplotlib_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = quick(*FEW, "--against", "numpy", "--output", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert 'a plot needs matplotlib: pip install "fastconv[bench]"' in result.output
    assert {path.name for path in tmp_path.iterdir()} == {"results.md", "results.json"}


@pytest.mark.usefixtures("wrong_peers")
def test_wrong_result_fails_the_run(tmp_path: Path) -> None:
    result = quick(*FEW, "--against", "wrong", "--output", str(tmp_path))
    assert result.exit_code == 1
    assert "Wrong (wrong), 1 thread, malloc tuned: WRONG RESULT in max-pool of" in result.output
    assert "a difference of 0.01" in result.output
    found = json.loads((tmp_path / "results.json").read_text())
    # Those that fail otherwise are named, and do not stop the others.
    modes = {problem["contestant"]["mode"]: problem["kind"] for problem in found["problems"]}
    assert modes == {
        "wrong": "mismatch",
        "fails": "failure",
        "dies": "failure",
        "dies later": "failure",
    }
    timed = {m["contestant"]["mode"] for m in found["measurements"]}
    assert timed == {"ops", "chatty", "slow"}


@pytest.mark.usefixtures("wrong_peers")
def test_failure_of_a_peer_is_not_fatal(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = dataclasses.replace(PEERS["wrong"], modes={"ops": ("fails",)})
    monkeypatch.setitem(PEERS, "wrong", failing)
    result = quick(*FEW, "--against", "wrong")
    assert result.exit_code == 0, result.output
    assert "could not run in max-pool of mnist-pool2, batch 1: ValueError: broken" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["walk"], "'walk' is not one of"),
        (["train", "--against", "numpy,tourch"], "'tourch' is not one of numpy, torch"),
        (["train", "--threads", "1,0"], "'1,0' is not a list of numbers"),
        (["train", "--batch", "many"], "'many' is not a list of numbers"),
        (["train", "--isa", "avx3"], "this machine and build have"),
        (["train", "--model", "m2"], "'m2' is not one of m1"),
        (["ops", "--set", "lenet"], "'lenet' is not one of mnist, cifar, resnet50"),
        (["ops", "--layout", "NCHW"], "'NCHW' is not one of 'channels_last', 'channels_first'"),
        (["ops", "--set", "vgg16", "--layer", "mnist-conv1"], "'mnist-conv1' is not one of vgg16"),
        (["ops", "--precision", "exact"], "'exact' is not one of 'default', 'strict', 'fast'"),
        (["ops", "--operation", "backward"], "'backward' is not one of forward"),
        (["train", "--turns", "0"], "--turns"),
    ],
)
def test_wrong_arguments(arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output


def test_help_teaches() -> None:
    result = run("--help")
    for name in (*PEERS.keys() - {OURS}, *LAYER_SETS, *OPERATIONS):
        assert name in result.output
    for peer in PEERS.values():
        if peer.requires:
            assert peer.install in result.output
    assert "fastconv bench train --against torch,jax" in result.output
