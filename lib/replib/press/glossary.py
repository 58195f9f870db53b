"""The field's terms, as ``book/glossary.md`` defines them."""

import re
from dataclasses import dataclass

from replib.press.layout import BuildError

_DIRECTIVE = re.compile(r"^```\{glossary\}\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Found:
    """Where a term stands in a text."""

    term: "Term"
    start: int
    end: int


@dataclass(frozen=True)
class Term:
    """A term of the glossary.

    Attributes:
        names: what it is called; the first is its heading.
        definition: one paragraph of Markdown.
    """

    names: tuple[str, ...]
    definition: str

    @property
    def anchor(self) -> str:
        """Its address on the glossary page, as Sphinx makes it."""
        return re.sub(r"[^A-Za-z0-9]+", "-", self.names[0]).strip("-")

    @property
    def plain(self) -> str:
        """The definition without marks."""
        return re.sub(r"[*`$]|\\[a-z]+ ?", "", self.definition)

    def find(self, text: str) -> Found | None:
        """Its first mention, singular or plural, as whole words; None if there is none."""
        names = "|".join(re.escape(n).replace(r"\ ", r"\s+") for n in sorted(self.names, key=len, reverse=True))
        match = re.search(rf"(?<![\w-])(?:{names})s?(?![\w-])", text, re.IGNORECASE)
        return Found(self, *match.span()) if match else None


def read(page: str) -> list[Term]:
    """The terms in the text of the glossary page, in Sphinx's format: names at the margin, definitions indented.

    Raises:
        BuildError: no glossary in it, or a term without definition.
    """
    block = _DIRECTIVE.search(page)
    if block is None:
        raise BuildError("book/glossary.md holds no glossary: write the terms between ```{glossary} and ```")
    terms = []
    for entry in re.split(r"\n\s*\n", block[1].strip("\n")):
        lines = entry.splitlines()
        names = tuple(line.strip() for line in lines if not line.startswith(" "))
        definition = " ".join(line.strip() for line in lines if line.startswith(" "))
        if not names or not definition:
            raise BuildError(f"book/glossary.md: {entry.strip()!r} needs a name at the margin, a definition indented")
        terms.append(Term(names, definition))
    return terms
