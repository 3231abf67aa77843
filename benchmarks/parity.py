"""Parity in the images of the embedded model: every route side by side, and how the default holds up elsewhere.

python benchmarks/parity.py --out runs/parity            all of it: about an hour and a half on two cores
python benchmarks/parity.py --out runs/parity --only routes emotions     some of its parts

Every part resumes where it was interrupted and prints a Markdown table, which is also kept in <out>/<part>.md. Maps are
fitted on the 103 occupations of the standard split, `further` ones and half of the emotions; what is reported are
occupations used in fitting, the other 50, and 60 further ones that no caption of the embedded model ever named. The
detector is off throughout: what is measured is what the maps do, also to explicit prompts.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

import fairmapping as fm
from fairmapping import compare, metrics, prompts
from fairmapping.metrics.frechet import frechet_distance
from fairmapping.portraits.judge import PortraitsJudge
from fairmapping.prompts import Prompt
from fairmapping.results import Audit
from fairmapping.targets import resolve_targets

ATTRIBUTES = ("gender", "race")
ONE = ("a portrait of {}",)
UNSEEN = (
    "a photo of the face of {}",
    "a professional portrait of {}",
    "a snapshot of {} looking at the camera",
    "{} at the office, soft light",
)
STYLES = ("an oil painting of {} in the rain", "a cartoon of {} at night", "a pencil sketch of {} in the snow")
ROUTES = ("text", "denoiser", "calibrated", "sampled")


def keywords() -> tuple[list[str], dict[str, list[str]], list[str]]:
    """To fit on; to report on, by set; emotions to report on."""
    fitted, others = fm.lists.split()
    further, never = fm.lists.further()
    emotions = fm.lists.emotions()
    sets = {
        "fitted": fitted[::5],
        "not fitted": others,
        "of these, never captioned": sorted(fm.portraits.never_captioned() & set(others)),
        "further, never captioned": never,
    }
    return fitted + further + emotions[::2], sets, emotions[1::2]


class Bench:
    def __init__(self, out: Path, scale: float) -> None:
        self.out, self.scale = out, scale
        self.pipe = fm.portraits.load()
        self.fit_on, self.sets, self.emotions = keywords()
        self.reported = self.sets["not fitted"]

    def map(self, route: str) -> fm.FairMap:
        """The route's map, fitted where it is not there yet."""
        folder = self.out / "maps" / route
        if not (folder / "config.json").exists():
            options: dict = {} if route == "text" else {"resume": self.out / "maps" / f"{route}.partial"}
            if route == "calibrated":
                options |= {"start": self.map("denoiser"), "images": 8, "rounds": 6}
            fm.fit(self.pipe, self.fit_on, ATTRIBUTES, route=route, **options).save_pretrained(folder)
        return fm.FairMap.from_pretrained(folder)

    def audit(self, name: str, rows: Sequence[Prompt], images: int, **options) -> Audit:
        return fm.audit(
            self.pipe,
            rows,
            images_per_prompt=max(2, round(images * self.scale)),
            out=self.out / name,
            attributes=ATTRIBUTES,
            batch_size=64,
            detector="off",
            **options,
        )

    def routes(self) -> str:
        """Every route on every set; the default with 250 images a prompt, the others with fewer."""
        asked = list(dict.fromkeys(itertools.chain(*self.sets.values())))
        audits = {}
        for route in ROUTES:
            images = {"sampled": 250, "text": 48}.get(route, 24)
            audits[route] = self.audit(
                f"routes/{route}",
                prompts.neutral(asked, ONE),
                images,
                fair_map=self.map(route),
                baseline=route == "text",
            )
        fits = [
            f"- {route}: {config.seconds:.0f} s, {config.images or 0} images drawn for it"
            for route, config in ((route, self.map(route).config) for route in ROUTES)
        ]
        seen = audits["sampled"].followed()
        told = ", ".join(f"{row['attribute']} {row['share']:.1%}" for _, row in seen[seen["group"] == "all"].iterrows())
        table = compare.markdown(fm.comparison(audits, self.sets))
        return "\n".join([table, "Fitting:", "", *fits, "", f"Images that show the group drawn for them: {told}"])

    def settings(self) -> str:
        """The default under other guidance, seeds, templates and styles, on the occupations that were not fitted."""
        fair, lines = self.map("sampled"), []
        cases: list[tuple[str, tuple[str, ...], dict]] = [("as above", ONE, {})]
        cases += [(f"guidance {scale}", ONE, {"guidance_scale": scale}) for scale in (1.0, 1.5, 4.0, 7.5)]
        cases += [(f"seed {seed}", ONE, {"seed": seed}) for seed in (1, 2, 3, 4)]
        cases += [(f"“{template}”", (template,), {}) for template in (*UNSEEN, *STYLES)]
        for number, (name, templates, options) in enumerate(cases):
            rows = prompts.neutral(self.reported, templates)
            audit = self.audit(f"settings/{number:02d}", rows, 24, fair_map=fair, baseline=False, **options)
            lines.append(f"| {name} | {' | '.join(figures(audit))} |")
        return "\n".join([HEAD.format("setting"), *lines])

    def explicit(self) -> str:
        """Explicit prompts drawn as they are, and mapped by mistake: as plain text, which hides what they name."""
        rows = prompts.specific(self.reported, ATTRIBUTES, ONE, joint=True)
        lines = []
        for route in ROUTES:
            drawn = fm.generate(
                self.pipe,
                [row.text for row in rows],
                images_per_prompt=2,
                fair_map=self.map(route),
                detector="off",
                out=self.out / "explicit" / route,
                batch_size=64,
            )
            lines.append((f"mapped, {route}", drawn))
        raw = fm.generate(
            self.pipe, [r.text for r in rows], images_per_prompt=2, out=self.out / "explicit/raw", batch_size=64
        )
        judge, asked = PortraitsJudge(), {row.text: dict(row.groups) for row in rows}
        table = ["| arm | gender obeyed | race obeyed | both |", "|---|--:|--:|--:|"]
        for name, drawn in [("as the model draws it", raw), *lines]:
            found = judge(drawn.images)
            hits = np.array(
                [
                    [answer.label(a) == asked[row.prompt][a] for a in ATTRIBUTES]
                    for row, answer in zip(drawn.rows, found, strict=True)
                ]
            )
            cells = [share(hits[:, 0]), share(hits[:, 1]), share(hits.all(1))]
            table.append(f"| {name} | {' | '.join(cells)} |")
        return "\n".join(table)

    def labour(self) -> str:
        """A target of labour statistics, reached by the quota, on the occupations that were not fitted."""
        audit = self.audit(
            "labour",
            prompts.neutral(self.reported, ONE),
            250,
            fair_map=self.map("sampled"),
            quota="labour",
            baseline=False,
        )
        targets = resolve_targets("labour", audit.attributes)
        lines = [
            "| attribute | mean of share less target | 95 % interval | chance floor of independent draws |",
            "|---|--:|---|--:|",
        ]
        for attribute in ATTRIBUTES:
            row = audit.against(targets, attribute).iloc[-1]
            lines.append(
                f"| {attribute} | {row['value']:.3f} | {row['low']:.3f} to {row['high']:.3f} | {row['floor']:.3f} |"
            )
        return "\n".join(lines)

    def feelings(self) -> str:
        """Emotions as keywords: parity among them, and whether the expression is kept."""
        lines = []
        for name, words in (("fitted", self.fit_on[-10:]), ("not fitted", self.emotions)):
            audit = self.audit(f"emotions/{name}", prompts.neutral(words, ONE), 120, fair_map=self.map("sampled"))
            kept = audit.kept()
            kept = kept[(kept["attribute"] == "expression") & (kept["measure"] == "as expected")]
            for arm in audit.arms:
                row = kept[kept["arm"] == arm].iloc[0]
                expression = f"{row['share']:.1%} [{row['low']:.1%}, {row['high']:.1%}]"
                lines.append(f"| {name} | {arm} | {expression} | {' | '.join(figures(audit, arm))} |")
        head = HEAD.format("emotions | arm | expression as expected").replace("|---|", "|---|---|---|", 1)
        return "\n".join([head, *lines])

    def quality(self) -> str:
        """Frechet distance in the judge's features to images of the explicit prompts in equal numbers."""
        per = max(2, round(8 * self.scale))
        neutral = [row.text for row in prompts.neutral(self.reported, ONE)]
        explicit = [row.text for row in prompts.specific(self.reported, ATTRIBUTES, ONE, joint=True)]
        judge = PortraitsJudge()

        def features(name: str, texts: Sequence[str], images: int, seed: int, route: str | None = None) -> np.ndarray:
            fair = None if route is None else self.map(route)
            drawn = fm.generate(
                self.pipe,
                texts,
                images_per_prompt=images,
                out=self.out / "quality" / name,
                seed=seed,
                fair_map=fair,
                detector="off",
                batch_size=64,
            )
            return judge.features(drawn.images)

        mixture = features("mixture", explicit, per // 2, 11)
        arms = {
            "the mixture itself, other seeds": features("again", explicit, per // 2, 12),
            "unmapped": features("raw", neutral, per * 4, 13),
        }
        arms |= {f"mapped, {route}": features(route, neutral, per * 4, 13, route) for route in ROUTES}
        lines = [f"| {name} | {frechet_distance(own, mixture):.2f} | {len(own):,} |" for name, own in arms.items()]
        return "\n".join(["| images | Fréchet distance to the balanced mixture | images |", "|---|--:|--:|", *lines])

    def cost(self) -> str:
        """What the map adds to the drawing of one image, and its size."""
        fair = self.map("sampled")
        sequence = torch.randn(64, 24, 384)
        cells = fm.Quota("even").bind(fair.groups).draw(["a portrait of a doctor"] * 64)

        def best(run: Callable[[], object], times: int) -> float:
            spent = []
            for _ in range(times):
                started = time.perf_counter()
                run()
                spent.append(time.perf_counter() - started)
            return min(spent)

        mapping = best(lambda: fair(sequence, cells=cells), 30) / 64
        quota = fm.Quota("even").bind(fair.groups)
        drawing = best(lambda: quota.draw(["a portrait of a doctor"] * 64), 10) / 64
        text = ["a portrait of a doctor"] * 64
        self.pipe.set_progress_bar_config(disable=True)
        image = best(lambda: self.pipe(text, **fm.portraits.DEFAULTS), 3) / 64
        size = sum(x.numel() * x.element_size() for x in (fair.shifts.down, fair.shifts.up, fair.shifts.bias))
        return (
            f"An image takes {image * 1e3:.1f} ms, the map {mapping * 1e3:.3f} ms and the draw of its groups "
            f"{drawing * 1e3:.3f} ms: {(mapping + drawing) / image:.2%}. The shifts are {size / 1024:.0f} KiB."
        )


HEAD = (
    "| {} | gender: pairwise bias | race: mean absolute deviation | joint: mean absolute deviation | as drawn, gender "
    "| race | images |\n|---|---|---|---|--:|--:|--:|"
)


def figures(audit: Audit, arm: str = "mapped") -> list[str]:
    """Bias of gender, deviation of race and of the joint cells, followed shares, images."""
    cells = []
    for attribute, measure in (("gender", "pairwise_bias"), ("race", "mean_absolute_deviation")):
        table = audit.summary(attribute)
        row = table[(table["arm"] == arm) & (table["measure"] == measure)].iloc[0]
        cells.append(f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]")
    row = audit.joint()
    row = row[row["arm"] == arm].iloc[0]
    cells.append(f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]")
    seen = audit.followed()
    for attribute in ATTRIBUTES:
        part = seen[(seen["group"] == "all") & (seen["attribute"] == attribute)]
        cells.append(f"{part.iloc[0]['share']:.1%}" if arm == "mapped" and len(part) else "")
    return [*cells, f"{int((audit.rows['arm'] == arm).sum()):,}"]


def share(hits: np.ndarray) -> str:
    low, high = metrics.wilson(int(hits.sum()), len(hits))
    return f"{hits.mean():.1%} [{low:.1%}, {high:.1%}] n={len(hits):,}"


def main() -> None:
    parts = ("routes", "settings", "explicit", "labour", "feelings", "quality", "cost")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=parts, default=parts)
    parser.add_argument("--scale", type=float, default=1.0, help="times the images of each prompt")
    arg = parser.parse_args()
    bench = Bench(arg.out, arg.scale)
    for part in arg.only:
        text = getattr(bench, part)()
        print(f"\n## {part}\n\n{text}", flush=True)
        (arg.out / f"{part}.md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
