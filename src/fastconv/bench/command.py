"""The command `fastconv bench`."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, get_args

import typer
from rich.console import Console

from fastconv import config
from fastconv.bench import machine, output, runner
from fastconv.bench.cases import OPERATIONS, Case, Layout, Task, operation_cases
from fastconv.bench.layer_sets import LAYER_SETS
from fastconv.bench.operation_tables import operation_tables, summary_tables
from fastconv.bench.peers import OURS, PEERS
from fastconv.bench.processes import ISA_ENVIRONMENTS, MALLOC_ENVIRONMENTS, Contestant
from fastconv.bench.rendering import as_rich
from fastconv.bench.results import Report
from fastconv.bench.tables import case_tables, remarks, setting
from fastconv.bench.workloads import MODELS

__all__ = ["bench"]


Malloc = Literal["tuned", "default", "both"]
"""Settings of glibc's allocator."""

BATCHES: dict[Task, tuple[int, ...]] = {"train": (128,), "predict": (1, 128, 1000)}


def listed(names: dict[str, str]) -> str:
    """Names with what they mean, a line each."""
    width = max(map(len, names))
    return "\n".join(f"  {name:<{width}}  {meaning}" for name, meaning in names.items())


PEER_LIST = listed({n: f"{p.title}: {p.install}" for n, p in PEERS.items() if n != OURS})
SET_LIST = listed({n: f"{s.description}, batches 1 and {s.batch}" for n, s in LAYER_SETS.items()})
EPILOG = f"""[bold]What is done[/]
  Every contestant is a library in one mode with one number of threads. Each has a process of its
  own; they run in turn, one at a time. Before it is measured, each must give the right results:
  of networks those of the NumPy reference, of operations those of fastconv's direct sums in
  float64, on integers, of which every sum is exact. The speed of a row is relative to the fastest
  peer that has as many threads; it is the median of the ratios in each turn, in which what slows
  the whole machine cancels. An operation takes about a second. With several numbers of threads
  a table lists the operations that gain too little from them, with what each has to move, and how
  fast the same threads move as much and do nothing else: those near that rate wait for memory.

[bold]Peers[/]
{PEER_LIST}

[bold]Layer sets[/]
{SET_LIST}

[bold]Operations[/]
{listed(OPERATIONS)}

[bold]Examples[/]
  fastconv bench                                a training step, predictions, operations
  fastconv bench train --against torch,jax      a training step beside two libraries
  fastconv bench predict --batch 1 --threads 1  the latency of one image
  fastconv bench ops --set all --against torch --threads 2 --output benchmarks/ops
  fastconv bench ops --set resnet50,vgg16 --batch 1 --operation forward --threads 1,2
  fastconv bench ops --set all --against none --threads 1,2   how operations scale with threads
  fastconv bench ops --set mobilenet-v1 --layer depthwise --layout channels_first --cold
  fastconv bench ops --set vgg16 --precision strict --against none --threads 1
  fastconv bench train --isa avx2 --malloc both --output results
"""


