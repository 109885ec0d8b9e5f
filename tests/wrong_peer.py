"""A contestant of `fastconv bench` that does what no contestant should; its mode says what."""

from __future__ import annotations

import os
import time

from fastconv.bench.job import Job
from fastconv.bench.peers import numpy_reference

configure = numpy_reference.configure


def operate(case, operands, mode):
    if mode == "unsupported":
        raise NotImplementedError("not here")
    if mode == "fails":
        raise ValueError("broken\nsecond line")
    if mode == "dies":
        print("last words", flush=True)
        os._exit(3)
    job = numpy_reference.operate(case, operands, mode)
    if mode == "wrong":
        # One of many values, by little.
        def results():
            (array,) = job.results()
            array.flat[array.size // 2] += 0.01
            return [array]

        return Job(job.run, results)
    if mode == "chatty":
        print('{"seconds": 0}')
    if mode == "dies later":
        runs = iter([job.run] * 2)
        return Job(lambda: next(runs, lambda: os._exit(4))(), job.results)
    if mode == "slow":
        return Job(lambda: time.sleep(0.01), job.results)
    return job
