"""The detector on the labelled prompts: precision and recall per category with intervals, and the time it takes.

python benchmarks/detector/measure.py                     # the half that was built on
python benchmarks/detector/measure.py --set validation    # written later, and built on afterwards
python benchmarks/detector/measure.py --set second        # third to eighth: measured unseen, then built on
python benchmarks/detector/measure.py --set untouched     # half of the eighth: nothing was built or trained on it
python benchmarks/detector/measure.py --errors            # and every prompt that it gets wrong
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import defaultdict
from pathlib import Path

from fairmapping import Detector
from fairmapping.metrics import wilson

HERE = Path(__file__).parent
ATTRIBUTES = ("gender", "race")
GROUPS = {  # what must hardly ever be mapped
    "attribute settled": ("body", "both", "culture", "gender", "gendered job", "name", "place", "race"),
    "nobody at work": ("creature", "language", "nobody", "thing"),
}
SETS = ("build", "second", "third", "fourth", "validation", "fifth", "sixth", "seventh", "eighth", "untouched")


def rows_of(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (HERE / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def share(hits: int, n: int) -> str:
    if not n:
        return "n/a"
    low, high = wilson(hits, n)
    return f"{hits / n:.1%} [{low:.1%}, {high:.1%}] n={n}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--set", default="build", choices=SETS)
    parser.add_argument("--errors", action="store_true")
    asked = parser.parse_args()
    rows = rows_of(asked.set)
    detector = Detector.default()
    detector.decide("a portrait of a doctor")
    counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])  # asked and done, asked, done, all
    times = []
    for row in rows:
        started = time.process_time()  # of the processor, for others may use the machine
        decision = detector.decide(row["prompt"], ATTRIBUTES)
        times.append(time.process_time() - started)
        for name in ATTRIBUTES:
            wanted, done = row[name] == "apply", decision.apply[name]
            for key in ((row["category"], name), ("all", name), (row["category"], "both"), ("all", "both")):
                for i, hit in enumerate((wanted and done, wanted, done, True)):
                    counts[key][i] += hit
        wrong = [name for name in ATTRIBUTES if (row[name] == "apply") != decision.apply[name]]
        if wrong and asked.errors:
            labels = " ".join(f"{name}={row[name]}" for name in wrong)
            print(f"[{row['category']}] {labels} | {row['prompt'][:400]!r}\n    {decision.reason}")
    print("| category | prompts | recall: apply, and applied | precision: applied, rightly | needless, of leave |")
    print("|---|--:|---|---|---|")
    for category in [*sorted({row["category"] for row in rows}), "all"]:
        both, wanted, done, n = counts[category, "both"]
        figures = (share(both, wanted), share(both, done), share(done - both, n - wanted))
        print(f"| {category} | {n // 2} | {' | '.join(figures)} |")
    for name in ATTRIBUTES:
        both, wanted, done, n = counts["all", name]
        needless = share(done - both, n - wanted)
        print(f"{name}: recall {share(both, wanted)}, precision {share(both, done)}, needless {needless}")
    for what, kinds in GROUPS.items():
        both, wanted, done, n = (sum(counts[kind, "both"][i] for kind in kinds) for i in range(4))
        print(f"{what} ({', '.join(kinds)}), mapped though it should be left: {share(done - both, n - wanted)}")
    ranked = sorted(times)
    print(
        f"time a prompt: median {1000 * statistics.median(times):.2f} ms, mean {1000 * statistics.mean(times):.2f} ms, "
        f"99 % under {1000 * ranked[int(0.99 * len(ranked))]:.2f} ms, longest {1000 * ranked[-1]:.2f} ms"
    )


if __name__ == "__main__":
    main()
