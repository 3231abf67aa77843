"""A web page over the functions of the library: what is done about a prompt, pictures before and after on the same
seeds, and the reports of finished audits. It calls what a user of Python calls and knows nothing of its own."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__
from .detect import Decision, Detector
from .generate import generate
from .report import report
from .results import Audit
from .words import count

if TYPE_CHECKING:
    from .mapping import FairMap

__all__ = ["build", "serve"]

MOST = 16  # pictures of each arm at once
_LONGEST = 2000  # characters of a prompt
_CAUTION = (
    "Bias is assessed and mitigated here; no map makes a model free of it. A few pictures prove nothing: shares with "
    "their intervals are what an audit is for. Who is seen in a picture is *perceived*, never anyone's identity."
)
_EMBEDDED = "The embedded model `portraits` makes small drawings, not photographs, and was given its bias on purpose."
_SHARES = {"the map's own": None, "even": "even", "labour statistics": "labour"}


def build(
    pipe: Any,
    fair_map: FairMap | None = None,
    *,
    strength: float = 1.0,
    runs: Path = Path("runs"),
    name: str = "portraits",
) -> Any:
    """The page as a ``gradio.Blocks``, not yet served.

    pipe: a pipeline, drawn with for one visitor at a time. runs: only audits and reports below this folder are shown.
    Raises ModuleNotFoundError without gradio.
    """
    gr = _gradio()
    served = f"fairmapping {__version__} · model `{name}` · {'with a fair map' if fair_map else 'no map is given'}"
    with gr.Blocks(title="Fair Mapping", analytics_enabled=False) as page:
        gr.Markdown(f"# Fair Mapping\n\n{served}\n\n{_CAUTION}" + (f" {_EMBEDDED}" if name == "portraits" else ""))
        with gr.Tab("Pictures before and after"):
            with gr.Row():
                prompt = gr.Textbox("a portrait of a doctor", label="Prompt", max_length=_LONGEST, scale=3)
                images = gr.Slider(1, MOST, value=6, step=1, label="Pictures of each")
                seed = gr.Number(0, precision=0, minimum=0, label="Seed")
            shares = gr.Dropdown(
                list(_SHARES),
                value="the map's own",
                label="Shares of groups",
                visible=bool(fair_map and fair_map.groups),
            )
            draw = gr.Button("Draw", variant="primary")
            with gr.Row():
                before = gr.Gallery(label="Before: the model as it is", columns=3, format="png")
                after = gr.Gallery(
                    label="After: with the fair map", columns=3, format="png", visible=fair_map is not None
                )
            said = gr.Markdown()
            draw.click(
                _drawer(pipe, fair_map, strength),
                [prompt, images, seed, shares],
                [before, after, said],
                api_name="draw",
            )
        with gr.Tab("What is done about a prompt"):
            asked = gr.Textbox("a doctor and her patient", label="Prompt", max_length=_LONGEST)
            button, found = gr.Button("Explain"), gr.Markdown()
            explain = _explainer(fair_map)
            for event in (button.click, asked.submit):
                event(explain, asked, found, api_name="explain" if event == button.click else False)
        with gr.Tab("Reports"):
            place = gr.Dropdown(_reports(runs), value=None, label=f"Audits and reports in {runs}")
            again, shown = gr.Button("Look again"), gr.HTML()
            again.click(lambda: gr.Dropdown(_reports(runs), value=None), None, place, api_name=False)
            place.change(_opener(runs), place, shown, api_name="open")
    return page


def serve(page: Any, *, host: str = "127.0.0.1", port: int | None = None, wait: bool = True) -> str:
    """Serve the page and return its address. By default only this machine can reach it; `wait` until it is stopped.

    Raises OSError where the port is taken.
    """
    gr = _gradio()
    theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])  # none from the network
    _, address, _ = page.queue(max_size=32).launch(
        server_name=host, server_port=port, share=False, quiet=True, theme=theme, prevent_thread_lock=not wait
    )
    return str(address)


def _gradio() -> Any:
    try:
        import gradio
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("the web page needs gradio: pip install 'fairmapping[app]'") from error
    return gradio


def _drawer(pipe: Any, fair_map: FairMap | None, strength: float) -> Callable[..., tuple[list[Any], list[Any], str]]:
    def draw(prompt: str, images: float, seed: float, shares: str) -> tuple[list[Any], list[Any], str]:
        """Pictures of one prompt without and with the map, on the same seeds."""
        prompt = _checked(prompt)
        common: dict[str, Any] = {
            "images_per_prompt": min(int(images), MOST),
            "seed": int(seed or 0),
            "progress": False,
        }
        try:
            raw = generate(pipe, [prompt], **common)
            if fair_map is None:
                return raw.images, [], "Drawn without a map: start the page with `--map` for pictures after."
            quota = _SHARES.get(shares) if fair_map.groups else None
            mapped = generate(pipe, [prompt], fair_map=fair_map, strength=strength, quota=quota, **common)
        except (ValueError, RuntimeError) as error:
            raise _told(error) from error
        said = list(dict.fromkeys(receipt.reason for receipt in mapped.receipts))
        moved = sum(bool(receipt.mapped) for receipt in mapped.receipts)
        head = f"{moved} of {count(len(mapped), 'picture')} mapped; what is left alone is the same picture."
        return raw.images, mapped.images, "\n".join([head, "", *(f"- {_plain(reason)}" for reason in said)])

    return draw


def _explainer(fair_map: FairMap | None) -> Callable[[str], str]:
    detector = Detector.default() if fair_map is None else fair_map.detector

    def explain(prompt: str) -> str:
        """What the detector decides of a prompt, and why."""
        return _decision(detector.decide(_checked(prompt)))

    return explain


def _decision(decision: Decision) -> str:
    rows = [f"| {name} | {'may be mapped' if applies else 'left alone'} |" for name, applies in decision.apply.items()]
    parts = ["\n".join(["| attribute | decision |", "| --- | --- |", *rows]), _plain(decision.reason)]
    if decision.keyword:
        parts.append(
            _plain(f"“{decision.matched}” is taken for the keyword “{decision.keyword}” (score {decision.score:.2f}).")
        )
    for mention in decision.mentions:
        group = f" ({mention.group})" if mention.group else ""
        parts.append(_plain(f"“{mention.words}” settles {mention.attribute}{group}."))
    return "\n\n".join(parts)


def _reports(runs: Path) -> list[str]:
    """The folders below `runs` that hold an audit or a report, as paths within it."""
    found = {path.parent for name in ("audit.json", "report.html") for path in runs.glob(f"**/{name}")}
    return sorted(path.relative_to(runs).as_posix() for path in found)


def _opener(runs: Path) -> Callable[[str | None], str]:
    def show(place: str | None) -> str:
        """A report in a frame without scripts; made anew, in memory only, where there is an audit alone."""
        if not place:
            return ""
        if place not in _reports(runs):  # whatever the visitor sends: nothing outside of the folder is read
            raise _told(ValueError(f"{place} is no audit or report in {runs}"))
        try:
            content = _page(runs / place)
        except (OSError, ValueError) as error:
            raise _told(error) from error
        frame = 'sandbox style="width:100%;height:80vh;border:1px solid #ccc"'
        return f'<iframe title="Report of {html.escape(place)}" {frame} srcdoc="{html.escape(content)}"></iframe>'

    return show


def _page(folder: Path) -> str:
    from tempfile import TemporaryDirectory

    if (folder / "report.html").exists():
        return (folder / "report.html").read_text(encoding="utf-8")
    with TemporaryDirectory() as place:
        return report(Audit.load(folder), Path(place) / "report.html").read_text(encoding="utf-8")


def _checked(prompt: str | None) -> str:
    """The prompt without spaces around it; what a browser limits, a program that calls the page may not."""
    words = (prompt or "").strip()
    if not words:
        raise _told(ValueError("there is no prompt; write one, such as: a portrait of a doctor"))
    if len(words) > _LONGEST:
        raise _told(ValueError(f"the prompt has {len(words):,} characters, more than {_LONGEST:,}; shorten it"))
    return words


def _plain(text: str) -> str:
    """A visitor's words as words."""
    return (
        html.escape(text, quote=False).replace("*", "\\*").replace("_", "\\_").replace("`", "\\`").replace("|", "\\|")
    )


def _told(error: Exception) -> Exception:
    """An error that the page shows instead of hiding it."""
    return _gradio().Error(str(error), print_exception=False)
