"""Encodes the captions once, for the text encoder is frozen.

python training/encode_captions.py --out .work [--captions 30000]
Writes captions.json and captions.npy (unique texts, 24, 384) float16; the first text is the empty prompt.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import numpy as np
import torch
from world import Caption, make_captions

from fairmapping import portraits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--captions", type=int, default=30000)
    parser.add_argument("--seed", type=int, default=0)
    arg = parser.parse_args()
    captions: list[Caption] = make_captions(arg.captions, arg.seed)
    texts = ["", *dict.fromkeys(caption.text for caption in captions)]
    (arg.out / "captions.json").write_text(
        json.dumps({"texts": texts, "captions": [dataclasses.asdict(caption) for caption in captions]})
    )
    tokenizer, encoder = portraits.load_text_encoder()
    shape = (len(texts), portraits.MAX_TOKENS, encoder.config.hidden_size)
    out = np.lib.format.open_memmap(arg.out / "captions.npy", "w+", np.float16, shape)
    with torch.inference_mode():
        for start in range(0, len(texts), 256):
            tokens = tokenizer(texts[start : start + 256], padding="max_length", truncation=True, return_tensors="pt")
            states = encoder(tokens.input_ids, attention_mask=tokens.attention_mask)[0]
            out[start : start + 256] = states.half().numpy()
            if start % 5120 == 0:
                print(f"{start + len(states)} of {len(texts)} captions", flush=True)
    out.flush()


if __name__ == "__main__":
    main()
