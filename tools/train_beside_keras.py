"""Train the networks of the examples to the end, on fastconv and on Keras, in turn.

    pip install ".[bench]" keras tensorflow-cpu
    FASTCONV_DATA_DIR=... KERAS_BACKEND=tensorflow python tools/train_beside_keras.py m2 m3 m5

Both packages run the same program, as the examples have it, each run in a process of its own: m2 on
MNIST (15 epochs, batches of 128), m3 (5 epochs, batches of 32) and m5 (5 epochs, batches of 128) on
Fashion-MNIST. Accuracy is that on the 10,000 test images. Seconds are those of `fit`, without the
evaluation after each epoch that the plot shows. Memory is the largest resident size from `import`
to the end of `fit`, less the data set. Prints Markdown; `--output` is the folder for runs.json and
training.png; with `--resume` the runs in it are not repeated.
"""

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

PACKAGES = ("fastconv", "keras")
COLOURS = {"fastconv": "#c2410c", "keras": "#64748b"}
MEBIBYTE = 2**20


class Task(NamedTuple):
    """A network to train, and how."""

    dataset: str
    epochs: int
    batch_size: int


TASKS = {
    "m2": Task("mnist", 15, 128),
    "m3": Task("fashion_mnist", 5, 32),
    "m5": Task("fashion_mnist", 5, 128),
}


def network(k: Any, name: str) -> Any:
    """The network of package `k`."""
    layers = k.layers
    if name == "m2":
        return k.Sequential(
            [
                k.Input(shape=(28, 28, 1)),
                layers.Conv2D(32, kernel_size=(3, 3), activation="relu"),
                layers.MaxPooling2D(pool_size=(2, 2)),
                layers.Conv2D(64, kernel_size=(3, 3), activation="relu"),
                layers.MaxPooling2D(pool_size=(2, 2)),
                layers.Flatten(),
                layers.Dropout(0.5),
                layers.Dense(10, activation="softmax"),
            ]
        )
    if name == "m3":
        return k.Sequential(
            [
                k.Input(shape=(28, 28, 1)),
                layers.Conv2D(64, (3, 3), activation="relu"),
                layers.MaxPooling2D(2, 2),
                layers.Conv2D(64, (3, 3), activation="relu"),
                layers.MaxPooling2D(2, 2),
                layers.Flatten(),
                layers.Dense(128, activation="relu"),
                layers.Dense(10, activation="softmax"),
            ]
        )
    inputs = k.Input(shape=(28, 28, 1))
    x = layers.Conv2D(16, kernel_size=(3, 3), activation="relu")(inputs)
    x = layers.Conv2D(32, kernel_size=(3, 3), activation="relu")(x)
    x = layers.MaxPooling2D(pool_size=(2, 2))(x)
    x = layers.Flatten()(x)
    x = layers.Dense(128, activation="relu")(x)
    outputs = layers.Dense(10, activation="softmax")(x)
    return k.Model(inputs=inputs, outputs=outputs, name="hello-world-cnn")


def scaled(images: Any) -> Any:
    """Images from 0 to 1 with an axis of channels, without a second copy on the way."""
    result = images[..., np.newaxis].astype(np.float32)
    result /= 255
    return result


