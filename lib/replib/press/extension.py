"""What this book adds to Sphinx: mathematics without a script, definitions of terms, a description per page."""

import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

from replib.press.glossary import Term
from replib.press.mathml import MathError, mathml
from replib.render import escape

_LOGGER = logging.getLogger(__name__)
# places where a link to a definition would be in the way, or no prose
_NO_PROSE = (
    nodes.title, nodes.reference, nodes.literal, nodes.literal_block, nodes.math, nodes.raw, nodes.footnote,
    nodes.caption, nodes.thead, nodes.emphasis, nodes.strong,
)  # fmt: skip


def _formula(translator: HTML5Translator, node: nodes.Element, display: bool) -> None:
    try:
        translator.body.append(mathml(node.astext(), display=display))
    except MathError as error:
        _LOGGER.warning(str(error), location=node)
    raise nodes.SkipNode


def _inline(translator: HTML5Translator, node: nodes.Element) -> None:
    _formula(translator, node, display=False)


def _display(translator: HTML5Translator, node: nodes.Element) -> None:
    translator.body.append('<div class="formula" tabindex="0" role="group" aria-label="formula">')
    try:
        _formula(translator, node, display=True)
    finally:
        translator.body.append("</div>")


def _link_terms(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Link the first mention of each glossary term in a chapter; its definition shows under the pointer."""
    if "/" not in docname:
        return
    terms = [Term(**t) for t in app.config.glossary]
    for text in list(doctree.findall(nodes.Text)):
        if not terms or not isinstance(text.parent, nodes.paragraph) or _inside(text, _NO_PROSE):
            continue
        pieces, rest = [], str(text)
        while found := min(filter(None, (t.find(rest) for t in terms)), key=lambda f: f.start, default=None):
            pieces.append(nodes.Text(rest[: found.start]))
            link = _term_link(app, docname, found.term, rest[found.start : found.end])
            pieces.append(nodes.raw("", link, format="html"))
            rest = rest[found.end :]
            terms.remove(found.term)
        if pieces:
            text.parent.replace(text, [*pieces, nodes.Text(rest)])


def _inside(node: nodes.Node, kinds: tuple[type, ...]) -> bool:
    while node.parent is not None:
        node = node.parent
        if isinstance(node, kinds):
            return True
    return False


def _term_link(app: Sphinx, docname: str, term: Term, text: str) -> str:
    target = app.builder.get_relative_uri(docname, "glossary")
    return (
        f'<a class="term" href="{escape(target)}#term-{escape(term.anchor)}" '
        f'data-definition="{escape(term.plain)}">{escape(text)}</a>'
    )


def _describe(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None) -> None:
    """The description that search engines show, from the page's metadata."""
    given = app.env.metadata.get(pagename, {}).get("description") if doctree is not None else None
    text = given or f"{re.sub('<[^>]+>', '', context.get('title', ''))}: {app.config.description}"
    context["metatags"] = f'<meta name="description" content="{escape(text)}" />\n'


def _dark_code(app: Sphinx) -> None:
    """The theme's own setting comes into being too late to be set in the configuration file."""
    app.config.pygments_dark_style = app.config.dark_code_style


def setup(app: Sphinx) -> dict:
    """Called by Sphinx."""
    app.add_config_value("comments_config", {}, "")  # Jupyter Book sets it, for an extension that is not used here
    app.add_config_value("glossary", [], "html")
    app.add_config_value("description", "", "html")
    app.add_config_value("dark_code_style", "native", "env")
    app.connect("builder-inited", _dark_code)
    app.add_html_math_renderer("mathml", (_inline, None), (_display, None))
    app.connect("doctree-resolved", _link_terms)
    app.connect("html-page-context", _describe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
