"""Facts about this machine that a time means nothing without."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import metadata

from fastconv import config

__all__ = ["describe", "versions"]


def describe(distributions: Iterable[str]) -> dict[str, str]:
    """Processor, system and software, by name; the distributions as far as they are installed."""
    build = config.build_info()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    return {
        "processor": build["cpu"],
        "processors": str(usable),
        "isa": build["isa_active"],
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "libc": " ".join(platform.libc_ver()),
        "python": platform.python_version(),
        "versions": ", ".join(versions(distributions)),
        "compiler": build["compiler"],
        "flags": build["flags"],
        "load": load,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def versions(distributions: Iterable[str]) -> list[str]:
    """Name and version of those that are installed."""
    found = []
    for name in dict.fromkeys(("fastconv", "numpy", *distributions)):
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return found
