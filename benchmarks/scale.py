"""How an audit's time, memory and cost grow with its size, on this machine.

python benchmarks/scale.py rescore [--rows 1000000]     load an audit of so many judged rows, and make every table
python benchmarks/scale.py memory  [--rows 100000]      peak memory while drawing and judging, and while scoring
python benchmarks/scale.py cost    [--images 640]       an audit beside a plain loop over the same pipeline
python benchmarks/scale.py paper --out runs/paper       the paper-size audit: 153 occupations x 250 images x 2 arms

`rescore` and `memory` invent their rows: the first writes them straight to Parquet, the second draws noise with a
pipeline that takes no time, and asks a judge that reads its corner. `paper` takes hours, resumes, and may go to Ray.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

ATTRIBUTES = {"gender": ("female", "male"), "race": ("asian", "black", "brown", "white")}
OTHERS = {"cue": ("medical", "food", "office", "plain"), "expression": ("happy", "neutral", "sad")}
TEMPLATE = "a portrait of {}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("rescore", "memory", "cost", "paper", "drawn", "scored"))
    parser.add_argument("--rows", type=int)
    parser.add_argument("--images", type=int, default=640)
    parser.add_argument("--out", default="runs/paper")
    parser.add_argument("--ray", help="an address, for paper: local, auto, ray://...")
    arg = parser.parse_args()
    {
        "rescore": lambda: rescore(arg.rows or 1_000_000),
        "memory": lambda: memory(arg.rows or 100_000),
        "cost": lambda: cost(arg.images),
        "paper": lambda: paper(arg.out, arg.ray),
        "drawn": lambda: drawn(arg.out, arg.rows),
        "scored": lambda: scored(arg.out),
    }[arg.what]()


def invented(rows: int, batch: int = 50_000) -> Iterator[pa.Table]:
    """Judged rows of both arms on the same seeds: 153 occupations, a share of women of each one's own, evened out in
    the mapped arm; 3 % without a face, and a quota's assignments that 95 % follow."""
    from fairmapping import lists
    from fairmapping.tables import from_frame

    rng = np.random.default_rng(0)
    words = lists.occupations()
    share = dict(zip(words, rng.uniform(0, 1, len(words)), strict=True))
    each = -(-rows // (2 * len(words)))
    for arm in ("raw", "mapped"):
        for start in range(0, rows // 2, batch):
            number = np.arange(start, min(start + batch, rows // 2))
            word = np.array(words, object)[number // each]
            women = rng.random(len(number)) < (np.array([share[w] for w in word]) if arm == "raw" else 0.5)
            face = rng.random(len(number)) > 0.03
            label: dict[str, Any] = {"gender": np.where(women, "female", "male").astype(object)}
            for name, groups in {**ATTRIBUTES, **OTHERS}.items():
                if name != "gender":
                    label[name] = rng.choice(np.array(groups, object), len(number))
            asked = np.where(rng.random(len(number)) < 0.95, label["gender"], "female")
            columns: dict[str, Any] = {
                "image": [
                    f"images/{arm}/a-portrait-of-a-{w}/{i % each:04d}.png" for w, i in zip(word, number, strict=True)
                ],
                "arm": arm,
                "prompt": [TEMPLATE.format(w) for w in word],
                "keyword": word,
                "template": TEMPLATE,
                "groups": [()] * len(number),
                "seed": number,
                "assigned": [(("gender", group),) if arm == "mapped" else () for group in asked],
                "mapped": [("gender",) if arm == "mapped" else ()] * len(number),
                "faces": face.astype(int),
            }
            for name, values in label.items():
                columns |= {name: np.where(face, values, None), f"{name}_p": np.where(face, 0.9, np.nan)}
            yield from_frame(pd.DataFrame(columns))


def settings() -> dict[str, Any]:
    from fairmapping import lists
    from fairmapping.results import SCHEMA_VERSION

    cues = {word: OTHERS["cue"][place % 4] for place, word in enumerate(lists.occupations())}
    judge = {
        "name": "invented",
        "attributes": {**ATTRIBUTES, **OTHERS},
        "card": {"confusion": {"gender": [[95, 5], [4, 96]]}},
    }
    return json.loads(json.dumps({
        "schema_version": SCHEMA_VERSION, "created": "", "model": {"name": "none", "pipeline": "none"},
        "attributes": ATTRIBUTES, "judge": judge, "images_per_prompt": 0, "seed": 0, "call": {},
        "map": {"keywords": [], "quota": {}}, "expected": {"cue": cues}, "seconds": {}, "versions": {},
    }))  # fmt: skip


def folder_of(rows: int, folder: str) -> None:
    from fairmapping.judges import records
    from fairmapping.store import Place

    place, about = Place(folder), settings()
    records.write(place, about["judge"], invented(rows))
    place.write_text("audit.json", json.dumps(about | {"rows": rows}))


def tables_of(audit: Any) -> dict[str, float]:
    """Seconds that each table of an audit takes."""
    asked = {
        "table": lambda: [audit.table(name) for name in ATTRIBUTES],
        "summary": lambda: [audit.summary(name) for name in ATTRIBUTES],
        "overall": lambda: [audit.overall(name) for name in ATTRIBUTES],
        "compare": lambda: [audit.compare(name) for name in ATTRIBUTES],
        "joint": audit.joint,
        "kept": audit.kept,
        "obeyed": audit.obeyed,
        "followed": audit.followed,
        "faces": audit.faces,
    }
    spent = {}
    for name, make in asked.items():
        started = time.perf_counter()
        make()
        spent[name] = time.perf_counter() - started
    return spent


def rescore(rows: int) -> None:
    from fairmapping.audit import rescore as load

    with tempfile.TemporaryDirectory() as folder:
        folder_of(rows, folder)
        started, worked = time.perf_counter(), time.process_time()
        audit = load(folder)
        spent = {"load": time.perf_counter() - started, **tables_of(audit)}
        worked = time.process_time() - worked
    print(f"{len(audit.rows):,} rows, {audit.rows.memory_usage(deep=False).sum() / len(audit.rows):.0f} bytes a row")
    print(", ".join(f"{name} {seconds:.2f} s" for name, seconds in spent.items()))
    print(f"in all {sum(spent.values()):.2f} s on {os.cpu_count()} cores, {worked:.2f} s of processor time")


class Noise:
    """A pipeline that takes no time: grey of 8 x 8 pixels from each image's own generator."""

    components: dict[str, Any] = {}
    scheduler = None

    def set_progress_bar_config(self, **options: Any) -> None:
        self._progress_bar_config = options

    def encode_prompt(self, prompt: Any, prompt_embeds: Any = None) -> None:
        raise NotImplementedError

    def __call__(self, prompt: Any = None, generator: Any = None, prompt_embeds: Any = None) -> Any:
        import torch
        from PIL import Image

        draws = [torch.randint(256, (8, 8), generator=one, dtype=torch.uint8).numpy() for one in generator]
        return argparse.Namespace(images=[Image.fromarray(draw) for draw in draws])


class Corner:
    """A judge that takes no time: an image's first pixel says what is seen."""

    name = "corner"
    attributes = {**ATTRIBUTES, **OTHERS}  # noqa: RUF012
    card: dict[str, Any] = {}  # noqa: RUF012

    def __call__(self, images: Any) -> list[Any]:
        from fairmapping.judges import Judgement

        levels = [image.getpixel((0, 0))[0] for image in images]
        said = [{n: {g[level % len(g)]: 1.0} for n, g in self.attributes.items()} for level in levels]
        return [Judgement(1, answer) if level > 7 else Judgement(0) for level, answer in zip(levels, said, strict=True)]


def peak() -> float:
    """Most memory that this process has held so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def drawn(out: str, rows: int) -> None:
    """In a process of its own: draw and judge so many images."""
    from fairmapping import lists, prompts, work
    from fairmapping.plan import Order
    from fairmapping.store import Place

    words = lists.occupations()[:100]
    orders = tuple(
        Order(prompts.neutral(words, (TEMPLATE,)), rows // 200, batch_size=64, arm=arm, store="files")
        for arm in ("raw", "mapped")
    )
    job = work.Job(orders, Place(out), Corner())
    started = time.perf_counter()
    told = work.run(work.Here(Noise(), job), job, progress=False)
    Place(out).write_text("audit.json", json.dumps(settings() | {"judge": {**settings()["judge"], **_described()}}))
    print(f"drawing and judging {rows:,}: {peak():.0f} MB, {time.perf_counter() - started:.0f} s ({told['seconds']})")


def _described() -> dict[str, Any]:
    from fairmapping.judges import records

    return records.describe(Corner())


def scored(out: str) -> None:
    """In a process of its own: load and score what was drawn."""
    from fairmapping.results import Audit

    audit = Audit.load(out)
    loaded = peak()
    tables_of(audit)
    print(f"scoring {len(audit.rows):,}: {loaded:.0f} MB loaded, {peak():.0f} MB at most")


def memory(most: int) -> None:
    for rows in sorted({1_000, 10_000, most // 3 // 200 * 200, most}):
        with tempfile.TemporaryDirectory() as folder:
            for what in ("drawn", "scored"):
                command = [sys.executable, __file__, what, "--out", folder, "--rows", str(rows)]
                subprocess.run(command, check=True)


def cost(images: int, batch: int = 64, rounds: int = 5) -> None:
    """An audit (drawing, judging, writing, tables) and a plain loop of the same calls, in turns."""
    import torch

    import fairmapping as fm

    pipe = fm.portraits.load()
    pipe.set_progress_bar_config(disable=True)
    rows = fm.prompts.neutral(fm.lists.occupations()[: images // 64], (TEMPLATE,))
    spent: dict[str, list[float]] = {"loop": [], "audit": [], "judging": []}

    def loop() -> None:
        texts = [row.text for row in rows for _ in range(64)]
        for start in range(0, len(texts), batch):
            some = texts[start : start + batch]
            pipe(
                some,
                generator=[torch.Generator().manual_seed(start + i) for i in range(len(some))],
                **fm.portraits.DEFAULTS,
            )

    for number in range(rounds + 1):  # the first one warms up
        started = time.perf_counter()
        loop()
        between = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            found = fm.audit(pipe, rows, images_per_prompt=64, batch_size=batch, out=folder, progress=False)
            found.summary("gender")
            ended = time.perf_counter()
        if number:
            spent["loop"].append((between - started) / len(found.rows))
            spent["audit"].append((ended - between) / len(found.rows))
            spent["judging"].append(found.settings["seconds"]["judge"] / len(found.rows))
    for name, seconds in spent.items():
        each = ", ".join(f"{1000 * second:.1f}" for second in seconds)
        print(f"{name}: {1000 * np.mean(seconds):.1f} ms an image (rounds: {each})")
    ratio = np.array(spent["audit"]) / np.array(spent["loop"])
    print(f"audit / loop: {ratio.mean():.3f} (sd {ratio.std(ddof=1):.3f} of {rounds}), {len(rows) * 64} images a round")


def paper(out: str, ray: str | None) -> None:
    import fairmapping as fm

    fitted, others = fm.lists.split()
    saved = Path(out) / "map"
    if (saved / "config.json").exists():
        fair_map = fm.FairMap.from_pretrained(saved)
    else:
        state = Path(out) / "map.partial"
        fair_map = fm.fit(fm.portraits.load(), fitted, tuple(ATTRIBUTES), holdout=others, resume=state)
        fair_map.save_pretrained(saved)
        state.unlink(missing_ok=True)
    started = time.perf_counter()
    result = fm.audit(
        "portraits", fm.prompts.neutral(fitted + others, ("a portrait of {}",)), images_per_prompt=250,
        fair_map=fair_map, out=Path(out) / "audit", attributes=tuple(ATTRIBUTES), batch_size=64, ray=ray,
    )  # fmt: skip
    seconds = result.settings["seconds"]
    print(f"{len(result.rows):,} images; this call {time.perf_counter() - started:.0f} s: {seconds}")
    for attribute in ATTRIBUTES:
        for name, words in (("fitted", fitted), ("not fitted", others)):
            found = result.compare(attribute, keywords=words)
            print(f"{attribute}, {len(words)} {name}: {found.raw} -> {found.mapped}, difference {found.difference}")


if __name__ == "__main__":
    main()
