"""Callbacks: code that runs at set points of training, evaluation and prediction."""

from __future__ import annotations

from fastconv.callbacks.callback import Callback, History, LambdaCallback, Logs
from fastconv.callbacks.checkpoint import ModelCheckpoint
from fastconv.callbacks.csv_logger import CSVLogger
from fastconv.callbacks.learning_rate import LearningRateScheduler, ReduceLROnPlateau
from fastconv.callbacks.run import CallbackList, as_list
from fastconv.callbacks.stopping import EarlyStopping, TerminateOnNaN

__all__ = [
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "Logs",
    "ModelCheckpoint",
    "ReduceLROnPlateau",
    "TerminateOnNaN",
    "as_list",
]
