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
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from teacher import Teacher, taught
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
WRITTEN = HERE / "written.jsonl"  # to be trained on only: a job's word and nobody at work, and near misses
SETS = ("build", "second", "third", "fourth", "fifth", "sixth", "validation")
KEPT_OUT = ("seventh", "c3")  # a set, and an author of WRITTEN: the limits in decision.py are chosen by them
HIDDEN, BRANCHES, TAPS = 64, 3, (3, 5, 5)
KINDS = 26  # the first features, which the lexicon may forget
EPOCHS, BATCH, RATE = 12, 64, 3e-3
FORGET, UNHEARD = 0.12, 0.12  # shares of the words of which the lexicon says nothing, or the word pieces
VARIANTS, JUMBLED = 2, 7  # copies of every prompt
SETTLED = ("body", "both", "culture", "gender", "gendered job", "name", "place", "race")
NOBODY = ("creature", "language", "nobody", "thing")


class Example(NamedTuple):
    pieces: list[tuple[int, ...]]
    features: np.ndarray  # [words, FEATURES]
    named: np.ndarray  # [words]: 1 where the word names the person, -1 where that is not known
    label: np.ndarray  # gender open, race open, somebody shown: how likely


def piece_vectors() -> tuple[list[str], np.ndarray]:
    """(pieces, [pieces, 384]): every word piece in letters, as the model hears it alone."""
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
    vectors = torch.cat(parts).numpy()
    vectors -= vectors.mean(0)
    return pieces, vectors / vectors.std()


