"""Holds the one-way road of CONTRIBUTING.md by reading the imports of every module, those inside functions included."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fairmapping

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PACKAGE = Path(fairmapping.__file__).parent

# A module may import those further up, never one on its own line or below. Modules of a subpackage go by the
# subpackage's name and may import each other.
ROAD = (
    {"english", "wordfiles", "mapconfig", "metrics", "progress", "store", "clip"},
    {"estimates", "prompts", "tables", "features", "kid", "lock"},
    {"runs", "layout"},
    {"shifts", "lowrank", "pairs", "agreement", "detect", "receipts"},
    {"mapfile"},
    {"mapping"},
    {"compose"},
    {"lists", "judges"},
    {"targets"},
    {"quota"},
    {"embed", "portraits"},
    {"fingerprint", "solve", "pipelines", "record"},
    {"gradient", "language_bias", "drawings"},
    {"bias", "regress"},
    {"text_route"},
    {"provenance"},
    {"policy"},
    {"attach", "modular", "plan"},
    {"draw", "ledger"},
    {"stopping"},
    {"work"},
    {"cluster"},
    {"generate"},
    {"showcase"},
    {"denoiser_route", "calibration"},
    {"calibrated_route"},
    {"fit"},
    {"results"},
    {"audit", "quality"},
    {"compare"},
    {"words", "charts"},
    {"sources"},
    {"sections"},
    {"report"},
    {"cards"},
    {"demo", "app"},
    {"cli"},
)
ALONE = {"english", "wordfiles", "mapconfig", "metrics", "progress", "store", "clip"}
KNOW_DIFFUSERS = {"embed", "attach", "modular", "generate", "portraits", "pipelines"}
NO_TORCH = {
    "store",
    "lock",
    "tables",
    "runs",
    "layout",
    "ledger",
    "stopping",
    "english",
    "wordfiles",
    "prompts",
    "lists",
    "metrics",
    "progress",
    "estimates",
    "features",
    "quality",
    "pairs",
    "agreement",
    "detect",
    "receipts",
    "targets",
    "quota",
    "compare",
    "results",
    "sources",
    "words",
    "charts",
    "sections",
    "report",
    "cards",
}
PROVIDED_BY = {"PIL": "pillow", "dlib": "dlib_bin"}  # where the import is not named like the distribution


def modules() -> dict[Path, str]:
    """Each source file with the name it goes by on the road."""
    return {
        path: path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for path in sorted(PACKAGE.rglob("*.py"))
        if path != PACKAGE / "__init__.py"
    }


def imports(path: Path) -> set[str]:
    """Absolute dotted names of all that a file imports, as `fairmapping.audit` or `fairmapping.audit.Audit`."""
    package = ["fairmapping", *path.relative_to(PACKAGE).parent.parts]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            prefix = ".".join([*base, *([node.module] if node.module else [])])
            found.update(f"{prefix}.{alias.name}" for alias in node.names)
    return found


def ours(path: Path) -> set[str]:
    """The places on the road that a file imports from. A name of the package itself ("__version__") is none."""
    places = set(modules().values())
    second = {name.split(".")[1] for name in imports(path) if name.startswith("fairmapping.")}
    return second & places


def foreign(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


def rank(name: str) -> int:
    return next(i for i, names in enumerate(ROAD) if name in names)


def test_the_reader_of_imports_sees_them_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "judges" / "face.py"
    file.parent.mkdir()
    file.write_text(
        "import torch.nn as nn, os\nfrom .. import metrics\nfrom ..audit import Audit\nfrom . import records\n"
        "from fairmapping import prompts\ndef f():\n    from diffusers import X\n"
    )
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    assert imports(file) == {
        "torch.nn", "os", "fairmapping.metrics", "fairmapping.audit.Audit", "fairmapping.judges.records",
        "fairmapping.prompts", "diffusers.X",
    }  # fmt: skip


def test_every_module_has_its_place() -> None:
    placed = set().union(*ROAD)
    assert set(modules().values()) == placed, "put a new module on its line of ROAD, and take off one that is gone"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_one_way(path: Path) -> None:
    name = modules()[path]
    wrong = {other for other in ours(path) - {name} if name in ALONE or rank(other) >= rank(name)}
    assert not wrong, f"{name} must not import {', '.join(sorted(wrong))}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_who_knows_what(path: Path) -> None:
    name = modules()[path]
    if name not in KNOW_DIFFUSERS:
        assert "diffusers" not in foreign(path)
    if name in NO_TORCH:
        assert not {"torch", "diffusers", "transformers"} & foreign(path)


def test_what_is_imported_is_declared() -> None:
    table = tomllib.loads((PACKAGE.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = [
        *table["dependencies"],
        *(line for extra in table["optional-dependencies"].values() for line in extra),
    ]
    declared = {re.split(r"[^\w-]", line)[0].replace("-", "_") for line in requirements}
    used = set().union(*(foreign(path) for path in modules())) - {"fairmapping", *sys.stdlib_module_names}
    assert {PROVIDED_BY.get(name, name) for name in used} <= declared
    assert "torchvision" not in used | declared


def loaded_after(statement: str) -> set[str]:
    """Top-level modules present in a new interpreter after the statement."""
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.split()}


def test_importing_the_package_is_light() -> None:
    loaded = loaded_after("import fairmapping")
    assert not loaded & {"torch", "diffusers", "transformers", "pandas", "matplotlib", "scipy", "numpy"}


def test_scoring_and_reporting_need_no_torch() -> None:
    """So that an audit can be read and scored again from its folder on a machine without torch."""
    loaded = loaded_after("import fairmapping.lists, fairmapping.metrics, fairmapping.audit, fairmapping.report")
    assert not loaded & {"torch", "diffusers", "transformers"}


@pytest.mark.parametrize(
    "first", ["", "import fairmapping.audit, fairmapping.fit, fairmapping.attach, fairmapping.cli"]
)
def test_public_names_stay_what_they_are(first: str) -> None:
    """`fairmapping.audit` is the function, even where the module of that name was imported before."""
    code = f"""
{first}
import fairmapping, types
for name in fairmapping.__all__:
    value = getattr(fairmapping, name)
    if name in ("lists", "metrics", "portraits", "prompts", "judges"):
        assert isinstance(value, types.ModuleType), name
    elif name != "__version__":
        assert callable(value), name
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
