"""A file of plain text, which language models read in windows."""

import torch

from xaiprune.config import DataConfig
from xaiprune.data.dataset import Dataset
from xaiprune.data.text import text_dataset
from xaiprune.data.text_source import Reader, TextSource, check_window, file_of_text, window_limits
from xaiprune.registry import register_source


@register_source("text")
class Text(TextSource):
    """It is tokenized as a whole, and cut into windows."""

    text = "a file of plain text, for language models (model=hf)"
    needs_path = True

    @classmethod
    def read(cls, config: DataConfig, reader: Reader) -> Dataset:
        """Windows of the file (`xaiprune.data.text_dataset`)."""
        check_window(config, reader)
        ids = torch.tensor(reader.all_ids(file_of_text(config)), dtype=torch.int64)
        name = f"data.path: {config.path}"
        return text_dataset(ids, config.window, reader.outputs, limits=window_limits(config), name=name)
