"""A small Llama and its tokenizer: trained at first use on the help texts of Python, then kept."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from xaiprune.config import HELP_LLAMA, cache_dir
from xaiprune.data.sources.python_help import help_texts
from xaiprune.files import replacing_folder
from xaiprune.models.language import import_transformers, quietly
from xaiprune.progress import progress

log = logging.getLogger(__name__)

_END = "</s>"


@dataclass(frozen=True)
class LanguageRecipe:
    """How the tokenizer and the network are made; chosen on the validation part.

    Attributes:
        vocabulary: Tokens, the 256 bytes among them.
        width: Of the residual stream.
        neurons: Of each MLP.
        blocks: One after the other.
        window: Tokens that the network reads at once.
        steps: Of the optimizer.
        batch: Windows of a step, drawn at random.
        learning_rate: Its peak.
        weight_decay: AdamW's.
    """

    vocabulary: int = 1024
    width: int = 96
    neurons: int = 256
    blocks: int = 3
    window: int = 128
    steps: int = 500
    batch: int = 8
    learning_rate: float = 4e-3
    weight_decay: float = 0.1


RECIPE = LanguageRecipe()


def trained_help_llama(*, seed: int = 0, cache: str | None = None) -> Path:
    """The network's folder, as transformers writes it; it is trained now if the cache does not have it.

    Args:
        seed: Of the initial weights and of the training.
        cache: ``data.cache_dir``.

    Raises:
        XaipruneError: transformers is not installed.
    """
    transformers = import_transformers()
    text = help_texts()["reference"]
    folder = cache_dir(cache) / "networks" / f"{HELP_LLAMA}-{_key(text, seed, transformers)}" / HELP_LLAMA
    if not (folder / "config.json").is_file():
        log.info("training %s on the help texts of Python, once (kept in %s)", HELP_LLAMA, folder.parent)
        model, tokenizer = train_language(text, RECIPE, seed=seed)
        with replacing_folder(folder) as unfinished, quietly(transformers):
            model.save_pretrained(unfinished)  # type: ignore[operator]
            tokenizer.save_pretrained(unfinished)
    return folder


def train_language(text: str, recipe: LanguageRecipe, *, seed: int = 0) -> tuple[nn.Module, Any]:
    """A Llama and its tokenizer, trained on a text; in eval mode.

    The network is trained on one thread, as the digits networks are: its weights do not depend on the number
    of threads.

    Args:
        text: To learn from; at least a window of tokens.
        recipe: How.
        seed: Of the initial weights and of the windows' order.

    Returns:
        The network, and transformers' tokenizer.
    """
    tokenizer = _tokenizer(text, recipe.vocabulary)
    ids = torch.tensor(tokenizer(text, verbose=False)["input_ids"])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = _untrained(recipe)
            _train_(model, ids, recipe)
    finally:
        torch.set_num_threads(threads)
    return model.eval(), tokenizer


def _tokenizer(text: str, vocabulary: int) -> Any:
    """Byte pairs (Sennrich et al. 2016) of bytes, so that every text has ids."""
    import tokenizers

    transformers = import_transformers()
    inner = tokenizers.Tokenizer(tokenizers.models.BPE())
    inner.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[_END],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator([text], trainer)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=_END)


def _untrained(recipe: LanguageRecipe) -> nn.Module:
    transformers = import_transformers()
    config = transformers.LlamaConfig(
        vocab_size=recipe.vocabulary,
        hidden_size=recipe.width,
        intermediate_size=recipe.neurons,
        num_hidden_layers=recipe.blocks,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=recipe.window,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=0,
    )
    model: nn.Module = transformers.LlamaForCausalLM(config)
    return model


def _train_(model: nn.Module, ids: torch.Tensor, recipe: LanguageRecipe) -> None:
    rate = recipe.learning_rate
    optimizer = torch.optim.AdamW(
        model.parameters(), rate, betas=(0.9, 0.95), weight_decay=recipe.weight_decay
    )
    schedule = OneCycleLR(optimizer, rate, total_steps=recipe.steps, pct_start=0.1)
    windows = ids.unfold(0, recipe.window, 1)
    model.train()
    for _ in progress(range(recipe.steps), f"training {recipe.steps} steps"):
        batch = windows[torch.randint(len(windows), (recipe.batch,))]
        loss = model(batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()


def _key(text: str, seed: int, transformers: Any) -> str:
    # How the network is built and trained, and on what: the text differs between versions of Python.
    versions = (torch.__version__, transformers.__version__, version("tokenizers"))
    told = f"{seed} {asdict(RECIPE)} {versions} {Path(__file__).read_text()} {text}"
    return hashlib.sha256(told.encode()).hexdigest()[:12]
