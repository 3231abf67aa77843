"""What the package's intervals and sample sizes hold: how often they cover the truth, and how many images they ask for.

python benchmarks/intervals.py            all four parts, about five minutes on two cores
python benchmarks/intervals.py --only sizes widths coverage stopping
"""

from __future__ import annotations

import argparse

import numpy as np

from fairmapping import metrics
from fairmapping.estimates import corrected_mean, mean_over_keywords

RUNS = 400


def sizes() -> str:
    """Images of each prompt, by the change of a share that is to be seen."""
    lines = ["| change of a share | from | apart | same seeds, 20 % change | each of 40 | each of 153 | mean over 40 |"]
    lines.append("|--:|--:|--:|--:|--:|--:|--:|")
    for effect in (0.02, 0.05, 0.1, 0.2):
        for base in (0.5, 0.68, 0.9):
            one, many, all_ = (metrics.advise(effect, base=base, keywords=n) for n in (1, 40, 153))
            most = one.changed
            paired = (
                metrics.advise(effect, base=base, changed=min(max(0.2, effect), most)).paired if most > 0.2 else None
            )
            cells = [one.images, paired, many.each, all_.each, many.together]
            told = " | ".join("" if cell is None else f"{cell:,}" for cell in cells)
            lines.append(f"| {effect:g} | {base:g} | {told} |")
    return "\n".join(lines)


def widths() -> str:
    """Half of the intervals of a share, in points of percent, by the number of images."""
    lines = ["| images | Wilson, share .5 | Wilson, share .9 | sequence, share .5 | sequence, share .9 |"]
    lines.append("|--:|--:|--:|--:|--:|")
    for n in (10, 20, 40, 60, 100, 160, 250, 500, 1000):
        cells = []
        for interval in (metrics.wilson, metrics.confidence_sequence):
            for share in (0.5, 0.9):
                low, high = interval(share * n, n)
                cells.append(f"{100 * (high - low) / 2:.1f}")
        lines.append(f"| {n:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def coverage() -> str:
    """How often 95 % intervals of the mean pairwise bias hold the mean over all keywords that might have been asked."""
    rng = np.random.default_rng(0)
    lines = [
        "| keywords | 10 images each | 40 images each | corrected, 40 images, card of 100 a group |",
        "|--:|--:|--:|--:|",
    ]
    rates = np.array([[0.9, 0.1], [0.2, 0.8]])
    for keywords in (2, 4, 7, 8, 12, 24, 50, 150):
        cells = []
        for n in (10, 40):
            x = rng.binomial(n, rng.beta(0.5, 0.5, 400_000))  # few keywords are even, as image models draw them
            hits = 0
            for _ in range(RUNS):
                first = rng.binomial(n, rng.beta(0.5, 0.5, keywords))
                found = mean_over_keywords(np.stack([first, n - first], -1), metrics.pairwise_bias)
                hits += found.low <= np.abs(2 * x / n - 1).mean() <= found.high
            cells.append(f"{hits / RUNS:.1%}")
        hits = 0
        for _ in range(RUNS):
            share = rng.uniform(0.65, 0.95, keywords)  # all to one side, so that the mean has no chance floor: .6
            counts = np.array([rng.multinomial(40, row) for row in np.stack([share, 1 - share], -1) @ rates])
            found = corrected_mean(counts, np.array([rng.multinomial(100, row) for row in rates]))
            hits += found.low <= 0.6 <= found.high
        lines.append(f"| {keywords} | {' | '.join(cells)} | {hits / RUNS:.1%} |")
    return "\n".join(lines)


def stopping() -> str:
    """Images until a keyword of two groups is closed, in rounds of 16, and how often its intervals then miss."""
    rng = np.random.default_rng(0)
    lines = [
        "| stop at | share | images, median | middle 90 % | sequence misses | Wilson misses | Wilson, n fixed |",
        "|--:|--:|--:|--:|--:|--:|--:|",
    ]
    turns, runs = 16 * np.arange(1, 151), 2000  # 2,400 images: more than the least of these widths ever needs
    for width in (0.05, 0.1, 0.15):
        for share in (0.5, 0.7, 0.9, 0.99):
            k = rng.binomial(16, share, (runs, len(turns))).cumsum(1)
            closed = metrics.enough(np.stack([k, turns - k], -1), width).argmax(1)
            n, found = turns[closed], np.take_along_axis(k, closed[:, None], 1)[:, 0]
            missed = []
            for interval in (metrics.confidence_sequence, metrics.wilson):
                low, high = interval(found, n)
                missed.append(f"{((low > share) | (high < share)).mean():.1%}")
            fixed = next(m for m in range(1, 2400) if -np.subtract(*metrics.wilson(share * m, m)) / 2 <= width)
            least, middle, most = (f"{m:,.0f}" for m in np.quantile(n, (0.05, 0.5, 0.95)))
            cells = [f"{width:g}", f"{share:g}", middle, f"{least} to {most}", *missed, f"{fixed:,}"]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parts = {"sizes": sizes, "widths": widths, "coverage": coverage, "stopping": stopping}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=parts, default=list(parts))
    for part in parser.parse_args().only:
        print(f"\n## {part}\n\n{parts[part]()}", flush=True)


if __name__ == "__main__":
    main()
