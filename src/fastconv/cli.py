"""The command line: `fastconv info` and `fastconv train`. Needs the extra `cli` (typer, rich)."""

import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from fastconv import callbacks, config, datasets, losses, networks, utils
from fastconv.datasets import cifar10, fashion_mnist, mnist

__all__ = ["app"]

PUBLISHED = {
    "mnist": mnist.load_data,
    "fashion-mnist": fashion_mnist.load_data,
    "cifar10": cifar10.load_data,
}
Split = tuple[NDArray[np.uint8], NDArray[np.uint8]]

EPILOG = "\n\n".join(
    ["[bold]Networks[/bold]"]
    + [f"{name}: {network.description}" for name, network in networks.NETWORKS.items()]
    + ["[bold]Examples[/bold]"]
    + [
        "fastconv train mnist",
        "fastconv train fashion-mnist --model m3 --epochs 5",
        "fastconv train cifar10 --model m4 --batch-size 64",
        "fastconv train ./my-digits --seed 1 --threads 1",
    ]
)

app = typer.Typer(
    help="Fast convolutional networks on CPUs.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
console = Console(highlight=False)


@app.command()
def info() -> None:
    """Show the processor, instruction-set levels, threads, versions and build flags."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in config.build_info().items():
        table.add_row(key.replace("_", " "), value)
    console.print(table)


@app.command(epilog=EPILOG)
def train(
    data: Annotated[
        str,
        typer.Argument(
            help="mnist, fashion-mnist, cifar10, or a folder with four IDX files named as MNIST's."
        ),
    ] = "mnist",
    model: Annotated[str, typer.Option(help="Name of the network; the list is below.")] = "m1",
    epochs: Annotated[
        int, typer.Option(min=1, help="How often to go through the training images.")
    ] = 15,
    batch_size: Annotated[int, typer.Option(min=1, help="Images in a training step.")] = 128,
    seed: Annotated[
        int, typer.Option(min=0, help="The same seed gives the same result, bit for bit.")
    ] = 0,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1, help="Threads to use (all cores if not given); the result is the same."
        ),
    ] = None,
) -> None:
    """Train a network on images, then test it on images that it has not seen.

    The published data sets are looked for in the folder $FASTCONV_DATA_DIR and in your cache
    folder, and downloaded if they are in neither. Where MNIST cannot be had, training uses 7,000
    of its images that come with the package.
    """
    if model not in networks.NETWORKS:
        names = ", ".join(networks.NETWORKS)
        raise typer.BadParameter(f"{model!r} is not one of {names}.", param_hint="--model")
    if threads is not None:
        config.set_num_threads(threads)
    (x_train, y_train), (x_test, y_test) = load(data)
    x_train, x_test = as_inputs(x_train), as_inputs(x_test)
    classes = 1 + int(max(y_train.max(), y_test.max()))
    utils.set_random_seed(seed)
    network = networks.NETWORKS[model]
    trained = networks.build(model, x_train.shape[1:], classes)
    trained.compile(
        optimizer="adam",
        loss=losses.SparseCategoricalCrossentropy(from_logits=network.from_logits),
        metrics=["accuracy"],
    )
    console.print(
        f"[bold]{model}[/bold]: {network.description}; {trained.count_params():,} parameters\n"
        f"{len(x_train):,} training and {len(x_test):,} test images of "
        f"{'x'.join(map(str, x_train.shape[1:]))}, {classes} classes\n"
        f"batch size {batch_size}, seed {seed}, {config.get_num_threads()} threads, "
        f"{config.active_isa()}"
    )
    start = time.perf_counter()
    with TrainingProgress(len(x_train), batch_size, epochs) as progress:
        trained.fit(
            x_train,
            y_train,
            batch_size=batch_size,
            epochs=epochs,
            verbose=0,
            callbacks=[progress],
        )
    seconds = time.perf_counter() - start
    _, accuracy = trained.evaluate(x_test, y_test, verbose=0)
    console.print(
        f"[bold green]test accuracy {100 * accuracy:.2f} %[/] on {len(x_test):,} images "
        f"after {seconds:.1f} seconds of training"
    )


def load(data: str) -> tuple[Split, Split]:
    """Load a data set by name or folder; end the program with a message if that fails."""
    try:
        if data not in PUBLISHED:
            return load_folder(data)
        with console.status(f"Loading {data}"):
            return PUBLISHED[data]()
    except datasets.DatasetUnavailableError as error:
        if data != "mnist":
            raise fail(str(error)) from error
        console.print(
            "[yellow]MNIST is neither on this machine nor can it be downloaded: training on the "
            "sample of it that comes with fastconv.[/]"
        )
        return mnist.load_sample()
    except (OSError, ValueError) as error:
        raise fail(str(error)) from error


def load_folder(data: str) -> tuple[Split, Split]:
    """Load a folder of IDX files."""
    if not Path(data).is_dir():
        names = ", ".join(PUBLISHED)
        raise ValueError(f"DATA must be one of {names} or a folder, received {data!r}")
    (x_train, y_train), (x_test, y_test) = datasets.load_idx_folder(data)
    if min(x_train.size, x_test.size) == 0 or x_train.shape[1:] != x_test.shape[1:]:
        raise ValueError(
            f"{data}: training and test images must have one size and not be empty, "
            f"received {x_train.shape} and {x_test.shape}"
        )
    return (x_train, y_train), (x_test, y_test)


def fail(message: str) -> typer.Exit:
    """Print an error; the result is to be raised."""
    Console(stderr=True, highlight=False).print(f"[bold red]error:[/] {message}", markup=True)
    return typer.Exit(1)


def as_inputs(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Images `(N, H, W)` or `(N, H, W, C)` of bytes as `(N, H, W, C)` between 0 and 1."""
    if images.ndim == 3:
        images = images[..., np.newaxis]
    return images.astype(np.float32) / np.float32(255)


class TrainingProgress(callbacks.Callback):
    """A live bar for the current epoch, and one line for each that is done."""

    def __init__(self, images: int, batch_size: int, epochs: int) -> None:
        super().__init__()
        self.images = images
        self.batch_size = batch_size
        self.epochs = epochs
        self.epoch = 0
        self.start = self.epoch_start = time.perf_counter()
        self.progress = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            TextColumn("{task.fields[status]}"),
            console=console,
            transient=True,
        )
        self.task = self.progress.add_task("", total=images, epoch="", status="")

    def __enter__(self) -> "TrainingProgress":
        """Show the bar."""
        self.progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Take the bar away."""
        self.progress.stop()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the bar anew."""
        self.epoch = epoch
        self.epoch_start = time.perf_counter()
        self.progress.reset(self.task, epoch=self.name_of(epoch), status="")

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Move the bar on."""
        done = min((batch + 1) * self.batch_size, self.images)
        all_done = self.epoch * self.images + done
        left = (time.perf_counter() - self.start) * (self.epochs * self.images / all_done - 1)
        status = f"{self.describe(done, logs or {})}  {left:.0f} s left"
        self.progress.update(self.task, completed=done, status=status)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Leave a line behind."""
        seconds = time.perf_counter() - self.epoch_start
        status = self.describe(self.images, logs or {})
        self.progress.console.print(f"epoch {self.name_of(epoch)}  {status}  {seconds:.1f} s")

    def name_of(self, epoch: int) -> str:
        """The epoch counted from 1, of how many."""
        return f"{epoch + 1:>{len(str(self.epochs))}}/{self.epochs}"

    def describe(self, done: int, logs: dict[str, Any]) -> str:
        """Speed in this epoch, and means of loss and accuracy so far."""
        rate = done / (time.perf_counter() - self.epoch_start)
        return (
            f"{rate:7,.0f} images/s  loss {logs['loss']:.4f}  "
            f"accuracy {100 * logs['accuracy']:5.2f} %"
        )
