"""Draw the pictures of docs/tutorial.md from what its blocks of code compute.

    python tools/make_tutorial_plots.py [folder]

Runs the page as a test first, which must pass; the folder is docs/images by default. Needs the
extra `plot`.
"""

from __future__ import annotations

import doctest
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

from fastconv import utils

PAGE = Path(__file__).parents[1] / "docs" / "tutorial.md"
DPI = 80
MARK = "#c2410c"
SECOND_MARK = "#2563eb"


def run_page() -> dict[str, Any]:
    """Run every block of the page; the names that they leave.

    Raises:
        doctest.DocTestFailure: a block gives something else than the page says.
    """
    text = PAGE.read_text(encoding="utf-8")
    test = doctest.DocTestParser().get_doctest(text, {}, PAGE.name, str(PAGE), 0)
    doctest.DebugRunner(verbose=False).run(test, clear_globs=False)
    return test.globs


def draw_table(axis: Any, values: np.ndarray, title: str = "", color: str = "Greys") -> None:
    """A table of numbers, darker where they are larger, in cells of one unit."""
    span = values.max() - values.min()
    shades = (values - values.min()) / (span or 1) * 0.45
    axis.imshow(shades, cmap=color, vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(values):
        axis.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=8)
    axis.set_title(title, fontsize=9)
    axis.set_xticks([])
    axis.set_yticks([])


def draw_window(axis: Any, row: int, column: int, size: int, color: str = MARK) -> None:
    """A frame around `size` x `size` cells."""
    corner = (column - 0.5, row - 0.5)
    axis.add_patch(Rectangle(corner, size, size, fill=False, lw=2.5, color=color, clip_on=False))


def draw_convolution(page: dict[str, Any]) -> Any:
    """Channels, filter and result, with the first window and the first number marked."""
    figure = plt.figure(figsize=(10, 5.2), layout="constrained")
    rows = [[f"image{channel}", f"filter{channel}", "result"] for channel in range(3)]
    axes = figure.subplot_mosaic(rows, width_ratios=[9, 4, 12])
    for channel in range(3):
        image, kernel = axes[f"image{channel}"], axes[f"filter{channel}"]
        draw_table(image, page["image"][:, :, channel], f"channel {channel + 1}")
        draw_window(image, 0, 0, 3)
        draw_table(kernel, page["kernel"][:, :, channel], f"filter, channel {channel + 1}")
    draw_table(axes["result"], page["table"][0, :, :, 0], "result", "Blues")
    draw_window(axes["result"], 0, 0, 1)
    return figure


def draw_strides(page: dict[str, Any]) -> Any:
    """The inputs of the first and the second output."""
    figure, axes = plt.subplots(1, 2, figsize=(7, 4.6), layout="constrained")
    for axis, stride in zip(axes, (1, 2), strict=True):
        read = [page["inputs_of"](0, column, strides=stride) for column in (0, 1)]
        axis.imshow(read[0] + read[1], cmap="Greys", vmin=0, vmax=5)
        for cells, color in zip(read, (MARK, SECOND_MARK), strict=True):
            rows, columns = np.nonzero(cells)
            draw_window(axis, rows.min(), columns.min(), 3, color)
        axis.set_xticks(np.arange(read[0].shape[1] + 1) - 0.5, [])
        axis.set_yticks(np.arange(read[0].shape[0] + 1) - 0.5, [])
        axis.grid(color="#999999", lw=0.6)
        axis.tick_params(length=0)
        axis.set_title(f"stride {stride}: output (0, 0) red, output (0, 1) blue", fontsize=9)
    return figure


def draw_pooling(page: dict[str, Any]) -> Any:
    """The windows, and the maxima with and without those that stick out."""
    part = page["part"][0, :, :, 0]
    figure, axes = plt.subplots(
        1, 3, figsize=(9, 3.4), layout="constrained", width_ratios=[6, 4, 4]
    )
    draw_table(axes[0], part, "table of 5x5")
    windows = [(row, column) for row in (0, 2, 4) for column in (0, 2, 4)]
    # Those that stick out first: where two share an edge it belongs to the whole one.
    for row, column in sorted(windows, key=max, reverse=True):
        whole = max(row, column) < 4
        draw_window(axes[0], row, column, 2, MARK if whole else SECOND_MARK)
    # Room for the windows that stick out.
    axes[0].set_xlim(-0.7, 5.7)
    axes[0].set_ylim(5.7, -0.7)
    axes[0].spines[:].set_visible(False)
    draw_table(axes[1], page["all_windows"][0, :, :, 0], "all windows", "Blues")
    draw_table(axes[2], page["pooled"][0, :, :, 0], "whole windows", "Oranges")
    return figure


