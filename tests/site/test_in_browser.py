"""The built site, as a reader's browser sees it: every page of the contents, in light and dark, wide and narrow.

A page is loaded once a mode; the tests then look at what was recorded.
"""

from __future__ import annotations

import functools
import gzip
import http.server
import json
import os
import re
import threading
import tomllib
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from tools import execute
from tools.build import find_chromium

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"
AXE = ROOT / "_build" / "web" / "node_modules" / "axe-core" / "axe.min.js"
PAGES = execute.pages(ROOT)
CHAPTERS = execute.chapter_names(ROOT)
ADDRESS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
PHONE, DESK = 390, 1280
MOST_BYTES = 3_000_000  # of a page, before a video is played
COMPRESSED = {".html", ".js", ".css", ".svg", ".json"}  # what a web server sends gzip-encoded


def lacking(what: str) -> None:
    """Skip on a reader's machine, fail in continuous integration."""
    if os.environ.get("CI", "").lower() in ("", "0", "false"):
        pytest.skip(what)
    pytest.fail(what)


# ---------------------------------------------------------------------------------------------------------------------
# The pages as files


class Page(HTMLParser):
    """Every id, link, image, video and source address of a page."""

    def __init__(self, name: str):
        super().__init__()
        self.ids, self.addresses, self.tags = set(), [], []
        self.feed((HTML / f"{name}.html").read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list) -> None:
        found = dict(attributes)
        self.tags.append((tag, found))
        self.ids |= {found[key] for key in ("id", "name") if found.get(key) and (key == "id" or tag == "a")}
        for key in ("href", "src", "poster"):
            if found.get(key):
                self.addresses.append((tag, found[key]))


@functools.cache
def parsed(name: str) -> Page:
    if not (HTML / f"{name}.html").is_file():
        lacking(f"_build/html/{name}.html is not there: run `make book` first")
    return Page(name)


@pytest.mark.parametrize("name", PAGES)
def test_no_link_inside_the_site_is_broken(name):
    broken = []
    for tag, address in parsed(name).addresses:
        parts = urlsplit(urljoin(f"http://site/{name}.html", address))
        if parts.hostname != "site" or parts.scheme != "http" or (tag == "link" and "canonical" in address):
            continue
        path = HTML / unquote(parts.path).lstrip("/")
        target = unquote(parts.fragment)
        if not path.is_file():
            broken.append(f"{address}: no such file")
        elif target and path.suffix == ".html" and target not in parsed(_page_name(path)).ids:
            broken.append(f"{address}: no such anchor")
    assert not broken


def _page_name(path: Path) -> str:
    return path.relative_to(HTML).with_suffix("").as_posix()