def peak_memory() -> int:
    """The largest resident size of this process in bytes; Linux only."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status has no VmHWM")


def run(package: str, name: str, seed: int) -> dict[str, Any]:
    """One run, in this process."""
    from fastconv import datasets

    task = TASKS[name]
    (x_train, y_train), (x_test, y_test) = getattr(datasets, task.dataset).load_data()
    x_train, x_test = scaled(x_train), scaled(x_test)
    data_size = sum(array.nbytes for array in (x_train, y_train, x_test, y_test))
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here

    keras = importlib.import_module(package)
    keras.utils.set_random_seed(seed)
    model = network(keras, name)
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    curve: list[tuple[float, float]] = []
    start = time.perf_counter()
    outside = 0.0

    class Curve(keras.callbacks.Callback):  # type: ignore[misc, name-defined]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
            nonlocal outside
            now = time.perf_counter()
            predicted = model.predict(x_test, batch_size=1000, verbose=0).argmax(axis=-1)
            curve.append((now - start - outside, float(np.mean(predicted == y_test))))
            outside += time.perf_counter() - now

    model.fit(
        x_train,
        y_train,
        batch_size=task.batch_size,
        epochs=task.epochs,
        verbose=0,
        callbacks=[Curve()],
    )
    return {
        "package": package,
        "version": keras.__version__,
        "backend": keras.backend.backend() if package == "keras" else "",
        "network": name,
        "seed": seed,
        "seconds": time.perf_counter() - start - outside,
        "accuracy": curve[-1][1],
        "curve": curve,
        "peak_beyond_data": peak_memory() - data_size,
    }


def measured(package: str, name: str, seed: int) -> dict[str, Any]:
    """One run, in a process of its own with an allocator that keeps memory."""
    from fastconv.bench.processes import MALLOC_ENVIRONMENTS

    command = [sys.executable, __file__, "--run", package, name, str(seed)]
    environment = {**os.environ, **MALLOC_ENVIRONMENTS["tuned"], "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def table(runs: list[dict[str, Any]]) -> str:
    """Medians of each network and package, and their seeds, as Markdown."""
    lines = [
        "| network | package | accuracy, median | of each seed | seconds, median | peak memory |",
        "|---|---|---|---|---|---|",
    ]
    for name in TASKS:
        for package in PACKAGES:
            group = [r for r in runs if (r["network"], r["package"]) == (name, package)]
            if not group:
                continue
            backend = f" on {group[0]['backend']}" if group[0]["backend"] else ""
            accuracies = [100 * r["accuracy"] for r in group]
            seconds = statistics.median(r["seconds"] for r in group)
            memory = max(r["peak_beyond_data"] for r in group) / MEBIBYTE
            lines.append(
                f"| {name} | {package} {group[0]['version']}{backend} "
                f"| {statistics.median(accuracies):.2f} % "
                f"| {', '.join(f'{value:.2f}' for value in accuracies)} "
                f"| {seconds:.1f} | {memory:.0f} MiB |"
            )
    return "\n".join(lines)


def plot(runs: list[dict[str, Any]], path: Path) -> None:
    """Test accuracy over the seconds of training, a panel for each network."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    names = [name for name in TASKS if any(r["network"] == name for r in runs)]
    figure, axes = plt.subplots(
        1, len(names), figsize=(5.5 * len(names), 4), squeeze=False, layout="constrained"
    )
    for name, place in zip(names, axes[0], strict=True):
        labelled = set()
        for result in (r for r in runs if r["network"] == name):
            package = result["package"]
            title = f"{package} {result['version']} {result['backend']}".strip()
            seconds, accuracies = zip(*result["curve"], strict=True)
            place.plot(
                seconds,
                [100 * value for value in accuracies],
                color=COLOURS[package],
                marker="o",
                markersize=3,
                linewidth=1,
                label=None if title in labelled else title,
            )
            labelled.add(title)
        place.set_title(f"{name}, {TASKS[name].dataset}, {TASKS[name].epochs} epochs")
        place.set_xlabel("seconds of training (log scale)")
        place.set_ylabel("test accuracy, %")
        place.set_xscale("log")
        place.grid(visible=True, which="both", linewidth=0.3)
        place.legend(loc="lower right")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> int:
    """Print the table and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", help=f"of {', '.join(TASKS)}; all if none is given")
    parser.add_argument("--seeds", type=int, default=3, help="runs of fastconv (default 3)")
    parser.add_argument("--keras-seeds", type=int, help="runs of Keras; as many if not given")
    parser.add_argument("--output", type=Path, help="folder for runs.json and training.png")
    parser.add_argument("--resume", action="store_true", help="keep the runs in the folder")
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        package, name, seed = arguments.run
        print(json.dumps(run(package, name, int(seed))))
        return 0
    unknown = set(arguments.networks) - set(TASKS)
    if unknown:
        parser.error(f"unknown networks: {', '.join(sorted(unknown))}")
    keras_seeds = arguments.seeds if arguments.keras_seeds is None else arguments.keras_seeds
    counts = dict(zip(PACKAGES, (arguments.seeds, keras_seeds), strict=True))
    known = arguments.output / "runs.json" if arguments.output else None
    resumed = arguments.resume and known is not None and known.exists()
    runs: list[dict[str, Any]] = json.loads(known.read_text()) if known and resumed else []
    done = {(r["package"], r["network"], r["seed"]) for r in runs}
    for name in arguments.networks or TASKS:
        for seed in range(max(counts.values())):
            for package in PACKAGES:
                if seed < counts[package] and (package, name, seed) not in done:
                    runs.append(measured(package, name, seed))
                    last = runs[-1]
                    line = f"{package} {name} seed {seed}: {100 * last['accuracy']:.2f} %"
                    print(f"{line}, {last['seconds']:.1f} s", file=sys.stderr, flush=True)
                    if known:
                        known.parent.mkdir(parents=True, exist_ok=True)
                        known.write_text(json.dumps(runs))
    print(table(runs))
    if arguments.output:
        plot(runs, arguments.output / "training.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
