"""Trains the network that stands beside the detector's rules, and puts it into the lexicon's file.

    python training/detector/train.py --hold-out sixth      # how well, on a set that it has not seen
    python training/detector/train.py                       # on all labelled prompts; writes lexicon.json.gz

Run it after build.py, for the network reads what the lexicon says of words. Prompts are varied: the person is renamed
to another title, or to a thing or an animal (then nobody is shown), words are misspelt, sentences about nobody are put
around, and the lexicon forgets a word now and then, so that the network learns from the others.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from tqdm import tqdm
from variations import Variations

from fairmapping.detect import Detector, Lexicon
from fairmapping.detect.matching import Extra
from fairmapping.detect.parsed import parsed
from fairmapping.detect.tagger import ATTRIBUTES, DILATIONS, FEATURES, LONGEST, Tagger, features, pieces_of

HERE = Path(__file__).parent
LEXICON = HERE.parents[1] / "src/fairmapping/detect/lexicon.json.gz"
PROMPTS = HERE.parents[1] / "benchmarks/detector"
NEGATIVES = HERE / "negatives.jsonl"  # written to be trained on only: a job's word and nobody at work, and near misses
SETS = ("build", "second", "third", "fourth", "fifth", "sixth", "validation")
WIDTH, HIDDEN, TAPS = 48, 64, (3, 5, 5)
KINDS = 26  # the first features, which the lexicon may forget
EPOCHS, BATCH, RATE = 16, 64, 3e-3
VARIANTS = 2  # varied copies of every prompt
SETTLED = ("body", "both", "culture", "gender", "gendered job", "name", "place", "race")
NOBODY = ("creature", "language", "nobody", "thing")


class Example(NamedTuple):
    pieces: list[tuple[int, ...]]
    features: np.ndarray  # [words, FEATURES]
    named: np.ndarray  # [words]: 1 where the word names the person
    label: np.ndarray  # gender open, race open, somebody shown


def piece_vectors() -> tuple[list[str], np.ndarray, float]:
    """(pieces, int8 [pieces, WIDTH], scale): every word piece in letters, as the model hears it alone."""
    from fairmapping.portraits import load_text_encoder

    tokenizer, encoder = load_text_encoder()
    known = {piece: i for piece, i in tokenizer.get_vocab().items() if re.fullmatch(r"(##)?[a-z0-9]+", piece)}
    pieces = sorted(known, key=known.__getitem__)
    parts = []
    for start in tqdm(range(0, len(pieces), 1024), desc="word pieces"):
        ids = torch.tensor([known[piece] for piece in pieces[start : start + 1024]])
        framed = torch.stack(
            [torch.full_like(ids, tokenizer.cls_token_id), ids, torch.full_like(ids, tokenizer.sep_token_id)], 1
        )
        with torch.no_grad():
            parts.append(encoder(input_ids=framed, attention_mask=torch.ones_like(framed)).last_hidden_state[:, 1])
    full = torch.cat(parts).numpy()
    centred = full - full.mean(0)
    _, _, axes = np.linalg.svd(centred[::3], full_matrices=False)
    small = centred @ axes[:WIDTH].T
    scale = float(np.quantile(np.abs(small), 0.9995)) / 127
    return pieces, np.clip(np.round(small / scale), -127, 127).astype(np.int8), scale / float(small.std())


class Network(nn.Module):
    """As :class:`Tagger` works it out; layers are [in, out]."""

    def __init__(self, vectors: np.ndarray) -> None:
        super().__init__()
        self.vectors = torch.tensor(np.concatenate([vectors, np.zeros((1, WIDTH))]), dtype=torch.float32)
        self.first = nn.Linear(2 * WIDTH + FEATURES, HIDDEN)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(HIDDEN, HIDDEN, taps, padding=dilation * (taps // 2), dilation=dilation)
            for taps, dilation in zip(TAPS, DILATIONS, strict=True)
        )
        self.named = nn.Linear(HIDDEN, 1)
        self.hidden, self.out = nn.Linear(2 * HIDDEN, HIDDEN), nn.Linear(HIDDEN, 3)
        self.drop = nn.Dropout(0.2)

    def forward(self, mean: torch.Tensor, last: torch.Tensor, features: torch.Tensor, mask: torch.Tensor) -> Any:
        there = mask[:, None]
        hidden = torch.relu(self.first(self.drop(torch.cat([mean, last, features], -1)))).transpose(1, 2) * there
        for convolution in self.convolutions:
            hidden = hidden + torch.relu(convolution(self.drop(hidden))) * there
        named = self.named(hidden.transpose(1, 2))[..., 0]
        most = (hidden - 1e4 * (1 - there)).amax(-1)
        pooled = torch.cat([most, hidden.sum(-1) / there.sum(-1)], 1)
        return self.out(self.drop(torch.relu(self.hidden(self.drop(pooled))))), named

    def layers(self) -> dict[str, np.ndarray]:
        first = self.first.weight.detach().numpy().T
        found = {
            "word": first[: 2 * WIDTH],
            "features": first[2 * WIDTH :],
            "bias": self.first.bias,
            "named": torch.cat([self.named.weight[0], self.named.bias]),
        }
        for i, convolution in enumerate(self.convolutions):
            found |= {f"conv{i}": convolution.weight.permute(2, 1, 0), f"conv{i}.bias": convolution.bias}
        for name in ("hidden", "out"):
            layer = getattr(self, name)
            found |= {name: layer.weight.T, f"{name}.bias": layer.bias}
        return {
            name: np.ascontiguousarray(layer if isinstance(layer, np.ndarray) else layer.detach().numpy())
            for name, layer in found.items()
        }


def rows_of(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def example(row: dict[str, str], lexicon: Lexicon, places: dict[str, int]) -> Example | None:
    text = parsed(row["prompt"], lexicon, Extra())
    if not text.words:
        return None
    named = np.zeros(len(text.words), np.float32)
    person = [word.lower() for word in re.findall(r"[^\W\d_]+", row["person"])]
    raws = [word.raw.lower() for word in text.words]
    for i in range(len(raws) - len(person) + 1):
        if person and raws[i : i + len(person)] == person:
            named[i : i + len(person)] = 1
    label = np.array([*(row[name] == "apply" for name in ATTRIBUTES), bool(row["person"])], np.float32)
    return Example([pieces_of(word.text[:LONGEST], places) for word in text.words], features(text), named, label)


def batches(examples: Sequence[Example], network: Network, shuffle: random.Random) -> Iterator[tuple[Any, ...]]:
    order = list(range(len(examples)))
    shuffle.shuffle(order)
    chunks = [order[i : i + BATCH * 20] for i in range(0, len(order), BATCH * 20)]
    order = [i for chunk in chunks for i in sorted(chunk, key=lambda i: len(examples[i].pieces))]
    groups = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
    shuffle.shuffle(groups)
    for group in groups:
        size = max(len(examples[i].pieces) for i in group)
        features, named, mask = (np.zeros((len(group), size, *more), np.float32) for more in ((FEATURES,), (), ()))
        none = len(network.vectors) - 1
        most = max((len(p) for i in group for p in examples[i].pieces), default=1) or 1
        ids, count = np.full((len(group), size, most), none), np.ones((len(group), size, 1), np.float32)
        ends = np.full((len(group), size), none)
        for row, i in enumerate(group):
            n = len(examples[i].pieces)
            features[row, :n], named[row, :n], mask[row, :n] = examples[i].features, examples[i].named, 1
            for place, pieces in enumerate(examples[i].pieces):
                if pieces:
                    ids[row, place, : len(pieces)], ends[row, place], count[row, place] = (
                        pieces,
                        pieces[-1],
                        len(pieces),
                    )
        mean = network.vectors[torch.tensor(ids)].sum(-2) / torch.tensor(count)
        inputs = (mean, network.vectors[torch.tensor(ends)], torch.tensor(features), torch.tensor(mask))
        yield inputs, torch.tensor(named), torch.tensor(np.stack([examples[i].label for i in group]))


def fit(plain: Sequence[Example], varied: Sequence[Example], vectors: np.ndarray, epochs: int, seed: int) -> Network:
    torch.manual_seed(seed)
    shuffle = random.Random(seed)
    network = Network(vectors)
    mean = torch.optim.swa_utils.AveragedModel(network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998))
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.02)
    steps = epochs * (-(-len(plain) * 2 // BATCH))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps + epochs, pct_start=0.05)
    loss_of = nn.functional.binary_cross_entropy_with_logits
    for _ in tqdm(range(epochs), desc="epochs"):
        chosen = [*plain, *shuffle.sample(varied, min(len(plain), len(varied)))]
        for (means, last, said, mask), named, label in batches(chosen, network, shuffle):
            keep = (torch.rand(*said.shape[:2], 1) > 0.12).float()
            out, tags = network(means, last, torch.cat([said[..., :KINDS] * keep, said[..., KINDS:]], -1), mask)
            loss = loss_of(out, label) + 0.5 * (loss_of(tags, named, reduction="none") * mask).sum() / mask.sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            mean.update_parameters(network)
    return mean.module.eval()


def table_of(network: Network, pieces: list[str], vectors: np.ndarray, scale: float) -> dict[str, Any]:
    return {
        "pieces": " ".join(pieces),
        "width": WIDTH,
        "scale": scale,
        "vectors": base64.b64encode(vectors.tobytes()).decode(),
        "layers": {
            name: {"shape": list(layer.shape), "data": base64.b64encode(layer.astype(np.float16).tobytes()).decode()}
            for name, layer in network.layers().items()
        },
    }


def report(table: dict[str, Any], stored: dict[str, Any], rows: Sequence[dict[str, str]]) -> None:
    """The rules alone, the network alone, and both, on rows that the network was not trained on."""
    rules, both = Detector(lexicon=packed(stored)), Detector(lexicon=packed(stored | {"tagger": table}))
    tagger, labels = Tagger(table), np.array([[row[name] == "apply" for name in ATTRIBUTES] for row in rows])
    texts = [parsed(row["prompt"], rules.lexicon, Extra()) for row in rows]
    alone = [tagger.judge(text).open if text.words else dict.fromkeys(ATTRIBUTES, -9.0) for text in texts]
    done = {
        "rules": [list(rules.decide(row["prompt"], ATTRIBUTES).apply.values()) for row in rows],
        "network": [[judged[name] > 0 for name in ATTRIBUTES] for judged in alone],
        "both": [list(both.decide(row["prompt"], ATTRIBUTES).apply.values()) for row in rows],
    }
    category = np.array([row["category"] for row in rows])
    for name, applied in done.items():
        hits, n, given = (labels & applied).sum(), labels.sum(), np.sum(applied)
        said = f"{name:>8}: recall {hits / n:.4f} ({hits} of {n}), precision {hits / given:.4f}"
        for what, kinds in (("settled", SETTLED), ("nobody", NOBODY)):
            there = np.isin(category, kinds)
            wrong, of = (np.array(applied) & ~labels)[there].sum(), (~labels)[there].sum()
            said += f", {what} mapped {wrong} of {of}"
        print(said)


def packed(stored: dict[str, Any]) -> Lexicon:
    return Lexicon(gzip.compress(json.dumps(stored).encode(), 1))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hold-out", choices=SETS, help="train without this set, and measure on it")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    stored = json.loads(gzip.decompress(LEXICON.read_bytes()))
    stored.pop("tagger", None)
    lexicon = packed(stored)
    pieces, vectors, scale = piece_vectors()
    places = {piece: i for i, piece in enumerate(pieces)}
    files = [PROMPTS / f"{name}.jsonl" for name in SETS if name != asked.hold_out]
    rows = [row for path in [*files, NEGATIVES] for row in rows_of(path)]
    vary = Variations(rows, lexicon, stored, asked.seed)
    plain = [found for row in tqdm(rows) if (found := example(row, lexicon, places))]
    copies = [vary.of(row) for _ in range(VARIANTS) for row in rows]
    varied = [found for row in tqdm(copies, desc="variations") if (found := example(row, lexicon, places))]
    network = fit(plain, varied, vectors * np.float32(scale), asked.epochs, asked.seed)
    table = table_of(network, pieces, vectors, scale)
    if asked.hold_out:
        report(table, stored, rows_of(PROMPTS / f"{asked.hold_out}.jsonl"))
        return
    content = json.dumps(stored | {"tagger": table}, ensure_ascii=False, separators=(",", ":")).encode()
    LEXICON.write_bytes(gzip.compress(content, 9, mtime=0))
    print(LEXICON.stat().st_size)


if __name__ == "__main__":
    main()
