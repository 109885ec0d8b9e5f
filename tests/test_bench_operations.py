"""`fastconv bench ops`: layers of networks, inputs, comparisons with peers, tables."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

pytest.importorskip("typer", reason='needs pip install "fastconv[cli]"')
from typer.testing import CliRunner

import fastconv
from bench_reports import measured, report_of
from fastconv import cli
from fastconv.bench import data, operation_tables
from fastconv.bench.cases import KINDS, OPERATIONS, Case, kind_of, operation_cases
from fastconv.bench.comparisons import Setting, comparisons, totals
from fastconv.bench.layer_sets import LAYER_SETS, find_layer, set_of_layer
from fastconv.bench.peers import EXACT, OURS, numpy_reference, ours
from fastconv.bench.results import Measurement
from fastconv.bench.traffic import traffic
from fastconv.bench.workloads import Conv, Dense, Pooling
from fastconv.config import Precision
from fastconv.networks import build
from support.precision import precision as within_precision

LAYER_OF_KIND = {
    "convolutions": "mnist-conv2",
    "convolutions with max pooling": "mnist-conv2",
    "max poolings": "resnet50-pool1",
    "average poolings": "resnet50-pool5",
    "dense layers": "mnist-output",
}


@pytest.mark.parametrize("name", ["mnist-conv1", "mnist-conv2", "fashion-conv2", "cifar-conv1"])
def test_pools_have_as_many_dead_windows_as_in_networks(name: str) -> None:
    layer = find_layer(name)
    assert isinstance(layer, Conv)
    x, kernel, bias, _ = data.operands("fused-forward", layer, 8, integers=False)
    y = fastconv.ops.conv2d_max_pool2d(x, kernel, bias, activation="relu")
    assert 0.2 < (y == 0).mean() < 0.5


@pytest.mark.parametrize(
    ("name", "layers", "multiply_adds", "poolings", "weights_of_dense"),
    [
        # He et al., table 1; and on VGG-16 in their section 3.3.
        ("resnet50", 53, 3.8e9, 2, 2048 * 1000),
        ("vgg16", 13, 15.3e9, 5, 7 * 7 * 512 * 4096 + 4096 * 4096 + 4096 * 1000),
        # Howard et al., table 8, with 1 million in the dense layer.
        ("mobilenet-v1", 27, 568e6, 1, 1024 * 1000),
        # Outputs times window of each of the five layers: 105.4 + 223.9 + 149.5 + 112.1 + 74.8.
        ("alexnet", 5, 665.8e6, 3, 6 * 6 * 256 * 4096 + 4096 * 4096 + 4096 * 1000),
    ],
)
def test_layer_sets_add_up(
    name: str, layers: int, multiply_adds: float, poolings: int, weights_of_dense: int
) -> None:
    every = LAYER_SETS[name].layers
    convs = [layer for layer in every if isinstance(layer, Conv)]
    assert sum(conv.count for conv in convs) == layers
    total = sum(conv.count * conv.flops(1) for conv in convs) / 2
    # The papers round to two or three digits.
    assert total == pytest.approx(multiply_adds, rel=0.02)
    assert sum(isinstance(layer, Pooling) for layer in every) == poolings
    dense = [layer for layer in every if isinstance(layer, Dense)]
    assert sum(layer.flops(1) for layer in dense) == 2 * weights_of_dense


@pytest.mark.parametrize("name", LAYER_SETS)
def test_layers_fit_into_operations(name: str) -> None:
    for layer in LAYER_SETS[name].layers:
        assert find_layer(layer.name) is layer
        assert set_of_layer(layer.name) == name
        if isinstance(layer, Dense):
            continue
        padded = layer.height + 2 * layer.padding
        if isinstance(layer, Conv):
            own = fastconv.layers.Conv2D(1, layer.kernel_size, layer.strides)
            channels = layer.in_channels
            assert channels % layer.groups == layer.out_channels % layer.groups == 0
        else:
            own = fastconv.layers.MaxPooling2D(layer.size, layer.strides)
            channels = layer.channels
        expected = own.compute_output_shape((1, padded, padded, channels))[1:3]
        assert (layer.out_height, layer.out_width) == expected


@pytest.mark.parametrize(
    ("set_name", "networks"), [("mnist", ("m1", "m3", "m5")), ("cifar", ("m4",))]
)
def test_small_sets_have_the_layers_of_networks(set_name: str, networks: tuple[str, ...]) -> None:
    shapes = {layer.shape for layer in LAYER_SETS[set_name].layers}
    size = (32, 32, 3) if set_name == "cifar" else (28, 28, 1)
    for network in networks:
        shape: tuple[int, ...] = size
        for layer in build(network, size, 10).layers:
            output = tuple(int(n) for n in layer.compute_output_shape((1, *shape))[1:])
            images = "x".join(map(str, shape))
            if isinstance(layer, fastconv.layers.Conv2D):
                assert f"{images} -> {layer.filters}, 3x3" in shapes
            elif isinstance(layer, fastconv.layers.MaxPooling2D):
                assert f"{images}, 2x2, strides 2" in shapes
            elif isinstance(layer, fastconv.layers.Dense):
                assert f"{shape[0]} -> {layer.units}" in shapes
            shape = output


@pytest.mark.parametrize("operation", OPERATIONS)
def test_operands_are_integers_for_comparison(operation: str) -> None:
    layer = find_layer(LAYER_OF_KIND[kind_of(operation)])
    whole = data.operands(operation, layer, 2, integers=True)
    again = data.operands(operation, layer, 2, integers=True)
    real = data.operands(operation, layer, 2, integers=False)
    for array, same, other in zip(whole, again, real, strict=True):
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, same)
        np.testing.assert_array_equal(array, np.round(array))
        assert array.shape == other.shape
        # A pooling has no kernel and no bias.
        assert array.size == 0 or (other != np.round(other)).any()


def test_operands_have_the_shapes_of_results() -> None:
    for kind, name in LAYER_OF_KIND.items():
        layer = find_layer(name)
        for operation in KINDS[kind]:
            x, kernel, _, grad = data.operands(operation, layer, 2, integers=True)
            if kind == "average poolings":
                expected = fastconv.ops.average_pool2d(x, 7).shape
            elif kind == "max poolings":
                expected = fastconv.ops.max_pool2d(x, 3, strides=2, padding=1).shape
            elif kind == "dense layers":
                expected = (2, kernel.shape[1])
            else:
                expected = fastconv.ops.conv2d(x, kernel).shape
                if kind != "convolutions":
                    expected = (2, 5, 5, 64)
            assert grad.shape == expected


def test_operations_of_a_set() -> None:
    alexnet = LAYER_SETS["alexnet"]
    names = [layer.name for layer in alexnet.layers]
    setting: dict[str, Any] = {"cold": True, "layout": "channels_first", "precision": "strict"}
    cases = list(operation_cases(alexnet, names, None, 4, **setting))
    # Five convolutions, three poolings, three dense layers.
    assert len(cases) == 5 * 3 + 3 * 2 + 3 * 3
    assert all(dataclasses.replace(c, **setting) == c and c.batch == 4 for c in cases)
    # The last convolution has its pooling directly behind it.
    assert len(list(operation_cases(alexnet, names, list(OPERATIONS), 4))) == len(cases) + 3
    (one,) = operation_cases(alexnet, ["alexnet-conv1", "mnist-conv1"], ["forward"], 1)
    assert one == Case("ops", "alexnet-conv1", 1, "forward")
    fused = operation_cases(LAYER_SETS["cifar"], ["cifar-conv2"], None, 1)
    assert sum(case.operation.startswith("fused") for case in fused) == 3


@pytest.mark.parametrize("mode", ["ops", "as in training"])
@pytest.mark.parametrize("precision", get_args(Precision))
def test_precision_is_ours(precision: Precision, mode: str) -> None:
    name = "mnist-conv2"
    wanted = Case("ops", name, 1, "fused-forward", precision=precision)

    def made() -> data.Operands:
        return data.operands(wanted.operation, find_layer(name), 1, integers=False)

    with within_precision("default"):
        numpy_reference.operate(wanted, made, "float64 sums").run()
        assert fastconv.get_precision() == "default"
        # What others are compared with is exact whatever is measured.
        exact = ours.operate(wanted, made, EXACT).results()
        assert fastconv.get_precision() == "strict"
        found = ours.operate(wanted, made, mode).results()
        assert fastconv.get_precision() == precision
    with within_precision(precision):
        x, kernel, bias, _ = made()
        expected = fastconv.ops.conv2d_max_pool2d(x, kernel, bias, activation="relu")
    np.testing.assert_array_equal(found[0], expected)
    np.testing.assert_allclose(found[0], exact[0], rtol=0, atol=1e-5 * exact[0].max())


def test_settings_name_what_is_not_usual() -> None:
    usual = "channels_last, 1 thread, malloc tuned"
    assert str(Setting(1, "tuned", "channels_last", False, "default")) == usual
    other = Setting(1, "tuned", "channels_last", True, "strict")
    assert str(other) == f"{usual}, from memory, not from a cache, fastconv in strict precision"


# --- comparisons and tables ---------------------------------------------------------------------

TWICE, ONCE = find_layer("vgg16-conv3_x"), find_layer("vgg16-conv3_1")


def case(layer: Conv, operation: str = "forward") -> Case:
    """One image."""
    return Case("ops", layer.name, 1, operation)


def test_totals_count_layers() -> None:
    report = report_of(
        *(measured(OURS, seconds, case=case(layer)) for layer, seconds in ((TWICE, 1), (ONCE, 4))),
        *(measured("torch", 2.0, case=case(layer)) for layer in (TWICE, ONCE)),
        # Without a peer.
        measured(OURS, 100.0, case=case(find_layer("vgg16-conv1_1"))),
    )
    ((key, total),) = totals(comparisons(report)).items()
    assert key == ("vgg16", 1, "forward")
    # Speeds are 2 and 1/2.
    assert (total.count, total.seconds, total.peer_seconds) == (3, 2 * 1 + 4, 3 * 2.0)
    assert total.speed == 1
    assert total.geometric_mean == pytest.approx(1)
    assert total.worst.case.subject == ONCE.name
    (by_set,) = operation_tables.operation_tables(report)
    rows = [row for group in by_set.groups for row in group]
    assert [row[2] for row in rows] == [
        TWICE.name,
        ONCE.name,
        "vgg16-conv1_1",
        "TOTAL",
    ]
    assert by_set.bold == {3}
    assert rows[3][3:5] == ["3", "6.00 s"]
    assert rows[3][-2:] == ["6.00 s", "1.00x"]
    assert rows[2][-3:] == ["", "", ""]
    (convs, slower) = operation_tables.summary_tables(report)
    assert convs.groups == [
        [["vgg16", "1", "forward", "3", "6.00 s", "6.00 s", "1.00x", "1.00x", "0.50x", ONCE.name]]
    ]
    assert slower.title.startswith("Slower than the peer, 1 of 2: channels_last, 1 thread")
    ((row,),) = slower.groups
    assert row[0] == ONCE.name
    assert row[3] == "56x56x128 -> 256, 3x3"
    assert row[-2:] == ["0.50x", "0.50 - 0.50"]


def test_nothing_is_slower() -> None:
    report = report_of(*(measured(p, s, case=case(ONCE)) for p, s in ((OURS, 1), ("torch", 2))))
    assert operation_tables.summary_tables(report)[-1].notes == ["none"]


def scaled(
    layer: Conv,
    one: float,
    two: float,
    peaks: Sequence[float],
    memory: tuple[Sequence[float], Sequence[float]] = ((), ()),
) -> list[Measurement]:
    """Seconds with 1 and with 2 threads, the peaks of these, seconds of memory with either."""
    case = Case("ops", layer.name, 1, "forward")
    return [
        measured(OURS, one, 1, case, memory=memory[0]),
        measured(OURS, two, 2, case, peaks, memory[1]),
    ]


def test_scaling_is_of_long_operations() -> None:
    well, badly, short = TWICE, ONCE, find_layer("vgg16-conv1_1")
    report = report_of(
        *scaled(well, 1.9e-3, 1e-3, [2e9, 2e9]),
        *scaled(badly, 1.8e-3, 1e-3, [2e9, 1.95e9]),
        *scaled(short, 0.9e-3, 0.8e-3, [2e9, 2e9]),
    )
    report.peak_flops = {1: [1e9], 2: [2e9]}
    found = {(c.case.subject, c.setting.threads): c.scaling for c in comparisons(report)}
    medians = {key: None if value is None else value.time.median for key, value in found.items()}
    assert medians == {
        **{(layer.name, 1): None for layer in (well, badly, short)},
        (well.name, 2): pytest.approx(1.9),
        (badly.name, 2): pytest.approx(1.8),
        (short.name, 2): None,
    }
    one, two = operation_tables.operation_tables(report)
    assert "scaling" not in one.columns
    assert [row[-1] for row in two.groups[0]] == ["1.90x", "1.80x", ""]
    (table,) = operation_tables.summary_tables(report)
    assert table.title.startswith("Scaling below 1.85x, 1 of 2, median of all 1.85x: channels_last")
    ((row,),) = table.groups
    assert row[0] == badly.name
    assert row[-2:] == ["1.80x", "1.80 - 1.80"]
    assert table.notes[0].endswith("the peak's own is 2.00x")


def test_scaling_is_of_turns_with_all_processors() -> None:
    slow, fast = scaled(TWICE, 2e-3, 1e-3, [2e9, 1.2e9])
    fast.turns[1] = [2e-3] * 3
    report = report_of(slow, fast)
    report.peak_flops = {1: [1e9], 2: [2e9]}
    scaling = comparisons(report)[1].scaling
    assert scaling is not None
    assert (scaling.time.lower, scaling.time.upper) == pytest.approx((2, 2))
    assert scaling.memory is None
    # None has what is usual.
    report.peak_flops[2] = [4e9]
    assert comparisons(report)[1].scaling is None


def test_scaling_says_what_memory_allows() -> None:
    bound, ours, short = TWICE, ONCE, find_layer("vgg16-conv1_1")
    report = report_of(
        # In the second turn the threads had no processor each.
        *scaled(bound, 1.2e-3, 1e-3, [2e9, 1e9], ([1.08e-3, 9e-4], [9e-4, 9e-5])),
        *scaled(ours, 1.5e-3, 1e-3, [2e9, 2e9], ([4e-4, 4e-4], [2e-4, 2e-4])),
        *scaled(short, 1.7e-3, 1e-3, [2e9, 2e9]),
    )
    report.peak_flops = {1: [1e9], 2: [2e9]}
    found = {c.case.subject: c.scaling for c in comparisons(report) if c.setting.threads == 2}
    scaling = found[bound.name]
    assert scaling is not None
    assert scaling.memory is not None
    assert scaling.memory_bound
    assert scaling.memory.seconds == 9e-4
    assert scaling.memory.share.median == pytest.approx(0.9)
    assert scaling.memory.scaling.median == pytest.approx(1.2)
    (table,) = operation_tables.summary_tables(report)
    assert table.title.startswith("Scaling below 1.85x, 3 of 3, 1 of them bound by memory, median")
    # What is not bound stands first, though it scales better.
    rows = table.groups
    assert [[row[0] for row in group] for group in rows] == [
        [ours.name, short.name],
        [bound.name],
    ]
    # 56 * 56 * 256 numbers in and out, 3 * 3 * 256 * 256 + 256 weights: 8.78 MB.
    assert rows[1][0][-5:] == ["8.78 MB", "8.78", "9.76", "90%", "1.20x"]
    assert rows[0][1][-5:] == [""] * 5
    assert "from a share of 85% on" in table.notes[1]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_traffic_is_of_operands_and_results(operation: str) -> None:
    kind = kind_of(operation)
    layer = find_layer(LAYER_OF_KIND[kind])
    case = Case("ops", layer.name, 2, operation)

    def made() -> data.Operands:
        return data.operands(operation, layer, 2, integers=True)

    (result,) = ours.operate(case, made, "ops").results()
    sizes = {name: array.nbytes for name, array in made()._asdict().items()}
    read = {
        "forward": ("x", "kernel", "bias"),
        "input-gradient": ("grad", "kernel"),
        "kernel-gradient": ("x", "grad"),
        "pool": ("x",),
        "pool-gradient": ("grad",),
    }
    ending = max((name for name in read if operation.endswith(name)), key=len)
    expected = [sum(sizes[name] for name in read[ending]), result.nbytes]
    maxima = sizes["grad"] // 4
    if operation.startswith("max-pool"):
        expected["gradient" not in operation] += 8 * maxima
    if operation.startswith("fused"):
        # A byte for each maximum; gradients read the results as well.
        expected[operation == "fused-forward"] += maxima
        expected[0] += 4 * maxima if operation != "fused-forward" else 0
    assert list(traffic(case)) == expected
    assert traffic(case).moved == sum(expected)


def test_every_kind_of_layer_in_both_layouts(tmp_path: Path) -> None:
    """NumPy gives the same as fastconv, as it is measured and as it is compared with."""
    arguments = ["bench", "ops", "--set", "all", "--against", "numpy", "--quick", "--threads", "1"]
    layers = "cifar-conv3,mnist-output,mnist-pool2,mobilenet-pool"
    arguments += ["--batch", "1,2", "--cold", "--layout", "channels_first", "--layer", layers]
    arguments += ["--precision", "strict"]
    result = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(
        cli.app, [*arguments, "--output", str(tmp_path)]
    )
    assert result.exit_code == 0, result.output
    assert "channels_first, 1 thread, malloc tuned, from memory, not from a cache" in result.output
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["problems"] == []
    assert len(found["measurements"]) == 2 * 2 * (3 + 3 + 2 + 2)
    settings = {(m["case"]["layout"], m["case"]["precision"]) for m in found["measurements"]}
    assert settings == {("channels_first", "strict")}
