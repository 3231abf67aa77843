"""What a LoRA on the text encoder leaves of a map that was fitted without it, as a Markdown table.

python benchmarks/lora.py
The embedded model, the paper's map (route "text") of 103 occupations for gender, language bias of the 50 others. The
LoRA is random, of rank 8 on queries and values: no trained one of this encoder is at hand. Needs peft.
"""

from __future__ import annotations

import warnings

import torch
from peft import LoraConfig

import fairmapping as fm
from fairmapping.fingerprint import fingerprint

SCALES = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0)


def main() -> None:
    pipe = fm.portraits.load()
    fitted, others = fm.lists.split()
    fair_map = fm.fit(pipe, fitted, ["gender"], route="text")
    torch.manual_seed(0)
    encoder = pipe.text_encoder
    encoder.add_adapter(LoraConfig(r=8, lora_alpha=8, target_modules=["query", "value"], init_lora_weights=False))
    layers = [layer for layer in encoder.modules() if hasattr(layer, "merged_adapters")]
    print("| strength of the LoRA | relative distance | bias without the map | with it |\n|--:|--:|---|---|")
    for scale in SCALES:
        for layer in layers:
            layer.scaling = dict.fromkeys(layer.scaling, scale)
        distance = fair_map.encoder_distance(fingerprint(pipe))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "a LoRA")
            found = [fm.measure(pipe, others, ["gender"], fair_map=arm).summary()["gender"] for arm in (None, fair_map)]
        cells = [f"{mean.value:.3f} [{mean.low:.3f}, {mean.high:.3f}]" for mean in found]
        print(f"| {scale:g} | {distance:.2f} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
