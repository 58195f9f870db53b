"""TeX as MathML, which browsers draw and screen readers speak without a script.

latex2mathml translates; three habits of TeX that it leaves out are added: thin spaces around the
names of functions, signs that are no differences, and bars that enclose.
"""

import re
from xml.etree import ElementTree

from latex2mathml.converter import convert

NAMESPACE = "http://www.w3.org/1998/Math/MathML"
_ROWS = {"math", "mrow", "mtd", "msqrt", "mstyle", "mpadded"}
_ARITY = {"mfrac": 2, "mroot": 2, "msub": 2, "msup": 2, "munder": 2, "mover": 2, "msubsup": 3, "munderover": 3}
_CLOSING = {")", "]", "}", "⟩", "|", "‖", "!", "′"}


class MathError(ValueError):
    """A formula that cannot be translated; the message holds it."""


def mathml(tex: str, *, display: bool = False) -> str:
    """A formula as a ``<math>`` element.

    Args:
        tex: LaTeX without the dollar signs.
        display: on a line of its own.

    Raises:
        MathError: LaTeX that is malformed or has a command the translator does not know.
    """
    braces = re.sub(r"\\.", "", tex)
    if braces.count("{") != braces.count("}"):
        raise MathError(f"the braces do not match in the formula: {tex}")
    try:
        # the translator knows the starred environment only, which is drawn the same
        known = re.sub(r"\\(begin|end)\{aligned\}", r"\\\1{align*}", tex)
        text = convert(known, display="block" if display else "inline")
        root = ElementTree.fromstring(text)  # noqa: S314  made one line above
    except Exception as error:  # the translator has a dozen of its own, and lets Python's through
        raise MathError(f"this formula is not valid LaTeX ({type(error).__name__}): {tex}") from None
    unknown = [t for t in root.itertext() if "\\" in t]
    if unknown:
        raise MathError(f"the command {unknown[0].strip()} is not known, in the formula: {tex}")
    for element in root.iter():
        element.tag = element.tag.removeprefix(f"{{{NAMESPACE}}}")
        if len(element) != _ARITY.get(element.tag, len(element)):
            raise MathError(f"an argument is missing in the formula: {tex}")
    for row in list(root.iter()):
        if row.tag in _ROWS:
            _signs(row)
            _bars(row)
            _functions(row)
    root.set("xmlns", NAMESPACE)
    return ElementTree.tostring(root, encoding="unicode")


def _signs(row: ElementTree.Element) -> None:
    """A minus that follows nothing, or an operator, is a sign."""
    before = None
    for child in row:
        is_operator = before is not None and before.tag == "mo" and before.text not in _CLOSING
        if child.tag == "mo" and child.text in {"−", "+", "±", "∓"} and (before is None or is_operator):
            child.set("form", "prefix")
        before = child


def _bars(row: ElementTree.Element) -> None:
    """Bars in pairs enclose: no space inside."""
    bars = [c for c in row if c.tag == "mo" and c.text in {"|", "∣", "‖", "∥"} and "fence" not in c.attrib]
    if len(bars) % 2 == 0:
        for number, bar in enumerate(bars):
            bar.set("form", "postfix" if number % 2 else "prefix")


def _functions(row: ElementTree.Element) -> None:
    """A thin space between a function's name and an argument without parentheses, and before the name."""
    children = list(row)
    for k in range(len(children) - 1, -1, -1):
        if not _names_a_function(children[k]):
            continue
        if k + 1 < len(children) and children[k + 1].tag not in {"mo", "mspace", "mtext"}:
            row.insert(k + 1, ElementTree.Element("mspace", width="0.167em"))
        if k and (children[k - 1].tag not in {"mo", "mspace", "mtext"} or children[k - 1].text in _CLOSING):
            row.insert(k, ElementTree.Element("mspace", width="0.167em"))


def _names_a_function(element: ElementTree.Element) -> bool:
    while element.tag in {"msub", "msup", "msubsup", "munder", "mrow"} and len(element):
        element = element[0]
    return element.tag == "mi" and len((element.text or "").strip()) > 1
