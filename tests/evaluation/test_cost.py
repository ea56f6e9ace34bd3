"""Counts against sums by hand and published figures; latency only for its form."""

import pytest
import timm
import torch
from torch import nn

from xaiprune.evaluation import cost, latency, macs


def test_counts_by_hand():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 2)).eval()
    found = cost(net, torch.zeros(1, 3, 8, 8))
    assert found.params == 3 * 4 * 9 + 4 + 8 + 4 * 36 * 2 + 2
    assert found.macs == 3 * 4 * 9 * 36 + 4 * 36 * 2
    assert found.bytes == 4 * (found.params + 8) + 8  # running mean and variance; int64 counter
    assert found.latency == ()
    assert found.to_dict()["macs"] == found.macs


@pytest.mark.parametrize(
    ("name", "giga"),
    [("resnet18", 1.814), ("resnet50", 4.089), ("vit_tiny_patch16_224", 1.254), ("cait_xxs24_224", 2.53)],
)
def test_published_macs(name, giga):
    with torch.device("meta"):
        model = timm.create_model(name).eval()
    assert macs(model, torch.zeros(4, 3, 224, 224)) / 1e9 == pytest.approx(giga, rel=0.01)


def test_torchs_fused_attention_is_counted():
    layer = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True), 1, enable_nested_tensor=False
    )
    net = nn.Sequential(nn.Flatten(2), nn.Linear(16, 16), layer).eval()
    tokens, width = 3, 16
    expected = tokens * width * width * 5 + 2 * tokens * width * 32 + 2 * tokens * tokens * width
    assert macs(net, torch.zeros(1, 3, 4, 4)) == expected


def test_latency_says_how_it_was_measured():
    found = latency(nn.Flatten(), torch.zeros(1, 3, 2, 2), batch=5, min_seconds=0.01)
    assert (found.batch, found.device, found.threads) == (5, "cpu", torch.get_num_threads())
    assert found.median > 0
    assert found.iqr >= 0
    assert "at batch 5 on cpu" in str(found)


def test_padding_changes_no_count():
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 8, "intermediate_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2}
    net = transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=9, **sizes)).eval()
    ids = torch.ones(1, 5, dtype=torch.int64)
    assert macs(net, {"input_ids": ids, "attention_mask": ids.clone()}) == macs(net, ids) > 0
