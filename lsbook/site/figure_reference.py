"""What a build is compared with, in `book/_reference`: small pictures of all figures, and the chapters' run times.

figures.json: chapter -> figure -> PNG of 128 pixels across, as a data address that a browser opens;
timings.json: chapter -> seconds and day of an execution, which the status page shows: a build's own would make its
pages differ from those of the next. Both are those of the chapters' own parameters, and renewed by one command.
"""

import base64
import io
import json
from collections.abc import Collection
from pathlib import Path
from types import ModuleType

import numpy as np
from PIL import Image

from lsbook.core.errors import needing
from lsbook.core.paths import reference_path

PREFIX = "data:image/png;base64,"
RENDERED_WIDTH = 128  # pixels: a 12-point dot of a seed in a figure of 11 inches still moves one of them
VISIBLE = 40  # of 255, between two and three of the 16 levels: edges differ by two where processors round otherwise


def find_changes(notebooks: dict) -> list[str]:
    """Return a line for each figure of the executed notebooks (by chapter) that looks different from its reference."""
    reference = _load("figures.json")
    lines = []
    for chapter, notebook in notebooks.items():
        before, now = reference.get(chapter, {}), thumbnails(notebook)
        lines += [f"{name} of chapter {chapter} is gone" for name in before.keys() - now.keys()]
        lines += [f"{name} of chapter {chapter} is new" for name in now.keys() - before.keys()]
        for name in before.keys() & now.keys():
            if share := changed_area(before[name], now[name]):
                lines.append(f"{name} of chapter {chapter} looks different in {share:.1%} of its area")
    return sorted(lines)


def renew(notebooks: dict, timings: dict, chapters: Collection[str]) -> None:
    """Make the figures and run times of these notebooks their reference; chapters: all that the book has."""
    figures = {chapter: thumbnails(notebook) for chapter, notebook in notebooks.items()}
    for name, new in (("figures.json", figures), ("timings.json", timings)):
        path = reference_path() / name
        path.parent.mkdir(exist_ok=True)
        kept = {chapter: found for chapter, found in (_load(name) | new).items() if chapter in chapters}
        path.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")


def thumbnails(notebook) -> dict[str, str]:
    """Return the thumbnails of an executed notebook's SVG figures, by figure."""
    found = {}
    for cell in notebook.cells:
        name = cell.metadata.get("mystnb", {}).get("figure", {}).get("name")
        for output in cell.get("outputs", []):
            if name and "image/svg+xml" in output.get("data", {}):
                found[name] = thumbnail(output.data["image/svg+xml"])
    return found


def renderer() -> ModuleType:
    """Return resvg, which renders SVG. UserError when it is not installed."""
    with needing("test", "comparing figures"):
        import resvg_py
    return resvg_py


def thumbnail(svg: str) -> str:
    """Render a figure on white, RENDERED_WIDTH pixels across, 16 levels a channel, as the data address of a PNG."""
    resvg_py = renderer()
    # SVG's points at 72 an inch; three times as large first, for an even average
    large = resvg_py.svg_to_bytes(
        svg_string=svg, width=3 * RENDERED_WIDTH, dpi=72, background="white", skip_system_fonts=True
    )
    image = Image.open(io.BytesIO(large)).convert("RGB")
    small = image.resize((RENDERED_WIDTH, round(image.height / 3)), Image.Resampling.BOX)
    file = io.BytesIO()
    small.point(lambda level: level // 16 * 17).save(file, "PNG", optimize=True)
    return PREFIX + base64.b64encode(file.getvalue()).decode()


def changed_area(before: str, now: str) -> float:
    """Return the share of the area in which two thumbnails differ visibly; 1 when their shapes differ."""
    first, second = (_pixels(picture) for picture in (before, now))
    if first.shape != second.shape:
        return 1.0
    return float(np.mean(np.abs(first - second).max(axis=2) > VISIBLE))


def _pixels(picture: str) -> np.ndarray:
    content = base64.b64decode(picture.removeprefix(PREFIX))
    return np.asarray(Image.open(io.BytesIO(content)), dtype=np.int16)


def _load(name: str) -> dict:
    path: Path = reference_path() / name
    return json.loads(path.read_text()) if path.is_file() else {}