@pytest.mark.parametrize("name", PAGES)
def test_links_to_the_repository_name_files_that_exist(name):
    links = [address for tag, address in parsed(name).addresses if tag == "a"]
    owned = ADDRESS.removeprefix("https://github.com/")
    prefixes = (f"{ADDRESS}/(?:blob|edit|tree)/main/", f"https://colab.research.google.com/github/{owned}/blob/main/")
    found = [match[1] for link in links for prefix in prefixes if (match := re.match(prefix + "([^?#]+)", link))]
    assert found, "the page links neither to its source nor to Colab"
    assert not [path for path in found if not (ROOT / unquote(path)).exists()]


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_opens_on_colab_with_its_solutions_folded(name):
    owned = ADDRESS.removeprefix("https://github.com/")
    wanted = f"https://colab.research.google.com/github/{owned}/blob/main/book/{name}.ipynb"
    assert wanted in [address for tag, address in parsed(name).addresses]
    cells = json.loads((ROOT / "book" / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    for cell in cells:
        if "solution" in cell["metadata"].get("tags", []):
            assert cell["metadata"].get("cellView") == "form", cell["id"]
            assert cell["source"][0].startswith("# @title"), cell["id"]


@pytest.mark.parametrize("name", PAGES)
def test_images_have_alternative_text_and_videos_wait(name):
    inside = parsed(name).tags
    assert not [tag for tag in inside if tag[0] == "img" and "alt" not in tag[1]]
    figures = [tag[1] for tag in inside if tag[0] == "img" and "_static/" not in tag[1].get("src", "")]
    assert not [image["src"][:80] for image in figures if not image["alt"].strip()]
    assert not [video for tag, video in inside if tag == "video" and video.get("preload") != "none"]
    embedded = [address[:40] for _, address in parsed(name).addresses if address.startswith("data:")]
    assert not [address for address in embedded if not address.startswith("data:image/svg")]


def test_every_page_can_be_shared():
    for name in PAGES:
        named = {tag[1].get("property") or tag[1].get("name"): tag[1] for tag in parsed(name).tags if tag[0] == "meta"}
        assert len(named["description"]["content"]) > 40, name
        card = named["og:image"]["content"]
        assert card.startswith("https://") and (HTML / "_static" / card.partition("_static/")[2]).is_file()


# ---------------------------------------------------------------------------------------------------------------------
# The pages in a browser


@dataclass
class Visit:
    requests: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    axe: list[str] = field(default_factory=list)
    too_wide: list[str] = field(default_factory=list)
    cut_off: list[str] = field(default_factory=list)
    bytes: int = 0


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def copyfile(self, source, outputfile):
        try:
            super().copyfile(source, outputfile)
        except (BrokenPipeError, ConnectionResetError):  # the browser went on to another page
            pass


@pytest.fixture(scope="session")
def site():
    """The address of the built site."""
    if not (HTML / "index.html").is_file():
        lacking("_build/html/index.html is not there: run `make book` first")
    handler = functools.partial(Quiet, directory=str(HTML))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="session")
def browser():
    path = find_chromium()
    if path is None:
        lacking("no Chromium found: `apt install chromium`, or name one in the variable CHROMIUM")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser, site):
    """A function that opens a page in a window of its own and waits until it is at rest."""
    contexts = []

    def open_(name: str, visit: Visit | None = None, mode: str = "light", width: int = DESK):
        # Without animation: what axe measures must not be half faded in.
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=mode, reduced_motion="reduce"
        )
        contexts.append(context)
        page = context.new_page()
        if visit is not None:
            listen(page, visit, site)
        page.goto(f"{site}/{name}", wait_until="load")
        page.evaluate("window.MathJax && MathJax.startup ? MathJax.startup.promise.then(() => 0) : 0")
        page.wait_for_load_state("networkidle")
        return page

    yield open_
    for context in contexts:
        context.close()


def listen(page, visit: Visit, site: str) -> None:
    def requested(request):
        if request.url.startswith(("data:", "blob:")):
            return
        visit.requests.append(request.url)
        if not request.url.startswith(site + "/"):
            visit.outside.append(request.url)

    page.on("request", requested)
    page.on("requestfailed", lambda request: visit.failed.append(request.url))
    page.on("response", lambda answer: answer.status >= 400 and visit.failed.append(answer.url))
    page.on("console", lambda said: said.type == "error" and visit.errors.append(said.text))
    page.on("pageerror", lambda error: visit.errors.append(str(error)))