def bench(
    what: Annotated[
        Literal[Task, "all"],
        typer.Argument(help="train: a training step; predict: a prediction; ops: operations."),
    ] = "all",
    against: Annotated[
        str | None,
        typer.Option(help="Peers, separated by commas, or none; all installed if not given."),
    ] = None,
    threads: Annotated[
        str | None, typer.Option(help="Numbers of threads; 1 and all processors if not given.")
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option(help="Batch sizes; 128 to train, 1,128,1000 to predict, the set's for ops."),
    ] = None,
    model: Annotated[
        str, typer.Option(help=f"To train and predict: {', '.join(MODELS)}, or several.")
    ] = "m1",
    layer_set: Annotated[
        str, typer.Option("--set", help="For ops: layer sets of the list below, or all.")
    ] = "mnist",
    layer: Annotated[
        str | None, typer.Option(help="For ops: some layers of the set, or parts of names.")
    ] = None,
    operation: Annotated[str | None, typer.Option(help="For ops: some operations.")] = None,
    layout: Annotated[
        Layout, typer.Option(help="For ops: of images, coming and going, fastconv's and peers'.")
    ] = "channels_last",
    cold: Annotated[
        bool, typer.Option("--cold", help="For ops: inputs and results in memory, not in a cache.")
    ] = False,
    precision: Annotated[
        config.Precision, typer.Option(help="For ops: what fastconv may use, as by set_precision.")
    ] = "default",
    malloc: Annotated[
        Malloc,
        typer.Option(help="Allocator of all contestants: tuned to keep memory, as it is, or both."),
    ] = "tuned",
    isa: Annotated[
        str | None,
        typer.Option(help=f"Hold everyone to a level: {', '.join(ISA_ENVIRONMENTS)}."),
    ] = None,
    turns: Annotated[
        int | None,
        typer.Option(min=1, help="How often it is each contestant's turn; 15, 9 for ops."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A few rounds: to see that it works, not to measure.")
    ] = False,
    folder: Annotated[
        Path | None,
        typer.Option("--output", help="Folder for results.md, results.json and plots."),
    ] = None,
) -> None:
    """Compare the speed of fastconv with other libraries on this machine.

    Results are compared first: the command fails if a library, or fastconv, differs.
    """
    console, status = Console(highlight=False), Console(stderr=True)
    known_peers = [n for n in PEERS if n != OURS]
    names = [] if against == "none" else chosen("--against", against, known_peers)
    counts = numbers("--threads", threads) or sorted({1, config.get_num_threads()})
    if isa is not None and isa not in config.available_isas():
        levels = ", ".join(config.available_isas())
        raise typer.BadParameter(f"this machine and build have {levels}.", param_hint="--isa")
    allocators = list(MALLOC_ENVIRONMENTS) if malloc == "both" else [malloc]
    tasks: tuple[Task, ...] = get_args(Task) if what == "all" else (what,)
    sizes = numbers("--batch", batch)
    set_names = None if layer_set == "all" else layer_set
    sets = [LAYER_SETS[name] for name in chosen("--set", set_names, list(LAYER_SETS))]
    known_layers = [item.name for some in sets for item in some.layers]
    layers = chosen("--layer", layer, known_layers, parts=True)
    operations = None if operation is None else chosen("--operation", operation, list(OPERATIONS))
    models = chosen("--model", model, list(MODELS))

    report = Report(
        machine.describe(
            distribution for name in names for distribution in PEERS[name].requires.values()
        ),
        {"command": shlex.join(["fastconv", *sys.argv[1:]]), "isa": isa, "quick": quick},
    )
    report.missing |= {name: PEERS[name].install for name in names if PEERS[name].missing}
    present = [name for name in names if name not in report.missing]
    with status.status("") as shown:
        running = runner.Runner(report, isa, shown.update)
        for task in tasks:
            effort = runner.QUICK if quick else runner.EFFORTS[task]
            if turns is not None:
                effort = dataclasses.replace(effort, turns=turns)
            if task == "ops":
                cases = [
                    case
                    for some in sets
                    for size in sizes or sorted({1, some.batch})
                    for case in operation_cases(
                        some,
                        layers,
                        operations,
                        size,
                        cold=cold,
                        layout=layout,
                        precision=precision,
                    )
                ]
            else:
                cases = [
                    Case(task, name, size) for name in models for size in sizes or BATCHES[task]
                ]
            for allocator in allocators:
                entered = contestants(task, [OURS, *present], counts, allocator)
                running.run(cases, entered, effort)
    show(report, console)
    if folder is not None:
        try:
            output.write(report, folder)
        except ImportError as error:
            console.print(str(error), style="yellow", markup=False)
        console.print(f"results in {folder}", style="dim", markup=False)
    if report.failed:
        raise typer.Exit(1)


def contestants(
    task: Task, peers: Sequence[str], counts: Sequence[int], malloc: str
) -> list[Contestant]:
    """Every mode of the peers with every number of threads."""
    return [
        Contestant(name, mode, threads, malloc)
        for name in peers
        for mode in PEERS[name].modes.get(task, ())
        for threads in counts
    ]


def show(report: Report, console: Console) -> None:
    """Print tables, those with most lines first, and what the reader must know."""
    for table in (*case_tables(report), *operation_tables(report), *summary_tables(report)):
        console.print(as_rich(table, console))
    if any(m.case.task == "ops" for m in report.measurements):
        for line in setting(report):
            console.print(line, style="dim", markup=False)
    for line in remarks(report):
        console.print(line, style="yellow", markup=False)


def chosen(
    option: str, value: str | None, known: Sequence[str], *, parts: bool = False
) -> list[str]:
    """The names in a list with commas; all that are known if there is none.

    Args:
        option: for the message.
        value: the list.
        known: names to choose from.
        parts: whether what is no name means all names that it is a part of.
    """
    if value is None:
        return list(known)
    names: list[str] = []
    for name in (item.strip() for item in value.split(",")):
        found = [other for other in known if name == other or (parts and name in other)]
        if not found:
            message = f"{name!r} is not one of {', '.join(known)}."
            raise typer.BadParameter(message, param_hint=option)
        names += [name] if name in known else found
    return names


def numbers(option: str, value: str | None) -> list[int]:
    """The numbers in a list with commas; none if there is no list."""
    found = [] if value is None else value.split(",")
    if not all(item.strip().isdecimal() and int(item) > 0 for item in found):
        message = f"{value!r} is not a list of numbers from 1, such as 1,2."
        raise typer.BadParameter(message, param_hint=option)
    return [int(item) for item in found]
