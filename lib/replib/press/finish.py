"""The last step on finished pages: repair what the theme gets wrong for screen readers, and make pages light.

Light means one style sheet and one deferred script in place of half a dozen of each: a browser shows
nothing before the last style sheet has come. The files that went into a bundle stand in its tag, so a
page that Sphinx did not write again is bundled again too.
"""

import hashlib
import re
from pathlib import Path

_SHEET = re.compile(r'\s*<link rel="stylesheet" type="text/css" href="(?P<url>[^"]+)" ?/>')
_SCRIPT = re.compile(r'\s*<script (?:defer="defer" )?src="(?P<url>[^"]+)"></script>')
_BUNDLED = re.compile(r'\s*<(?:link|script)[^>]*? data-from="(?P<names>[^"]*\.(?P<kind>css|js))"[^>]*>(?:</script>)?')
_RELATIVE = re.compile(r"url\(\s*(?P<quote>['\"]?)(?!data:|#|/|https?:)(?P<path>[^)'\"]+)(?P=quote)\s*\)")
_SEARCH_PAGE = "searchtools.js"
_TAGS = {
    "css": '\n<link rel="stylesheet" type="text/css" href="{url}" data-from="{names}">',
    "js": '\n<script defer src="{url}" data-from="{names}"></script>',
}


# (what Sphinx or the theme writes, what a screen reader needs)
_REPAIRS = (
    ('<p class="caption" role="heading">', '<p class="caption" role="heading" aria-level="2">'),
    ('<aside class="sidebar-drawer">', '<aside class="sidebar-drawer" aria-label="The book">'),
    ('<aside class="toc-drawer">', '<aside class="toc-drawer" aria-label="This page">'),
    (' role="doc-biblioentry"', ""),
    ('<div role="list" class="citation-list">', '<div class="citation-list">'),
    (
        '<div id="search-results"></div>',
        '<h1>Search</h1>\n<form class="search-again" action="search.html" role="search" aria-label="Pages and claims">'
        '<input type="search" name="q" aria-label="Words to find"></form>\n<div id="search-results"></div>',
    ),
    # the page's width is stated twice
    ('<meta name="viewport" content="width=device-width, initial-scale=1" />', ""),
)


def finish(html: Path) -> None:
    """Rewrite the pages below ``html`` in place and write the bundles beside the files they are made of."""
    written: dict[tuple[str, ...], str] = {}
    for page in sorted(html.rglob("*.html")):
        text = page.read_text(encoding="utf-8")
        root = "../" * len(page.relative_to(html).parents[:-1])
        lighter = text
        for theirs, ours in _REPAIRS:
            lighter = lighter if ours and ours in lighter else lighter.replace(theirs, ours)
        for kind, pattern in (("css", _SHEET), ("js", _SCRIPT)):
            # what the search page loads beside the rest must find the rest loaded, in order
            if kind == "css" or _SEARCH_PAGE not in text:
                lighter = _replace(lighter, kind, pattern, html, root, written)
        if lighter != text:
            page.write_text(lighter, encoding="utf-8")


def _replace(text: str, kind: str, pattern: re.Pattern, html: Path, root: str, written: dict) -> str:
    """Put one tag where the first of a kind stood."""
    bundled = next((m for m in _BUNDLED.finditer(text) if m["kind"] == kind), None)
    found = [m for m in pattern.finditer(text) if m["url"].startswith(f"{root}_static/")]
    if bundled is None and not found:
        return text
    names = tuple(bundled["names"].split()) if bundled else ()
    names += tuple(m["url"].removeprefix(f"{root}_static/").split("?")[0] for m in found)
    if names not in written:
        written[names] = _write(html / "_static", kind, names)
    tag = _TAGS[kind].format(url=root + written[names], names=" ".join(names))
    spans = sorted(m.span() for m in (*found, *filter(None, [bundled])))
    for number, (start, end) in reversed(list(enumerate(spans))):
        text = text[:start] + tag * (number == 0) + text[end:]
    return text


def _write(static: Path, kind: str, names: tuple[str, ...]) -> str:
    """Write a bundle; its address from the site's root, with its content's hash for caches."""
    parts = []
    for name in names:
        content = (static / name).read_text(encoding="utf-8")
        folder = name.rpartition("/")[0]
        if kind == "css" and folder:
            content = _RELATIVE.sub(lambda m, f=folder: f'url("{f}/{m["path"]}")', content)
        # a script that lacks its last semicolon would run into the next one
        parts.append(content.rstrip() + ("\n;" if kind == "js" else ""))
    data = "\n".join(parts)
    digest = hashlib.sha256(data.encode()).hexdigest()[:8]
    label = hashlib.sha256(" ".join(names).encode()).hexdigest()[:6]
    target = static / f"site-{label}.{kind}"
    target.write_text(data, encoding="utf-8")
    return f"_static/{target.name}?v={digest}"
