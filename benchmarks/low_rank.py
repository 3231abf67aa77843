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
from fairmapping import lowrank
from fairmapping.bias import Contrasts
from fairmapping.mapconfig import truncation
from fairmapping.text_route import fit_embeddings


def shown(bias: Mapping[str, float]) -> str:
    return " ".join(f"{name} {value:.4f}" for name, value in bias.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, help="synthetic embeddings of this width, in place of real ones")
    parser.add_argument("--ranks", type=int, nargs="*", default=[4, 8, 16, 32, 64, 128])
    arg = parser.parse_args()
    lowrank.SQUARE = 0  # so that the rule for wide encoders holds at every width
    if arg.width:
        contrasts, held_out, ranks = synthetic(arg.width), None, []
    else:
        fitted, others = fm.lists.split()
        both = Contrasts.encode(fm.portraits.load(), [*fitted, *others], ["gender", "race"])
        contrasts, held_out, ranks = both.select(fitted), both.select(others), arg.ranks
    print("language bias before:", shown({name: bias.value for name, bias in contrasts.bias().summary().items()}))
    for rank in [*ranks, None]:
        started = time.perf_counter()
        fair_map = fit_embeddings(contrasts, held_out=held_out, rank=rank)
        config = fair_map.config
        size, square = (sum(t.nbytes for t in fair_map.weight.buffers()), 4 * fair_map.width**2)
        print(
            f"rank {config.rank}{'' if rank else ' (the rule)'}: {size / 2**20:.2f} MiB (square {square / 2**20:.2f})"
        )
        print(f"    {time.perf_counter() - started:.0f} s; bias {shown(config.bias_after)}; {truncation(config)}")
        if held_out is not None:
            print(f"    held out: bias {shown(config.held_out_bias_after)}")


if __name__ == "__main__":
    main()
