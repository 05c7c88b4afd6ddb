"""tools.assemble: what of an executed notebook reaches the page."""

import base64
import html
import json

import nbformat
import pytest

from tools import assemble, execute

PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(range(256))).decode()
FILM = base64.b64encode(b"\0\0\0 ftypisom" + bytes(200)).decode()


def stream(text, name="stdout"):
    return nbformat.v4.new_output("stream", name=name, text=text)


def notebook(*outputs):
    cell = nbformat.v4.new_code_cell("train()", id="train", outputs=list(outputs), execution_count=1)
    return nbformat.v4.new_notebook(cells=[cell])


@pytest.mark.parametrize(
    ("raw", "settled"),
    [
        ("plain\ntext\n", "plain\ntext\n"),
        ("\r 10%\r 50%\r100%\ndone\n", "100%\ndone\n"),
        ("windows\r\nlines\r\n", "windows\nlines\n"),
        ("a\r 99%\r", " 99%"),  # a terminal still shows what the carriage return stands behind
    ],
)
def test_the_text_after_the_last_carriage_return_stays(raw, settled):
    assert assemble.settle(raw) == settled


def test_a_progress_bar_cut_into_pieces_leaves_one_line():
    outputs = [stream("\r10%", "stderr"), stream("\r20%", "stderr"), stream("\r30%\n", "stderr")]
    assert [output.text for output in assemble.settle_streams(outputs)] == ["30%\n"]


def test_a_progress_bar_leaves_one_line_though_prints_lie_between():
    outputs = [stream("start\n\r10%", "stderr"), stream("hello\n"), stream("\r20%\n", "stderr")]
    settled = [(output.name, output.text) for output in assemble.settle_streams(outputs)]
    assert settled == [("stderr", "start\n"), ("stdout", "hello\n"), ("stderr", "20%\n")]


def test_data_addresses_become_files():
    frames = html.escape(json.dumps([f"data:image/png;base64,{PIXEL}"]))
    shown = f"<img src='data:image/png;base64,{PIXEL}'><i data-frames=\"{frames}\"></i>"
    shown += f'<video><source src="data:video/mp4;base64,{FILM}"></video>'
    display = nbformat.v4.new_output("display_data", data={"text/html": shown})
    page, media = assemble.page(notebook(display), "rl/02-dqn")
    text = page.cells[0].outputs[0].data["text/html"]
    assert "base64" not in text
    assert sorted(file.rpartition(".")[2] for file in media) == [
        "mp4",
        "png",
    ]  # the same picture is kept once
    picture, film = (next(file for file in media if file.endswith(end)) for end in (".png", ".mp4"))
    assert media[picture] == base64.b64decode(PIXEL) and media[film] == base64.b64decode(FILM)
    assert text.count(f"../media/{picture}") == 2 and f'src="../media/{film}"' in text
    assert json.loads(html.unescape(text.split('data-frames="')[1].split('"')[0])) == [f"../media/{picture}"]


def test_data_that_is_not_base64_and_other_kinds_stay():
    for text in ('<img src="data:image/png;base64,AAA">', '<img src="data:image/svg+xml;utf8,<svg/>">'):
        media = {}
        assert assemble.extract_media(text, "media/", media) == text and not media


def test_what_papermill_adds_is_left_out():
    source = notebook(stream("x\n"))
    injected = nbformat.v4.new_code_cell('budget = "quick"', metadata={"tags": ["injected-parameters"]})
    source.cells.append(injected)
    source.metadata["papermill"] = {"duration": 3.2}
    source.cells[0].metadata.update(papermill={"start_time": "now"}, execution={"iopub": 1}, tags=["keep"])
    page, _ = assemble.page(source, "one")
    assert len(page.cells) == 1 and page.cells[0].metadata == {"tags": ["keep"]} and not page.metadata


def test_only_widgets_that_are_shown_keep_their_state():
    def with_state(*outputs):
        source = notebook(*outputs)
        state = {
            "box": {"state": {"children": ["IPY_MODEL_slider"]}},
            "slider": {"state": {}},
            "bar": {"state": {}},
        }
        source.metadata["widgets"] = {assemble.WIDGET_STATE: {"state": state, "version_major": 2}}
        return assemble.page(source, "one")[0]

    view = nbformat.v4.new_output("display_data", data={assemble.WIDGET_VIEW: {"model_id": "box"}})
    assert set(with_state(view).metadata.widgets[assemble.WIDGET_STATE].state) == {"box", "slider"}
    assert "widgets" not in with_state().metadata
    both = nbformat.v4.new_output("display_data", data={assemble.WIDGET_VIEW: {"model_id": "box"}, "text/html": "<p>"})
    page = with_state(both)  # HTML beside a widget is its still: nothing of the widget is left
    assert list(page.cells[0].outputs[0].data) == ["text/html"] and "widgets" not in page.metadata


@pytest.fixture
def root(tmp_path):
    """A book of one page and one chapter, the chapter already executed."""
    (tmp_path / "book" / "rl").mkdir(parents=True)
    (tmp_path / "_toc.yml").write_text("root: index\nchapters:\n- file: rl/one\n")
    (tmp_path / "book" / "index.md").write_text("# Hello\n")
    (tmp_path / "book" / ".hidden").write_text("x")
    for name in ("one", "not-in-the-toc"):
        nbformat.write(notebook(), tmp_path / "book" / "rl" / f"{name}.ipynb")
    picture = {"text/html": f'<img src="data:image/png;base64,{PIXEL}">'}
    done = execute.executed(tmp_path, "rl/one")
    done.parent.mkdir(parents=True)
    nbformat.write(notebook(nbformat.v4.new_output("display_data", data=picture)), done)
    return tmp_path


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_the_source_holds_pages_executed_chapters_and_media(root):
    source = assemble.assemble(root)
    media = f"media/{execute.sha256(base64.b64decode(PIXEL))[:20]}.png"
    assert files(source) == ["index.md", media, "rl/one.ipynb"]
    chapter = nbformat.read(source / "rl" / "one.ipynb", as_version=4)
    nbformat.validate(chapter)
    assert f"../{media}" in chapter.cells[0].outputs[0].data["text/html"]


def test_a_second_time_writes_nothing_and_an_edit_writes_one_file(root):
    source = assemble.assemble(root)
    before = {path: path.stat().st_mtime_ns for path in source.rglob("*.*")}
    assemble.assemble(root)
    assert {path: path.stat().st_mtime_ns for path in source.rglob("*.*")} == before
    (root / "book" / "index.md").write_text("# Changed\n")
    assemble.assemble(root)
    after = {path: path.stat().st_mtime_ns for path in source.rglob("*.*")}
    assert [path.name for path in before if before[path] != after[path]] == ["index.md"]


def test_what_left_the_book_leaves_the_source_and_what_others_wrote_stays(root):
    (root / "book" / "old.md").write_text("old")
    source = assemble.assemble(root)
    (source / "_zoo").mkdir()
    (source / "_zoo" / "palette.css").write_text(":root {}")
    (root / "book" / "old.md").unlink()
    assemble.assemble(root)
    assert not (source / "old.md").exists() and (source / "_zoo" / "palette.css").exists()


def test_media_reach_the_site(root, tmp_path):
    source, site = assemble.assemble(root), tmp_path / "html"
    (site / "media").mkdir(parents=True)
    (site / "media" / "of-an-earlier-build.png").write_bytes(b"x")
    assemble.copy_media(source, site)
    assert files(site) == [path for path in files(source) if path.startswith("media/")]
