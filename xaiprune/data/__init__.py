"""Data sources, their splits, the decoded-once cache, and images that are in memory already."""

from xaiprune.data.calibration import as_calibration, load_calibration, warn_of_seen
from xaiprune.data.dataset import Dataset, TrainingData
from xaiprune.data.images import UNLABELLED, LabelledImages, PixelImages
from xaiprune.data.labelled_texts import LabelledTexts
from xaiprune.data.load import load, load_training
from xaiprune.data.predicted import PredictedImages
from xaiprune.data.preprocess import Preprocess
from xaiprune.data.source import DataSource, Picture, Source
from xaiprune.data.streamed import StreamedImages
from xaiprune.data.task import Task
from xaiprune.data.tensors import ImagesLike, MissingImages, TensorImages, as_dataset, as_images
from xaiprune.data.text import TextWindows, dataset_of_parts, text_dataset, text_task
from xaiprune.data.text_source import Reader, TextSource

__all__ = [
    "UNLABELLED",
    "DataSource",
    "Dataset",
    "ImagesLike",
    "LabelledImages",
    "LabelledTexts",
    "MissingImages",
    "Picture",
    "PixelImages",
    "PredictedImages",
    "Preprocess",
    "Reader",
    "Source",
    "StreamedImages",
    "Task",
    "TensorImages",
    "TextSource",
    "TextWindows",
    "TrainingData",
    "as_calibration",
    "as_dataset",
    "as_images",
    "dataset_of_parts",
    "load",
    "load_calibration",
    "load_training",
    "text_dataset",
    "text_task",
    "warn_of_seen",
]
