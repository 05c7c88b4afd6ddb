"""The book's own Sphinx extension: generated tables, the title of folds, and mends for what other parts do wrong.

Each mend names its fault; tests/site finds the fault again when a mend is taken away.
"""

from __future__ import annotations

import html
import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

MARKER = re.compile(r"<!-- (table|graph): (\w+) -->")
WIDGET_SCRIPTS = ("requirejs/require.js", "html-manager/embed-amd.js")
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
# The widget manager looks for its fonts beside the address that require.js gives to its modules.
WIDGET_FONTS = """
<script>
window.require = {
  baseUrl: document.documentElement.dataset.content_root + "_static/",
  paths: {"@jupyter-widgets/html-manager": "html-manager/index", "@jupyter-widgets/html-manager/dist": "html-manager"}
};
</script>"""


def find_files(app: Sphinx, config) -> None:
    """Put source/web into _static/, and templates of our own before the theme's.

    Not in _config.yml, as Jupyter Book loads every script of the static folders it knows of on every page.
    """
    config.html_static_path.append("web")
    config.templates_path.insert(0, str(Path(__file__).parent / "templates"))


def insert_generated(app: Sphinx, docname: str, content: list[str]) -> None:
    """Replace `<!-- table: chapters -->` by what tools/site.py wrote to _zoo/table-chapters.md."""

    def replace(match: re.Match) -> str:
        path = Path(app.srcdir, "_zoo", f"{match[1]}-{match[2]}.md")
        if not path.is_file():
            return match[0]
        app.env.note_dependency(str(path))
        return path.read_text(encoding="utf-8").strip()

    content[0] = MARKER.sub(replace, content[0])


class NameFolds(SphinxPostTransform):
    """A fold says what is in it: "Show solution", not "Show code cell source"."""

    default_priority = 190  # before myst-nb makes the folds, at 199
    formats = ("html",)

    def run(self, **kwargs) -> None:
        for cell in self.document.findall(nodes.container):
            if cell.get("nb_element") == "cell_code" and cell.get("hide_mode") == "input":
                what = "solution" if "tag_solution" in cell["classes"] else "code"
                cell["prompt_show"], cell["prompt_hide"] = f"Show {what}", f"Hide {what}"


class TagLongFormulas(SphinxPostTransform):
    r"""Let a formula of several lines have a number: Sphinx puts it into `split`, in which \tag is an error."""

    default_priority = 190
    formats = ("html",)

    def run(self, **kwargs) -> None:
        for formula in self.document.findall(nodes.math_block):
            text = formula.astext()
            if r"\tag" in text and r"\\" in text and not formula.get("nowrap"):
                formula.children = [nodes.Text(rf"\begin{{equation*}}{text}\end{{equation*}}")]
                formula["nowrap"] = True


def mend_page(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Mend the body and choose the scripts of one page."""
    body = context.get("body", "")
    # A list must have list items as its children; the bibliography's entries have a role of their own.
    body = body.replace('role="list" class="citation-list"', 'class="citation-list"')
    # The label hides the visible text of the fold, "Show solution", from a screen reader.
    body = body.replace('<summary aria-label="Toggle hidden content">', "<summary>")
    context["body"] = body
    context["without_icon_script"] = without_icon_script

    if WIDGET_VIEW in body:
        context["metatags"] = context.get("metatags", "") + WIDGET_FONTS
    seen: set[str] = set()
    kept = []
    for script in context["script_files"]:
        name = str(getattr(script, "filename", script) or "")
        text = (getattr(script, "attributes", None) or {}).get("body") or ""
        # Thebe is not used, and it comes twice on every page: "THEBE_JS_URL has already been declared".
        unused = "THEBE_JS_URL" in text or name.endswith("sphinx-thebe.js")
        unused |= name.endswith(WIDGET_SCRIPTS) and WIDGET_VIEW not in body
        # Sphinx loads MathJax on the title page, too, as pages below it have formulas.
        unused |= ("mathjax/" in name or text.startswith("window.MathJax")) and 'class="math ' not in body
        if not unused and (name or text) not in seen:
            seen.add(name or text)
            kept.append(script)
    context["script_files"][:] = kept
    sheets = context["css_files"]
    sheets[:] = [sheet for sheet in sheets if "sphinx-thebe.css" not in str(getattr(sheet, "filename", sheet))]


def without_icon_script(head: str) -> str:
    """The head of a page without Font Awesome's script; templates/layout.html says why."""
    return re.sub(r"<script[^>]*fontawesome\.js[^>]*></script>", "", head)


def describe_page(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Add the description and the social card (Open Graph) to the head of a page."""
    site, base = app.config.html_title, app.config.html_baseurl
    title = site if pagename == app.config.root_doc else html.unescape(re.sub("<.*?>", "", context.get("title", "")))
    text = summary(doctree) if doctree is not None else ""
    tags = {"description": text} if text else {}
    tags |= {"og:site_name": site, "og:type": "article", "og:title": title, "og:description": text or site}
    if base:
        tags |= {
            "og:url": f"{base}{pagename}.html",
            "og:image": f"{base}_static/card.png",
            "og:image:width": "1200",
            "og:image:height": "630",
            "og:image:alt": "The Trainable Zoo: giraffes on carts climb a learning curve; the last one balances",
        }
    tags["twitter:card"] = "summary_large_image"
    lines = (
        f'<meta {"property" if name.startswith("og:") else "name"}="{name}" content="{html.escape(value)}" />'
        for name, value in tags.items()
    )
    context["metatags"] = context.get("metatags", "") + "\n" + "\n".join(lines)


def summary(doctree: nodes.document, length: int = 200) -> str:
    """The first paragraph of running text, cut at a word if it is longer than `length` characters."""
    for paragraph in doctree.findall(nodes.paragraph):
        if isinstance(paragraph.parent, nodes.section | nodes.container):
            text = " ".join(paragraph.astext().split())
            if len(text) > 40:
                return text if len(text) <= length else text[:length].rpartition(" ")[0] + " …"
    return ""


def setup(app: Sphinx) -> dict:
    app.connect("config-inited", find_files)
    app.connect("source-read", insert_generated)
    app.add_post_transform(NameFolds)
    app.add_post_transform(TagLongFormulas)
    # After everything that adds scripts to a page.
    app.connect("html-page-context", mend_page, priority=900)
    app.connect("html-page-context", describe_page, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
