"""Where things are. Every path of the build is made here."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from replib.claimsfile import SLUG


class BuildError(RuntimeError):
    """A step that cannot be done; the message names the cause and the remedy."""


@dataclass(frozen=True)
class Layout:
    """The folders of one checkout.

    Attributes:
        root: the checkout.
    """

    root: Path

    @property
    def build(self) -> Path:
        """All build products."""
        return self.root / "_build"

    @property
    def lock(self) -> Path:
        """The pinned dependencies."""
        return self.root / "requirements.lock"

    @cached_property
    def chapters(self) -> dict[str, Path]:
        """Slug -> text notebook, in the order of their paths."""
        found: dict[str, Path] = {}
        for path in sorted((self.root / "notebooks").glob("*/*.py")):
            if path.stem in found:
                raise BuildError(f"two chapters are called {path.stem}: {found[path.stem]} and {path}; rename one")
            found[path.stem] = path
        return found

    @cached_property
    def registered(self) -> dict[str, Path]:
        """Slug -> claims file, of the papers that are registered and have no notebook yet."""
        found = {path.stem: path for path in sorted((self.root / "notebooks").glob("*/*.toml"))}
        return {slug: path for slug, path in found.items() if slug not in self.chapters and SLUG.fullmatch(slug)}

    def claims(self, slug: str) -> Path:
        """The claims file of a chapter, beside its notebook."""
        return self.registered[slug] if slug in self.registered else self.chapter(slug).with_suffix(".toml")

    def chapter(self, slug: str) -> Path:
        """The text notebook of a chapter.

        Raises:
            BuildError: there is none of that name.
        """
        if slug not in self.chapters:
            raise BuildError(f"there is no chapter {slug!r}; the book has: {', '.join(self.chapters) or 'none'}")
        return self.chapters[slug]

    def part(self, slug: str) -> str:
        """The folder a chapter lies in."""
        return self.claims(slug).parent.name

    def digest(self, slug: str, profile: str) -> Path:
        """Names what a run depends on; its content changes only when one of those changes."""
        return self.build / profile / f"{slug}.digest"

    def executed(self, slug: str, profile: str) -> Path:
        """The executed notebook."""
        return self.build / profile / f"{slug}.ipynb"

    def status(self, slug: str, profile: str) -> Path:
        """How the run ended."""
        return self.build / profile / f"{slug}.status.json"

    def outcome(self, slug: str, profile: str) -> Path:
        """The record of a run, or its failure."""
        return self.build / profile / f"{slug}.outcome.json"

    def published(self, slug: str, profile: str) -> Path:
        """The committed record."""
        return self.root / "book" / "records" / f"{slug}.{profile}.json"

    @property
    def ledger(self) -> Path:
        """All claims of all chapters."""
        return self.build / "claims.json"

    @property
    def source(self) -> Path:
        """What Sphinx reads."""
        return self.build / "source"

    @property
    def html(self) -> Path:
        """The finished site."""
        return self.build / "html"

    @property
    def unfinished(self) -> Path:
        """There while the site is written, and after a build that was killed."""
        return self.build / "site.unfinished"


def here() -> Layout:
    """The checkout this library is installed from, in editable mode."""
    root = Path(__file__).resolve().parents[3]
    if not (root / "Snakefile").exists():
        raise BuildError(f"{root} is no checkout of the book: the build needs one, with the library installed from it")
    return Layout(root)
