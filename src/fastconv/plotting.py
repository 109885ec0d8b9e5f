"""Plots of training runs and of mistakes; need the extra `plot` (matplotlib)."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fastconv._errors import type_error, value_error

if TYPE_CHECKING:
    from fastconv.callbacks import History

Curves: TypeAlias = Mapping[str, Sequence[float]]
"""The values of each figure, such as "loss" and "val_loss", one an epoch."""

PANEL_INCHES = (5.2, 3.6)
COLORS = ("#2563eb", "#c2410c", "#15803d", "#7c3aed", "#be185d", "#0e7490", "#a16207", "#475569")
MARKED_EPOCHS = 30
"""Up to so many epochs each one is marked with a dot."""
WRITTEN_CLASSES = 20
"""Up to so many classes the counts are written into a confusion matrix."""


def plot_history(
    history: History | Curves | Mapping[str, History | Curves],
    path: str | os.PathLike[str] | None = None,
) -> Any:
    """Plot the figures of a training run over its epochs, each beside that of the validation.

    Args:
        history: what `fit` returned, or its `history`; or several runs, by name, to compare.
        path: where to save the plot, by its ending as png, svg or pdf; None to only make it.

    Returns:
        The matplotlib figure, with a panel for each figure of the runs. `matplotlib.pyplot.show()`
        shows it.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: something that is no history.
        ValueError: no epochs.
    """
    runs = _as_runs(history)
    names = list(dict.fromkeys(name.removeprefix("val_") for run in runs.values() for name in run))
    if not any(len(values) for run in runs.values() for values in run.values()):
        raise value_error("plot_history", "history", "is empty", "at least one epoch", "none")
    pyplot = _import_pyplot("plot_history")
    columns = min(len(names), 3 if len(names) != 4 else 2)
    rows = -(-len(names) // columns)
    size = (PANEL_INCHES[0] * columns, PANEL_INCHES[1] * rows)
    figure, axes = pyplot.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for unused in axes.ravel()[len(names) :]:
        unused.remove()
    for axis, name in zip(axes.ravel(), names, strict=False):
        for place, (title, run) in enumerate(runs.items()):
            color = COLORS[place % len(COLORS)]
            trained, validated = run.get(name, ()), run.get(f"val_{name}", ())
            if len(trained):
                _draw(axis, trained, 1, f"{title}, training", color, "-", color)
            if len(validated):
                # Fewer of them means that only each second or third epoch was validated.
                every = max(len(trained) // len(validated), 1)
                _draw(axis, validated, every, f"{title}, validation", color, "--", "white")
        longest = max(line.get_xdata()[-1] for line in axis.lines)
        axis.set_xlim(1 - 0.04 * longest, longest * 1.04)
        axis.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axis.set_title(name.replace("_", " "))
        axis.set_xlabel("epoch")
        axis.grid(alpha=0.3)
        axis.legend(fontsize="small")
    return _saved(figure, path)


def plot_confusion_matrix(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    labels: Sequence[object] | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Any:
    """Plot how often each class was taken for each other one.

    Args:
        y_true: the labels `(N,)`, or one-hot targets `(N, classes)`.
        y_pred: the labels that were predicted, or scores `(N, classes)`: the largest counts.
        labels: names of the classes; their numbers by default.
        path: where to save the plot; None to only make it.

    Returns:
        The matplotlib figure: a row for each true class, coloured by its shares, with the counts.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: arrays of different length, or too few names.
    """
    true, predicted = _as_labels("y_true", y_true), _as_labels("y_pred", y_pred)
    if len(true) != len(predicted):
        rule = "must have as many samples as y_true"
        raise value_error("plot_confusion_matrix", "y_pred", rule, len(true), len(predicted))
    wide = [array.shape[1] for array in map(np.asarray, (y_true, y_pred)) if array.ndim == 2]
    classes = max([int(max(true.max(initial=0), predicted.max(initial=0))) + 1, *wide])
    names = [str(name) for name in (range(classes) if labels is None else labels)]
    if len(names) < classes:
        rule = "must name every class"
        raise value_error("plot_confusion_matrix", "labels", rule, f"{classes} names", len(names))
    counts = np.zeros((len(names), len(names)), np.int64)
    np.add.at(counts, (true, predicted), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    pyplot = _import_pyplot("plot_confusion_matrix")
    inches = 1.8 + 0.5 * len(names)
    figure, axis = pyplot.subplots(figsize=(inches + 0.8, inches), layout="constrained")
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axis, label="share of the true class", shrink=0.8)
    places = np.arange(len(names))
    short = max(map(len, names)) <= 2
    turn = {} if short else {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    axis.set_xticks(places, names, **turn)
    axis.set_yticks(places, names)
    axis.set_xlabel("predicted")
    axis.set_ylabel("true")
    if len(names) <= WRITTEN_CLASSES:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                color = "white" if shares[row, column] > 0.5 else "black"
                axis.text(column, row, count, ha="center", va="center", color=color, fontsize=8)
    return _saved(figure, path)


def _draw(
    axis: Any, values: Sequence[float], every: int, label: str, color: str, style: str, inside: str
) -> None:
    """A line over the epochs, with dots if there are not too many of them."""
    marker = "o" if len(values) <= MARKED_EPOCHS else None
    label = label.removeprefix(", ")
    epochs = range(every, every * len(values) + 1, every)
    axis.plot(epochs, values, style, color=color, label=label, marker=marker, ms=3.5, mfc=inside)


def _as_runs(history: Any) -> dict[str, Curves]:
    """The curves of each run by its name; of a single run the name is empty."""
    curves = getattr(history, "history", history)
    if not isinstance(curves, Mapping):
        expected = "what fit returned, or a dict of such"
        raise type_error("plot_history", "history", "is no history", expected, type(history))
    if any(hasattr(value, "history") or isinstance(value, Mapping) for value in curves.values()):
        return {name: _as_runs(run)[""] for name, run in curves.items()}
    return {"": curves}


def _as_labels(argument: str, values: npt.ArrayLike) -> npt.NDArray[np.intp]:
    array = np.asarray(values)
    if array.ndim == 2:
        array = array[:, 0] if array.shape[1] == 1 else array.argmax(axis=1)
    if array.ndim != 1 or (array.size and (array.min() < 0 or np.any(array != np.rint(array)))):
        expected = "labels (N,) that are not negative, or scores (N, classes)"
        received = f"shape {array.shape}, dtype {array.dtype}"
        raise value_error("plot_confusion_matrix", argument, "holds no labels", expected, received)
    return array.astype(np.intp)


def _import_pyplot(operation: str) -> Any:
    try:
        return importlib.import_module("matplotlib.pyplot")
    except ImportError as error:
        hint = f'{operation} needs matplotlib: pip install "fastconv[plot]"'
        raise ImportError(hint) from error


def _saved(figure: Any, path: str | os.PathLike[str] | None) -> Any:
    if path is not None:
        figure.savefig(path, dpi=120)
    return figure