def axe(page) -> list[str]:
    """The serious and critical findings, with every fold open."""
    page.evaluate("document.querySelectorAll('article details').forEach(fold => { fold.open = true })")
    page.add_script_tag(content=AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']}).then(result => result.violations)")
    return [
        f"{finding['id']}: {finding['help']}: "
        + "; ".join(f"{node['target']} {node['html'][:120]}" for node in finding["nodes"][:4])
        for finding in found
        if finding["impact"] in ("serious", "critical")
    ]


def weight(addresses: list[str], site: str) -> int:
    """Bytes that a page transfers, with text gzip-encoded."""
    total = 0
    for address in set(addresses):
        path = HTML / unquote(urlsplit(address).path).lstrip("/")
        if address.startswith(site) and path.is_file():
            content = path.read_bytes()
            total += len(gzip.compress(content, 6)) if path.suffix in COMPRESSED else len(content)
    return total


WIDE = """() => {
    const scrolls = e => getComputedStyle(e).overflowX !== 'visible';
    const boxed = e => e && e !== document.body && (scrolls(e) || boxed(e.parentElement));
    return [...document.querySelectorAll('body *')].filter(e => {
        const box = e.getBoundingClientRect();
        return box.right > innerWidth + 1 && box.width > 0 && !boxed(e.parentElement);
    }).slice(0, 6).map(e => e.tagName + '.' + e.className + ' ' + e.textContent.trim().slice(0, 60));
}"""
CUT = """() => [...document.querySelectorAll('article *')].filter(e => {
    const box = e.getBoundingClientRect();
    return box.left < -1 && box.width > 1 && getComputedStyle(e).position !== 'absolute'
        && !e.closest('mjx-assistive-mml');
}).slice(0, 6).map(e => e.tagName + '.' + e.className + ' ' + e.textContent.slice(0, 40))"""


@pytest.fixture(scope="session")
def visited():
    return {}


@pytest.fixture
def visit(request, visited, open_page, site):
    """What was recorded of one page in one mode: 1280 pixels wide, and then 390."""
    name, mode = request.param
    if (name, mode) not in visited:
        record = visited[name, mode] = Visit()
        page = open_page(f"{name}.html", record, mode)
        assert page.evaluate("document.documentElement.dataset.theme") == mode
        page.evaluate("window.scrollTo(0, document.body.scrollHeight)")  # images below the fold come, too
        page.wait_for_load_state("networkidle")
        record.bytes = weight(record.requests, site)
        page.evaluate("window.scrollTo(0, 0)")
        record.errors += page.locator("mjx-merror").all_inner_texts()  # formulas that MathJax cannot read
        record.axe += axe(page)
        page.set_viewport_size({"width": PHONE, "height": 844})
        page.wait_for_timeout(500)  # the theme looks anew for what scrolls, a moment later
        if page.evaluate("document.scrollingElement.scrollWidth") > PHONE:
            record.too_wide += page.evaluate(WIDE) or ["?"]
        record.cut_off += page.evaluate(CUT)
        if mode == "light":
            record.axe += [f"at {PHONE} px: {finding}" for finding in axe(page)]
    return visited[name, mode]


each_visit = pytest.mark.parametrize(
    "visit", [(name, mode) for name in PAGES for mode in ("light", "dark")], indirect=True, ids="-".join
)


@each_visit
def test_nothing_is_asked_of_another_server(visit):
    assert len(visit.requests) > 5 and not visit.outside


@each_visit
def test_nothing_fails(visit):
    assert not visit.failed
    assert not visit.errors


@each_visit
def test_axe_finds_nothing_serious(visit):
    assert not visit.axe, "\n".join(visit.axe)


@each_visit
def test_a_phone_scrolls_only_downwards(visit):
    assert not visit.too_wide
    assert not visit.cut_off  # at the left, where no scrolling reaches


@pytest.mark.parametrize("visit", [(name, "light") for name in PAGES], indirect=True, ids="-".join)
def test_a_page_is_light(visit):
    assert visit.bytes <= MOST_BYTES, f"{visit.bytes:,} bytes"


@pytest.mark.parametrize(
    ("name", "visit"), [(name, (name, "light")) for name in PAGES], indirect=["visit"], ids=lambda v: str(v)
)
def test_big_scripts_load_only_where_they_are_needed(name, visit):
    text = (HTML / f"{name}.html").read_text(encoding="utf-8")
    loaded = " ".join(visit.requests)
    assert ("html-manager/embed-amd.js" in loaded) == ("application/vnd.jupyter.widget-view+json" in text)
    assert ("mathjax/tex-chtml.js" in loaded) == ('class="math ' in text)


@pytest.mark.parametrize("name", CHAPTERS)
def test_the_solution_fold_opens_by_keyboard(name, open_page):
    page = open_page(f"{name}.html")
    folds = page.locator("details:has(div.cell_input)", has_text="BEGIN SOLUTION")
    assert folds.count(), "the chapter shows no folded solution"
    fold = folds.first
    assert not fold.evaluate("fold => fold.open")
    assert fold.locator("summary").inner_text().strip() == "Show solution"
    fold.locator("summary").focus()
    page.keyboard.press("Enter")
    assert fold.evaluate("fold => fold.open") and fold.locator("pre").first.is_visible()
    page.keyboard.press("Enter")
    assert not fold.evaluate("fold => fold.open")


def test_search_finds_a_term(open_page):
    page = open_page("index.html")
    page.keyboard.press("Control+k")
    field = page.locator("#pst-search-dialog input")
    field.wait_for(state="visible")
    assert not axe(page)
    field.fill("environment")
    field.press("Enter")
    page.wait_for_url("**/search.html?q=environment**")
    page.locator("#search-results li a").first.wait_for()
    addresses = page.locator("#search-results li a").evaluate_all("links => links.map(link => link.href)")
    assert any(f"{name}.html" in address for address in addresses for name in PAGES)


def test_the_page_remembers_dark_and_light(open_page):
    page = open_page("index.html")
    ground = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(ground)
    page.locator("button.theme-switch-button").first.click()
    chosen = page.evaluate(ground)
    page.goto(page.url.replace("index", "start"))
    assert before != chosen == page.evaluate(ground)