class Branch(nn.Module):
    """One answer to a prompt: the convolutions and what comes after them."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv1d(HIDDEN, HIDDEN, taps, padding=dilation * (taps // 2), dilation=dilation)
            for taps, dilation in zip(TAPS, DILATIONS, strict=True)
        )
        self.named = nn.Linear(HIDDEN, 1)
        self.hidden, self.out = nn.Linear(3 * HIDDEN, HIDDEN), nn.Linear(HIDDEN, 3)
        self.drop = nn.Dropout(0.2)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        there = mask[:, None]
        for convolution in self.convolutions:
            hidden = hidden + torch.relu(convolution(self.drop(hidden))) * there
        named = self.named(hidden.transpose(1, 2))[..., 0]
        most = (hidden - 1e4 * (1 - there)).amax(-1)
        who = (hidden * (named - 1e4 * (1 - mask)).softmax(-1)[:, None]).sum(-1)
        pooled = torch.cat([most, hidden.sum(-1) / there.sum(-1), who], 1)
        return self.out(self.drop(torch.relu(self.hidden(self.drop(pooled))))), named


class Network(nn.Module):
    """As :class:`Tagger` works it out; layers are [in, out]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(width + FEATURES, HIDDEN)
        self.branches = nn.ModuleList(Branch() for _ in range(BRANCHES))
        self.of_word, self.of_features = nn.Dropout(0.3), nn.Dropout(0.2)

    def forward(self, words: torch.Tensor, said: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """``words`` [B, words, width], ``said`` [B, words, FEATURES], ``mask`` [B, words] -> logits [branches, B, 3]
        and [branches, B, words]."""
        first = torch.relu(self.first(torch.cat([self.of_word(words), self.of_features(said)], -1)))
        hidden = first.transpose(1, 2) * mask[:, None]
        out, named = zip(*(branch(hidden, mask) for branch in self.branches), strict=True)
        return torch.stack(out), torch.stack(named)

    def layers(self, width: int) -> dict[str, torch.Tensor]:
        """All but what the first layer makes of a word piece."""

        def stacked(parts: Iterable[torch.Tensor]) -> torch.Tensor:
            return torch.stack(list(parts))

        found = {"features": self.first.weight.T[width:], "bias": self.first.bias}
        for i, taps in enumerate(TAPS):
            each = [branch.convolutions[i] for branch in self.branches]
            found[f"conv{i}"] = stacked(c.weight.permute(2, 1, 0).reshape(taps * HIDDEN, HIDDEN) for c in each)
            found[f"conv{i}.bias"] = stacked(c.bias[None] for c in each)
        for name in ("named", "hidden", "out"):
            linear = [getattr(branch, name) for branch in self.branches]
            found[name] = stacked(layer.weight.T for layer in linear)
            found[f"{name}.bias"] = stacked(layer.bias[None] for layer in linear)
        return {name: layer.detach().contiguous() for name, layer in found.items()}


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


def copies_of(
    rows: Sequence[dict[str, str]], vary: Variations, teacher: Teacher, lexicon: Lexicon, places: dict[str, int]
) -> list[Example]:
    """Varied copies of the prompts, half of whose labels is what they ought to be and half what the teacher says of
    them, and jumbled ones, of which only the teacher knows."""
    varied = [vary.of(row) for _ in range(VARIANTS) for row in rows]
    mixed = [row for row in rows if row["category"] != "language"]
    jumbled = [row | {"prompt": vary.jumbled(row), "person": ""} for _ in range(JUMBLED) for row in mixed]
    said = sigmoid(teacher.answers([row["prompt"] for row in [*varied, *jumbled]], "what the teacher says"))
    found = []
    for i, row in enumerate(tqdm([*varied, *jumbled], desc="copies")):
        copy = example(row, lexicon, places)
        if copy and i < len(varied):
            found.append(copy._replace(label=(copy.label + said[i]) / 2))
        elif copy:
            found.append(copy._replace(label=said[i], named=np.full_like(copy.named, -1)))
    return found


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def batches(examples: Sequence[Example], vectors: torch.Tensor, shuffle: random.Random) -> Iterator[tuple[Any, ...]]:
    """(words, said, mask), named, label of examples of like length, in any order."""
    order = list(range(len(examples)))
    shuffle.shuffle(order)
    chunks = [order[i : i + BATCH * 20] for i in range(0, len(order), BATCH * 20)]
    order = [i for chunk in chunks for i in sorted(chunk, key=lambda i: len(examples[i].pieces))]
    groups = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
    shuffle.shuffle(groups)
    for group in groups:
        size = max(len(examples[i].pieces) for i in group)
        said, named, mask = (np.zeros((len(group), size, *more), np.float32) for more in ((FEATURES,), (), ()))
        flat: list[int] = []
        begins: list[int] = []
        for row, i in enumerate(group):
            n = len(examples[i].pieces)
            said[row, :n], named[row, :n], mask[row, :n] = examples[i].features, examples[i].named, 1
            for pieces in [*examples[i].pieces, *[()] * (size - n)]:
                begins.append(len(flat))
                flat += pieces
        # The mean of a word's pieces, nothing for a word of none.
        words = nn.functional.embedding_bag(torch.tensor(flat), vectors, torch.tensor(begins), mode="mean")
        inputs = (words.reshape(len(group), size, -1), torch.tensor(said), torch.tensor(mask))
        yield inputs, torch.tensor(named), torch.tensor(np.stack([examples[i].label for i in group]))


def fit(plain: Sequence[Example], varied: Sequence[Example], vectors: np.ndarray, epochs: int, seed: int) -> Network:
    torch.manual_seed(seed)
    shuffle = random.Random(seed)
    network, of_pieces = Network(vectors.shape[1]), torch.from_numpy(vectors)
    mean = torch.optim.swa_utils.AveragedModel(network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998))
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.02)
    steps = epochs * (-(-len(plain) * 3 // BATCH))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps + epochs, pct_start=0.05)
    loss_of = nn.functional.binary_cross_entropy_with_logits
    for _ in tqdm(range(epochs), desc="epochs"):
        chosen = [*plain, *shuffle.sample(varied, min(2 * len(plain), len(varied)))]
        for (words, said, mask), named, label in batches(chosen, of_pieces, shuffle):
            keep = (torch.rand(*said.shape[:2], 1) > FORGET).float()
            heard = (torch.rand(*said.shape[:2], 1) > UNHEARD).float()
            said = torch.cat([said[..., :KINDS] * keep, said[..., KINDS:]], -1)
            out, tags = network(words * heard, said, mask)
            known = mask * (named >= 0)
            of_tags = loss_of(tags, named.clamp(min=0).expand_as(tags), reduction="none") * known
            # The sum over the branches, each of which learns for itself.
            loss = BRANCHES * loss_of(out, label.expand_as(out)) + 0.5 * of_tags.sum() / known.sum().clamp(min=1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            mean.update_parameters(network)
    return mean.module.eval()


def table_of(network: Network, pieces: list[str], vectors: np.ndarray) -> dict[str, Any]:
    def packed(data: np.ndarray) -> str:
        return base64.b64encode(np.ascontiguousarray(data).tobytes()).decode()

    width = vectors.shape[1]
    first = vectors @ network.first.weight.detach().numpy()[:, :width].T
    scale = (np.quantile(np.abs(first), 0.9995, axis=0) / 127).astype(np.float16)
    layers = {name: layer.numpy().astype(np.float16) for name, layer in network.layers(width).items()}
    return {
        "pieces": " ".join(pieces),
        "vectors": packed(np.clip(np.round(first / scale.astype(np.float32)), -127, 127).astype(np.int8)),
        "layers": {
            name: {"shape": layer.shape, "data": packed(layer)} for name, layer in (layers | {"scale": scale}).items()
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
    pieces, vectors = piece_vectors()
    places = {piece: i for i, piece in enumerate(pieces)}
    files = [PROMPTS / f"{name}.jsonl" for name in SETS if name != asked.hold_out]
    rows = [row for path in [*files, WRITTEN] for row in rows_of(path) if row["author"] not in KEPT_OUT]
    vary = Variations(rows, lexicon, stored, asked.seed)
    plain = [found for row in tqdm(rows) if (found := example(row, lexicon, places))]
    varied = copies_of(rows, vary, taught(rows, asked.seed), lexicon, places)
    network = fit(plain, varied, vectors, asked.epochs, asked.seed)
    table = table_of(network, pieces, vectors)
    if asked.hold_out:
        report(table, stored, rows_of(PROMPTS / f"{asked.hold_out}.jsonl"))
        return
    content = json.dumps(stored | {"tagger": table}, ensure_ascii=False, separators=(",", ":")).encode()
    LEXICON.write_bytes(gzip.compress(content, 9, mtime=0))
    print(LEXICON.stat().st_size)


if __name__ == "__main__":
    main()
