"""The web page over a tiny pipeline, in a process of its own: gradio leaves event loops open, which pytest would count
as errors of the tests. Prints two addresses, the page with a map and the one without, and ends when its input does."""

from __future__ import annotations

import sys
from pathlib import Path

import tiny

from fairmapping.app import build, serve

if __name__ == "__main__":
    runs, pipe = Path(sys.argv[1]), tiny.make_sd()
    pages = [build(pipe, fair_map, runs=runs, name="tiny") for fair_map in (tiny.sampled_map(pipe), None)]
    print(*(serve(page, wait=False) for page in pages), flush=True)
    sys.stdin.read()
