"""What the commands print: findings on stdout, errors and stages on stderr."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..mapconfig import truncation
from ..metrics import Advice, Interval
from ..pairs import SIGNIFICANT

if TYPE_CHECKING:
    from ..bias import LanguageBias
    from ..detect import Decision
    from ..mapping import MapConfig
    from ..prompts import Attribute
    from ..quality import Quality
    from ..receipts import Receipt
    from ..results import Audit

out_console = Console()
err_console = Console(stderr=True)


_MENDS = {
    errno.ENOSPC: "make room, and call again",
    errno.EDQUOT: "make room, and call again",
    errno.EACCES: "give a place that you may read and write, or change its permissions",
    errno.EPERM: "give a place that you may read and write, or change its permissions",
    errno.EROFS: "give a place that can be written to",
    errno.EEXIST: "give another name, or move away what is there",
    errno.ENOTDIR: "part of this path is a file; give another path, or move the file away",
    errno.EISDIR: "this is a folder; give a file",
    errno.ENOENT: "check the path",
    errno.ENAMETOOLONG: "give a shorter name",
}


def sentence(error: BaseException) -> str:
    """An error as one line: what is wrong, with which path, and what to do."""
    if isinstance(error, OSError) and error.errno is not None and error.strerror:
        where = f"{error.filename}: " if error.filename is not None else ""
        mend = _MENDS.get(error.errno, "call again with --traceback to see where this comes from")
        return f"{where}{error.strerror}; {mend}"
    text = " ".join(str(error).split()) or type(error).__name__
    if type(error).__name__ == "OutOfMemoryError":
        return f"{text.split('. ')[0]}; give a smaller --batch-size or --dtype float16"
    # What torch says can be pages long.
    if isinstance(error, RuntimeError) and len(text) > 400:
        text = f"{text[:400]}... (all of it with --traceback)"
    return text


def print_lists(
    keywords: Mapping[str, Sequence[str]], attributes: Mapping[str, Attribute], templates: Sequence[str]
) -> None:
    table = Table("list", "what", "entries", title="Packaged lists", title_justify="left")
    for name, entries in keywords.items():
        table.add_row(name, "keywords", f"{len(entries)}: {', '.join(entries[:4])}, ...")
    for name, attribute in attributes.items():
        table.add_row(name, "attribute", ", ".join(attribute.group_names))
    out_console.print(table)
    out_console.print(f"Templates by default: {', '.join(templates)}")


def print_bias(
    bias: LanguageBias, attributes: Sequence[Attribute], known: Mapping[str, float], group: str | None, top: int
) -> None:
    """The `top` keywords of each attribute, with the `known` shares of `group` where there are any."""
    for attribute in attributes:
        groups = attribute.group_names
        title = f"Language bias, {attribute.name}: mean {bias.summary()[attribute.name]}"
        table = Table(
            "", "keyword", "bias", "nearest", *map(escape, groups), *(["known"] if known else []), title=escape(title)
        )
        for place, (_, line) in enumerate(bias.table(attribute.name).head(top).iterrows(), 1):
            cells = [f"{line[name]:.3f}" for name in groups]
            cells += [f"{known[line['keyword']]:.0%}" if line["keyword"] in known else ""] if known else []
            table.add_row(str(place), escape(line["keyword"]), f"{line['bias']:.3f}", escape(line["nearest"]), *cells)
        out_console.print(table)
        of = group or attributes[0].group_names[0]
        if known and of in groups:
            found = bias.correlation(known, of, attribute.name)
            out_console.print(escape(f"Nearness to {of} and the known shares: {found}"))


def print_association(
    bias: LanguageBias, attribute: str, group: str, x: Sequence[str], y: Sequence[str], ends: int = 5
) -> None:
    """The keywords nearest to the words of the group and farthest from them, and the test of X against Y."""
    import pandas as pd

    found = bias.associations(group, attribute).sort_values("effect", ascending=False, kind="stable")
    table = Table("keyword", "difference", "d", "p", title=escape(f"Nearness to the words of {group} ({attribute})"))
    shown = found if len(found) <= 2 * ends else pd.concat([found.head(ends), found.tail(ends)])
    for _, line in shown.iterrows():
        figures = f"{line['difference']:+.3f}", f"{line['effect']:+.2f}", f"{line['p']:.2g}"
        table.add_row(escape(line["keyword"]), *figures)
    out_console.print(table)
    few = int((found["p"] < 0.05).sum())
    out_console.print(f"p < .05 for {few} of {len(found)} keywords, where chance alone gives {0.05 * len(found):.1f}")
    if min(len(x), len(y)) >= 2:
        out_console.print(escape(f"WEAT, X ({x[0]}, ...) against Y ({y[0]}, ...): {bias.weat(x, y, group, attribute)}"))


def print_fit(config: MapConfig) -> None:
    """What a fit reached: the language bias of route text, the loss or the rounds of the others."""
    if config.route == "text":
        _print_distances(config)
    elif config.rounds:
        table = Table("round", "attribute", "share less target", "95 % interval", "images", title="What the judge saw")
        for line in config.rounds:
            found = f"{line['deviation']:.3f}", f"{line['low']:.3f} to {line['high']:.3f}", str(line["images"])
            table.add_row(str(line["round"] + 1), escape(line["attribute"]), *found)
        out_console.print(table)
    elif config.loss is not None:
        out_console.print(
            f"Of the difference that naming the groups makes to the denoiser, {1 - config.loss:.0%} is reached without "
            f"naming them ({len(config.keywords)} keywords, {config.images} images, {config.seconds:.0f} s)"
        )
        if config.held_out:
            out_console.print(f"{len(config.held_out)} keywords were held out: audit the images on those")


def _print_distances(config: MapConfig) -> None:
    table = Table("keywords", "attribute", "before", "after", "change", title="Language bias")
    for what, n, before, after in (
        ("fitted", len(config.keywords), config.bias_before, config.bias_after),
        ("held out", len(config.held_out), config.held_out_bias_before, config.held_out_bias_after),
    ):
        for name in before:
            change = f"{after[name] / before[name] - 1:+.1%}" if before[name] else ""
            table.add_row(f"{n} {what}", escape(name), f"{before[name]:.4f}", f"{after[name]:.4f}", change)
    out_console.print(table)
    if config.relative_change is not None:
        out_console.print(f"Embeddings moved by {config.relative_change:.1%} of their length")
    if config.truncated:
        out_console.print(truncation(config))


def print_audit(result: Audit) -> None:
    both = len(result.arms) == 2
    names = ["attribute", "before", "after", "difference", "chance"] if both else ["attribute", "bias", "chance"]
    changed: list[str] = []
    table = Table(*names, title=f"Mean pairwise bias over {len(result.keywords)} keywords, with 95 % intervals")
    for attribute in result.attributes if result.keywords else ():
        summary = result.summary(attribute)
        try:
            compared = result.compare(attribute) if both else None
        except ValueError:  # no keyword has judged faces in both arms
            summary = summary[:0]
        if summary.empty:
            table.add_row(escape(attribute), *["no face"] * (len(names) - 1))
            continue
        floor = f"{summary.loc[summary['measure'] == 'pairwise_bias', 'floor'].mean():.2f}".lstrip("0")  # as intervals
        if compared is not None:
            found = [compared.raw, compared.mapped, compared.difference]
        else:
            line = summary[summary["measure"] == "pairwise_bias"].iloc[0]
            found = [Interval(line["value"], line["low"], line["high"], int(line["keywords"]))]
        table.add_row(escape(attribute), *(escape(str(part)) for part in found), floor)
        if compared is not None and compared.changed.n:
            tests = result.tests(attribute)
            few = int((tests["p_holm"] < SIGNIFICANT).sum())
            changed.append(f"{attribute}: {few} of {len(tests)} keywords changed measurably, after Holm's correction")
    out_console.print(table)
    for line in changed:
        out_console.print(escape(line))
    for _, line in result.faces().iterrows():
        faces = f"{line['no_face']} of {line['images']} images show no face, {line['several']} several"
        out_console.print(escape(f"{line['arm']}: {faces}"))
    for what, as_whom, shares in (
        ("explicit", "the prompt asks", result.obeyed()),
        ("assigned", "the quota drew", result.followed()),
    ):
        for _, line in (shares[shares["group"] == "all"] if len(shares) else shares).iterrows():
            share = f"{line['share']:.1%} of {line['n']} faces are as {as_whom}"
            interval = f"[{line['low']:.1%}, {line['high']:.1%}]"
            out_console.print(escape(f"{line['arm']}, {what} {line['attribute']}: {share} {interval}"))


def print_advice(found: Advice, *, told: bool) -> None:
    """Images of each prompt; of pairs, only where it is `told` how many of them change."""
    lines = [("one prompt by itself", found.images, found.paired)]
    if found.keywords > 1:
        lines += [
            (f"each of {found.keywords} keywords, with Holm's correction", found.each, found.each_paired),
            (f"the mean share over {found.keywords} keywords", found.together, found.together_paired),
        ]
    out_console.print(
        f"Images of each prompt to see a share of {found.base:.2f} move by {found.effect:g} with {found.power:.0%} "
        f"power (two-sided, alpha {found.alpha:g}):",
        soft_wrap=True,
    )
    table = Table("question", "arms drawn apart", *(["on the same seeds"] if told else []))
    for question, apart, paired in lines:
        table.add_row(question, f"{apart:,}", *([f"{paired:,}"] if told else []))
    out_console.print(table)
    out_console.print(
        f"{found.images:,} images give a share of {found.base:.2f} a 95 % interval of ± {found.half_width:.3f}"
    )
    if not told:
        out_console.print(
            "Pairs on the same seeds need fewer, where few of them change group: give --changed, the share that does"
        )


def print_quality(found: Quality) -> None:
    """One line a figure, the arms side by side."""
    arms = list(dict.fromkeys(found.table["arm"]))
    table = Table("figure", *map(escape, arms), title=escape(f"Features: {found.settings['features']}"))
    for (measure, of), part in found.table.groupby(["measure", "of"], sort=False):
        lines = part.set_index("arm")
        cells = []
        for arm in arms:
            line = lines.loc[arm] if arm in lines.index else None
            n = "" if line is None else f"n={line['n']:,}"
            cells.append("" if line is None else f"{line['value']:.4g} [{line['low']:.4g}, {line['high']:.4g}] {n}")
        table.add_row(escape(f"{measure} {of}".strip()), *map(escape, cells))
    out_console.print(table)
    for note in found.notes:
        out_console.print(escape(note))


def print_decision(decision: Decision) -> None:
    """A prompt's attributes with what is done about each, and why."""
    shown = " ".join(decision.prompt.split())
    out_console.print(f"[bold]{escape(shown[:300])}{'...' if len(shown) > 300 else ''}[/]", soft_wrap=True)
    for name, applies in decision.apply.items():
        out_console.print(f"  {name}: {'[green]apply[/]' if applies else '[yellow]leave[/]'}")
    if decision.keyword:
        out_console.print(
            f"  keyword: {escape(decision.keyword)} (“{escape(decision.matched)}”), score {decision.score:.2f}"
        )
    for mention in decision.mentions:
        group = f" {mention.group}" if mention.group else ""
        out_console.print(f"  says{escape(group)} ({escape(mention.attribute)}): “{escape(mention.words)}”")
    out_console.print(f"  {escape(decision.reason)}", soft_wrap=True)


