"""Put the source of the site together in `_build/source/`: the files of book/ and the executed notebooks.

A file is written only when its content changes, so that Sphinx reads again only what is new.  Images and
videos that a notebook holds as `data:` addresses become files in `_build/source/media/`, which keeps the
pages small.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import shutil
from pathlib import Path

import nbformat

from tools import execute

ENDINGS = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/gif": "gif",
    "image/webp": "webp",
    "video/mp4": "mp4",
}
DATA_ADDRESS = re.compile(rf"data:({'|'.join(ENDINGS)});base64,([A-Za-z0-9+/\n]+={{0,2}})")
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"


def assemble(root: Path) -> Path:
    """Write `_build/source/` and return it.  Every chapter must have been executed."""
    source, book = root / "_build" / "source", root / "book"
    written: set[Path] = set()

    def put(path: Path, content: bytes) -> None:
        write_if_changed(source / path, content)
        written.add(path)

    for path in sorted(book.rglob("*")):
        inside = path.relative_to(book)
        hidden = any(part.startswith(".") or part == "__pycache__" for part in inside.parts)
        # Notebooks come from the cache; one that the table of contents does not name is not part of the book.
        if path.is_file() and not hidden and path.suffix != ".ipynb":
            put(inside, path.read_bytes())
    for name in execute.chapter_names(root):
        notebook, media = page(nbformat.read(execute.executed(root, name), as_version=4), name)
        put(Path(f"{name}.ipynb"), (nbformat.writes(notebook) + "\n").encode())
        for file, content in media.items():
            put(Path("media", file), content)
    _remove_others(source, written, root / "_build" / "assembled.json")
    return source


def _remove_others(source: Path, written: set[Path], list_file: Path) -> None:
    """Remove what an earlier call wrote and this one did not; files that others put there stay."""
    try:
        before = json.loads(list_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = []
    now = sorted(path.as_posix() for path in written)
    for gone in set(before) - set(now):
        (source / gone).unlink(missing_ok=True)
    write_if_changed(list_file, json.dumps(now).encode())


def write_if_changed(path: Path, content: bytes) -> bool:
    """Write `content` to `path` unless it is there already; return whether it was written."""
    if path.is_file() and path.read_bytes() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return True


def copy_media(source: Path, html: Path) -> None:
    """Make `html`/media the same as `source`/media: Sphinx copies only what it recognises as an image."""
    wanted = {path.name: path for path in (source / "media").glob("*")}
    for path in (html / "media").glob("*"):
        if path.name not in wanted:
            path.unlink()
    for name, path in wanted.items():
        target = html / "media" / name
        if not target.is_file() or target.stat().st_size != path.stat().st_size:  # the name is a hash of the content
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def page(notebook: nbformat.NotebookNode, name: str) -> tuple[nbformat.NotebookNode, dict[str, bytes]]:
    """Turn an executed notebook into what the page of chapter `name` shows.

    Returns:
        the notebook, and the media files it refers to, by file name.
    """
    media: dict[str, bytes] = {}
    to_media = "../" * name.count("/") + "media/"
    # papermill repeats the parameters in a cell of its own; execute.load makes sure that it says nothing new.
    notebook.cells = [c for c in notebook.cells if "injected-parameters" not in c.metadata.get("tags", [])]
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        for passing in ("papermill", "execution"):
            cell.metadata.pop(passing, None)
        if cell.cell_type != "code":
            continue
        cell.outputs = settle_streams(cell.outputs)
        for output in cell.outputs:
            html = output.get("data", {}).get("text/html")
            if html:
                output.data["text/html"] = extract_media(html, to_media, media)
                output.data.pop(WIDGET_VIEW, None)  # HTML beside a widget is its still, for a page without Python
    prune_widgets(notebook)
    return notebook, media


def extract_media(html: str, folder: str, media: dict[str, bytes]) -> str:
    """Move the `data:` images and videos of `html` into `media` and refer to them as files in `folder`.

    They are found wherever they stand, also inside JSON in an attribute.  One that is not valid base64 stays.
    """

    def move(match: re.Match) -> str:
        try:
            content = base64.b64decode(match[2].replace("\n", ""), validate=True)
        except binascii.Error:
            return match[0]
        file = f"{execute.sha256(content)[:20]}.{ENDINGS[match[1]]}"
        media[file] = content
        return folder + file

    return DATA_ADDRESS.sub(move, html)


def settle_streams(outputs: list) -> list:
    """Leave of stdout and stderr what a terminal shows in the end, so that a progress bar leaves one line.

    Text after the last carriage return of a line wins.  The kernel cuts a stream into pieces wherever it
    likes, and prints to the other stream may lie between them, so a piece that begins with a carriage return
    overwrites the last line of the piece before it of the same stream.
    """
    kept: list = []
    last: dict[str, nbformat.NotebookNode] = {}  # stream name -> its latest piece
    for output in outputs:
        if output.output_type != "stream":
            kept.append(output)
            continue
        before = last.get(output.name)
        if before is not None and kept[-1] is before:
            before.text += output.text
            continue
        if before is not None and output.text.startswith("\r"):
            before.text = before.text[: before.text.rfind("\n") + 1]
        kept.append(output)
        last[output.name] = output
    for output in kept:
        if output.output_type == "stream":
            output.text = settle(output.text)
    return [output for output in kept if output.output_type != "stream" or output.text]


def settle(text: str) -> str:
    """Apply the carriage returns of a text: what follows the last one of a line stays of it."""
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))


def prune_widgets(notebook: nbformat.NotebookNode) -> None:
    """Drop the state of widgets that no cell shows, such as closed progress bars.

    A page with any state loads the widget manager, a megabyte that most pages have no use for.
    """
    stored = notebook.metadata.get("widgets", {}).get(WIDGET_STATE)
    if stored is None:
        return
    shown = [
        output.data[WIDGET_VIEW]["model_id"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if WIDGET_VIEW in output.get("data", {})
    ]
    needed: set[str] = set()
    while shown:
        model = shown.pop()
        if model in stored.state and model not in needed:
            needed.add(model)
            shown += re.findall(r"IPY_MODEL_(\w+)", json.dumps(stored.state[model]))
    if needed:
        stored.state = {model: state for model, state in stored.state.items() if model in needed}
    else:
        del notebook.metadata["widgets"]
