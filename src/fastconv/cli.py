"""The command line: `fastconv info`, `train` and `bench`. Needs the extra `cli` (typer, rich)."""

import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fastconv import config, datasets, losses, networks, utils
from fastconv.bench import command
from fastconv.datasets import cifar10, fashion_mnist, mnist

__all__ = ["app"]

PUBLISHED = {
    "mnist": mnist.load_data,
    "fashion-mnist": fashion_mnist.load_data,
    "cifar10": cifar10.load_data,
}
Split = tuple[NDArray[np.uint8], NDArray[np.uint8]]

NETWORK_LIST = "\n".join(
    f"  {name:<8} {network.description}" for name, network in networks.NETWORKS.items()
)
TRAIN_EPILOG = f"""[bold]Networks[/]
{NETWORK_LIST}

[bold]Examples[/]
  fastconv train mnist
  fastconv train fashion-mnist --model m3 --epochs 5
  fastconv train cifar10 --model m4 --batch-size 64
  fastconv train ./my-digits --seed 1 --threads 1
"""

app = typer.Typer(
    help="Fast convolutional networks on CPUs.",
    epilog="To begin with: [bold]fastconv train mnist[/]",
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


@app.command(epilog=TRAIN_EPILOG)
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
    (train_images, y_train), (test_images, y_test) = load(data)
    x_train, x_test = as_inputs(train_images), as_inputs(test_images)
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
    trained.fit(x_train, y_train, batch_size=batch_size, epochs=epochs, verbose=1)
    seconds = time.perf_counter() - start
    _, accuracy = trained.evaluate(x_test, y_test, verbose=0)
    console.print(
        f"[bold green]test accuracy {100 * accuracy:.2f} %[/] on {len(x_test):,} images "
        f"after {seconds:.1f} seconds of training"
    )


app.command(epilog=command.EPILOG)(command.bench)


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
    shown = Text.assemble(("error: ", "bold red"), message)
    Console(stderr=True).print(shown, soft_wrap=True, highlight=False)
    return typer.Exit(1)


def as_inputs(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Images `(N, H, W)` or `(N, H, W, C)` of bytes as `(N, H, W, C)` between 0 and 1."""
    if images.ndim == 3:
        images = images[..., np.newaxis]
    return images.astype(np.float32) / np.float32(255)
