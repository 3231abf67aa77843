"""What a map of low rank loses against the square one it stands for, and what it saves.

python benchmarks/low_rank.py                  # on the embedded model's encoder: real embeddings, 384 wide
python benchmarks/low_rank.py --width 4096     # synthetic embeddings as wide as T5-XXL's: time and size; minutes
Figures stand in docs/results.md.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping

from speed import synthetic

import fairmapping as fm
from fairmapping import text_route
from fairmapping.bias import Contrasts


def shown(bias: Mapping[str, float]) -> str:
    return " ".join(f"{name} {value:.4f}" for name, value in bias.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, help="synthetic embeddings of this width, in place of real ones")
    parser.add_argument("--ranks", type=int, nargs="*", default=[4, 8, 16, 32, 64, 128])
    arg = parser.parse_args()
    text_route.SQUARE = 0  # so that the rule for wide encoders holds at every width
    if arg.width:
        contrasts, held_out, ranks = synthetic(arg.width), None, []
    else:
        fitted, others = fm.lists.split()
        both = Contrasts.encode(fm.portraits.load(), [*fitted, *others], ["gender", "race"])
        contrasts, held_out, ranks = both.select(fitted), both.select(others), arg.ranks
    print("language bias before:", shown({name: bias.value for name, bias in contrasts.bias().summary().items()}))
    for rank in [*ranks, None]:
        started = time.perf_counter()
        fair_map = text_route.fit_embeddings(contrasts, held_out=held_out, rank=rank)
        config, found = fair_map.config, fair_map.config.truncated
        size, square = (sum(t.nbytes for t in fair_map.weight.buffers()), 4 * fair_map.width**2)
        print(f"rank {config.rank}{'' if rank else ' (the rule)'}: {size / 2**20:.2f} MiB (square {square / 2**20:.2f}), "
              f"lost {found['lost']:.1%}, bias {shown(config.bias_after)} (square {shown(found['bias_after'])}), "
              f"embeddings {found['difference']:.2%} apart, {time.perf_counter() - started:.0f} s")  # fmt: skip
        if held_out is not None:
            print(f"    held out: bias {shown(config.held_out_bias_after)} (square {shown(found['held_out_bias_after'])}),"
                  f" embeddings {found['held_out_difference']:.2%} apart")  # fmt: skip


if __name__ == "__main__":
    main()