def print_receipt(receipt: Receipt, name: str) -> None:
    """What was done to an image."""
    out_console.print(f"[bold]{name}[/]: {escape(receipt.prompt[:300])}", soft_wrap=True)
    out_console.print(f"  {escape(receipt.reason)}", soft_wrap=True)
    if receipt.map:
        out_console.print(f"  map {receipt.map}, route {escape(receipt.route)}, strength {receipt.strength:g}")
    for attribute, shares in receipt.targets.items():
        drawn = ", ".join(f"{group} {share:.2f}" for group, share in shares.items())
        out_console.print(f"  targets of {escape(attribute)}: {escape(drawn)}")


def print_receipts(receipts: Sequence[Receipt]) -> None:
    """How many images were mapped, and why the others were not."""
    mapped = [receipt for receipt in receipts if receipt.mapped]
    out_console.print(f"{len(mapped)} of them mapped; `fairmapping explain IMAGE.png` says of each what was done")
    why = {receipt.prompt: receipt.reason for receipt in receipts if not receipt.mapped}
    for prompt, reason in list(why.items())[:10]:
        out_console.print(f"  {escape(prompt[:80])}: {escape(reason)}", soft_wrap=True)
    if len(why) > 10:
        out_console.print(f"  and {len(why) - 10} more prompts")
