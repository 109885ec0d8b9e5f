"""fastconv beside the fastest peer: of each operation, and of all layers of a set together."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from fastconv.bench.cases import Case, kind_of
from fastconv.bench.layer_sets import find_layer, set_of_layer
from fastconv.bench.processes import thread_words
from fastconv.bench.results import Measurement, Report, fastest, grouped, thread_counts
from fastconv.bench.statistics import Quartiles, paired_ratio, quartiles
from fastconv.config import Precision

__all__ = [
    "Comparison",
    "Memory",
    "Scaling",
    "Setting",
    "Total",
    "comparisons",
    "divided",
    "totals",
]

SCALED_SECONDS = 1e-3
"""With 1 thread: what is shorter is not worth waking another thread for."""

STEADY = 0.95
"""Of the usual multiply-add peak. With less the threads had no processor each, as when the host of
a virtual machine runs two of its processors on one core, for seconds or minutes."""

MEMORY_BOUND = 0.85
"""Of the operation's time."""

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")


class Setting(NamedTuple):
    """What is equal for everyone in a table."""

    threads: int
    malloc: str
    layout: str
    cold: bool
    precision: Precision

    def __str__(self) -> str:
        words = [self.layout, thread_words(self.threads), f"malloc {self.malloc}"]
        if self.cold:
            words.append("from memory, not from a cache")
        if self.precision != "default":
            words.append(f"fastconv in {self.precision} precision")
        return ", ".join(words)


class Memory(NamedTuple):
    """What the operation has to move, moved by itself by the same threads, in the same turns.

    Attributes:
        seconds: that takes.
        share: of the operation's time; more than 1 if caches serve the operation better.
        scaling: time with 1 thread over time with these.
    """

    seconds: float
    share: Quartiles
    scaling: Quartiles


class Scaling(NamedTuple):
    """Of an operation that is long enough, in turns in which each thread had a processor.

    Attributes:
        time: with 1 thread over that with these.
        memory: None if it was not measured.
    """

    time: Quartiles
    memory: Memory | None

    @property
    def memory_bound(self) -> bool:
        """Whether what it has to move takes nearly as long by itself."""
        return self.memory is not None and self.memory.share.median >= MEMORY_BOUND


@dataclass(frozen=True)
class Comparison:
    """An operation of fastconv.

    Attributes:
        peer: the fastest that has as many threads; None if none has this operation.
        scaling: None where it says nothing.
    """

    setting: Setting
    ours: Measurement
    peer: Measurement | None
    scaling: Scaling | None

    @property
    def case(self) -> Case:
        """What was measured."""
        return self.ours.case

    @property
    def set_name(self) -> str:
        """The set of the layer."""
        return set_of_layer(self.case.subject)

    @property
    def kind(self) -> str:
        """Of the layer, in words."""
        return kind_of(self.case.operation)

    @property
    def count(self) -> int:
        """Layers of this shape in the set."""
        return find_layer(self.case.subject).count

    @property
    def speed(self) -> Quartiles | None:
        """How many times as fast as the peer."""
        return None if self.peer is None else self.ours.speed_relative_to(self.peer)


@dataclass(frozen=True)
class Total:
    """An operation of all layers of a set that have a peer, each as often as it occurs.

    Attributes:
        seconds, peer_seconds: sums of medians, of fastconv and of each layer's fastest peer.
        geometric_mean: of the speeds of the shapes.
        worst: the comparison with the least speed.
    """

    count: int
    seconds: float
    peer_seconds: float
    geometric_mean: float
    worst: Comparison

    @property
    def speed(self) -> float:
        """How many times as fast as the peers."""
        return self.peer_seconds / self.seconds


def comparisons(report: Report) -> list[Comparison]:
    """All of a report, in the order in which they were measured."""
    found = []
    for group in grouped(report):
        case = group[0].case
        if case.task != "ops":
            continue
        one: Measurement | None = None
        for threads in thread_counts(group):
            here = [m for m in group if m.contestant.threads == threads]
            ours = fastest(here, ours=True)
            if ours is None:
                continue
            if threads == 1:
                one = ours
            found.append(
                Comparison(
                    Setting(
                        threads, ours.contestant.malloc, case.layout, case.cold, case.precision
                    ),
                    ours,
                    fastest(here, ours=False),
                    None if one is None else _scaling(one, ours, report.peak(threads)),
                )
            )
    return found


def totals(some: Iterable[Comparison]) -> dict[tuple[str, int, str], Total]:
    """By set, batch and operation; those without a peer are left out."""
    with_peer = [c for c in some if c.peer is not None]
    parts = divided(with_peer, lambda c: (c.set_name, c.case.batch, c.case.operation))
    return {key: _total(part) for key, part in parts.items()}


def divided(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """The items by their keys, in order of appearance."""
    parts: dict[Key, list[Item]] = {}
    for item in items:
        parts.setdefault(key(item), []).append(item)
    return parts


def _scaling(one: Measurement, more: Measurement, usual_peak: float) -> Scaling | None:
    threads = more.contestant.threads
    if threads == 1 or one.seconds.median < SCALED_SECONDS:
        return None
    turns = range(min(len(one.turns), len(more.turns)))
    steady = [turn for turn in turns if more.peaks[turn] >= STEADY * usual_peak]
    if not steady:
        return None
    alone, together = ([m.turns[turn] for turn in steady] for m in (one, more))
    return Scaling(paired_ratio(alone, together), _memory(one, more, steady))


def _memory(one: Measurement, more: Measurement, turns: Sequence[int]) -> Memory | None:
    if not (one.memory and more.memory):
        return None
    alone, together = ([[m.memory[turn]] for turn in turns] for m in (one, more))
    return Memory(
        quartiles([seconds for (seconds,) in together]).median,
        paired_ratio(together, [more.turns[turn] for turn in turns]),
        paired_ratio(alone, together),
    )


def _total(part: list[Comparison]) -> Total:
    speeds = [(c.speed.median, c) for c in part if c.speed is not None]
    return Total(
        sum(c.count for c in part),
        sum(c.count * c.ours.seconds.median for c in part),
        sum(c.count * c.peer.seconds.median for c in part if c.peer is not None),
        math.exp(sum(math.log(speed) for speed, _ in speeds) / len(speeds)),
        min(speeds, key=lambda pair: pair[0])[1],
    )