def draw_learning(page: dict[str, Any]) -> Any:
    """The error of the filter that is learned, and its numbers."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    steps = np.arange(1, len(page["errors"]) + 1)
    axes[0].loglog(steps, page["errors"], color=SECOND_MARK)
    axes[0].set_title("mean squared error", fontsize=9)
    axes[1].semilogx(steps, np.reshape(page["guesses"], (len(steps), -1)), color=SECOND_MARK, lw=1)
    for value in np.unique(page["kernel"]):
        axes[1].axhline(value, color=MARK, lw=0.6, ls=":")
    axes[1].set_title("the 27 numbers of the filter; dotted: those to find", fontsize=9)
    for axis in axes:
        axis.set_xlabel("step")
        axis.grid(alpha=0.3)
    return figure


def draw_training(page: dict[str, Any]) -> Any:
    """The history of the digits."""
    return utils.plot_history(page["history"])


def draw_filters(page: dict[str, Any]) -> Any:
    """The first filters before and after training, and their feature maps."""
    figure, axes = plt.subplots(3, 9, figsize=(9, 3.5), layout="constrained")
    untrained, trained = page["untrained"], page["filters"]
    limit = np.abs([untrained, trained]).max()
    names = ("before", "after", "feature map")
    for axis, name in zip(axes[:, 0], names, strict=True):
        axis.text(1, 0.5, name, ha="right", va="center", fontsize=9, transform=axis.transAxes)
        axis.axis("off")
    for place in range(8):
        for axis, kernel in zip(axes[:2, place + 1], (untrained, trained), strict=True):
            axis.imshow(kernel[:, :, 0, place], cmap="RdBu", vmin=-limit, vmax=limit)
        axes[2, place + 1].imshow(page["maps"][0, :, :, place], cmap="Greys")
    for axis in axes[:, 1:].ravel():
        axis.set_xticks([])
        axis.set_yticks([])
    return figure


def draw_predictions(page: dict[str, Any]) -> Any:
    """Digits that the network reads right, and the first that it does not."""
    x, y, predicted, shares = (page[key] for key in ("x_test", "y_test", "predicted", "shares"))
    wrong = np.flatnonzero(predicted != y)[:8]
    right = np.flatnonzero(predicted == y)[:8]
    figure, axes = plt.subplots(2, 8, figsize=(9, 2.9), layout="constrained")
    for axis in axes.ravel():
        axis.axis("off")
    for axis, index in zip([*axes[0], *axes[1]], [*right, *wrong], strict=False):
        axis.imshow(x[index, :, :, 0], cmap="Greys")
        answer = predicted[index]
        title = f"{answer} ({100 * shares[index, answer]:.0f} %)"
        if answer != y[index]:
            title += f", is {y[index]}"
        axis.set_title(title, fontsize=8, color="black" if answer == y[index] else MARK)
    return figure


def draw_mistakes(page: dict[str, Any]) -> Any:
    """The confusion matrix of the digits."""
    return utils.plot_confusion_matrix(page["y_test"], page["predicted"])


def draw_dropout(page: dict[str, Any]) -> Any:
    """The runs with and without dropout."""
    return utils.plot_history(page["runs"])


PICTURES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "convolution.png": draw_convolution,
    "strides.png": draw_strides,
    "pooling.png": draw_pooling,
    "learning.png": draw_learning,
    "training.png": draw_training,
    "filters.png": draw_filters,
    "predictions.png": draw_predictions,
    "mistakes.png": draw_mistakes,
    "dropout.png": draw_dropout,
}


def draw_all(page: dict[str, Any], folder: Path) -> None:
    """Draw every picture into a folder."""
    folder.mkdir(exist_ok=True)
    for name, draw in PICTURES.items():
        figure = draw(page)
        # Without the version of matplotlib: a picture that did not change is the same file.
        figure.savefig(folder / name, dpi=DPI, metadata={"Software": None})
        plt.close(figure)


if __name__ == "__main__":
    mpl.use("Agg")
    draw_all(run_page(), Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE.parent / "images")
