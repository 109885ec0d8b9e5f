"""Measure fastconv beside other libraries on this machine: what `fastconv bench` runs.

- `workloads`, `layer_sets`: the layers and networks that are measured, each defined once.
- `cases`, `data`, `models`: one thing to measure, its inputs, and a network with its weights.
- `peers`: the contestants; a module each, which makes a `Job` of a case.
- `worker`, `processes`, `runner`: a process for each contestant, asked in turn.
- `checks`, `statistics`: whether results are equal, and what the times say.
- `results`, `comparisons`, `tables`, `operation_tables`, `plots`: the report.
"""
