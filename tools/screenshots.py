"""Pictures of the built site: python tools/screenshots.py (needs Chromium or Chrome and a built site).

Every kind of page, on a phone and a desktop, light and dark, goes to _build/screenshots; two of them go
to the README's pictures with --readme.
"""

import sys
import threading
from pathlib import Path

import serve
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "book" / "_static" / "pictures"
SIZES = {"phone": (375, 800), "desktop": (1440, 1000)}
SCHEMES = ("light", "dark")


def kinds() -> list[str]:
    """One page of each kind: the hand-written ones, the search, a chapter."""
    pages = sorted(p.name for p in serve.HTML.glob("*.html"))
    chapters = sorted(
        p.relative_to(serve.HTML).as_posix() for p in serve.HTML.glob("*/*.html") if "_static" not in p.parts
    )
    return ["search.html?q=kernel" if p == "search.html" else p for p in pages] + chapters[:1]


def shoot(browser: Browser, site: str, page: str, target: Path, *, width: int, height: int, scheme: str) -> None:
    """One picture of what a reader sees first."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    opened = context.new_page()
    opened.goto(f"{site}/{page}", wait_until="networkidle")
    opened.screenshot(path=target)
    context.close()


def main() -> None:
    """Write the pictures and say where they are."""
    found = serve.browser()
    if found is None or not (serve.HTML / "index.html").exists():
        sys.exit("this needs Chromium or Chrome on the PATH and a built site (make book)")
    target = ROOT / "_build" / "screenshots"
    target.mkdir(parents=True, exist_ok=True)
    with serve.server(0) as server, sync_playwright() as play:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        site = f"http://127.0.0.1:{server.server_address[1]}"
        browser = play.chromium.launch(executable_path=found, args=["--no-sandbox"])
        for page in kinds():
            for size, (width, height) in SIZES.items():
                for scheme in SCHEMES:
                    path = target / f"{Path(page.split('?')[0]).stem}-{size}-{scheme}.png"
                    shoot(browser, site, page, path, width=width, height=height, scheme=scheme)
        if "--readme" in sys.argv[1:]:
            for name, page in (("chapter", kinds()[-1]), ("ledger", "ledger.html")):
                shoot(browser, site, page, README / f"{name}.png", width=1280, height=860, scheme="light")
        browser.close()
        server.shutdown()
    print(f"pictures are in {target.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
