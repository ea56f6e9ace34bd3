"""Data sources, their splits, and the decoded-once cache."""

from xaiprune.data.images import LabelledImages
from xaiprune.data.load import Dataset, TrainingData, load, load_training
from xaiprune.data.preprocess import Preprocess
from xaiprune.data.progress import progress
from xaiprune.data.source import Picture, Source
from xaiprune.data.sources import SOURCES
from xaiprune.data.task import Task

__all__ = [
    "SOURCES",
    "Dataset",
    "LabelledImages",
    "Picture",
    "Preprocess",
    "Source",
    "Task",
    "TrainingData",
    "load",
    "load_training",
    "progress",
]
