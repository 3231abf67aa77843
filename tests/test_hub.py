"""Pushing a map and fetching it again, against a stand-in for the hub on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import tiny
from hub import hub

from fairmapping.showcase import showcase

PUSH = """
import sys
from fairmapping import FairMap
fair = FairMap.from_pretrained(sys.argv[1])
print(fair.push_to_hub("me/my-map", commit_message="A map"))
fair.save_pretrained(sys.argv[1] + "-again", push_to_hub=True, repo_id="me/other")
"""
PULL = """
import sys, torch
from fairmapping import FairMap
for name in ("me/my-map", "me/other"):
    found, own = FairMap.from_pretrained(name), FairMap.from_pretrained(sys.argv[1])
    assert all(torch.equal(a, b) for a, b in zip(found.state_dict().values(), own.state_dict().values(), strict=True))
    assert found.detector.digest == own.detector.digest and found.config == own.config
    assert found.pictures == own.pictures and len(own.pictures) == 1
again = FairMap.from_pretrained("me/my-map", local_files_only=True, revision="main")
try:
    FairMap.from_pretrained("me/none")
except FileNotFoundError as error:
    print("refused", error)
try:
    FairMap.from_pretrained("me/empty")
except FileNotFoundError as error:
    print("empty", error)
"""


def run(code: str, folder: Path, endpoint: str, home: Path) -> str:
    """In a process of its own: the hub's address is read when its library is imported."""
    env = os.environ | {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_TOKEN": "hf_none", "HF_HUB_DISABLE_XET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_a_map_goes_to_the_hub_and_comes_back(tiny_sdxl, tmp_path):
    fair_map = tiny.sampled_map(tiny_sdxl)
    showcase(tiny_sdxl, fair_map, ["a portrait of a doctor"], num_inference_steps=1, progress=False)
    folder = fair_map.save_pretrained(tmp_path / "map")
    repositories = tmp_path / "hub"
    (repositories / "me" / "empty").mkdir(parents=True)
    with hub(repositories) as endpoint:
        assert "/commit/" in run(PUSH, folder, endpoint, tmp_path / "one")
        pushed = {path.name for path in (repositories / "me" / "my-map").iterdir()}
        files = {"README.md", "config.json", "detector.json", "lexicon.json.gz", "model.safetensors", "picture-0.png"}
        assert pushed == files
        told = run(PULL, folder, endpoint, tmp_path / "two")
    assert "refused there is no folder me/none" in told
    assert "has no config.json" in told
