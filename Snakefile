# The build graph. Every step is one call of the library; see lib/replib/press.
#
#   text notebook --execute--> status (and executed notebook) --record--> outcome --ledger--> claims.json --site--> html
#
# A chapter runs again when its digest file changes, and that changes only with the contents it names:
# the chapter's text, the library modules it imports directly or not, and the lock. A chapter that fails
# still ends in a status file, so the others and the site go on.
import sys

from replib.press import digest
from replib.press.layout import Layout
from replib.press.requests import request

layout = Layout(Path(workflow.basedir).resolve())
SLUGS = list(layout.chapters)
STEP = f'"{sys.executable}" -m replib.press'
digest.refresh(layout, ("smoke", "quick", "paper"))


# on a cluster only chapters go to the nodes: what is made of them takes seconds
localrules:
    site,
    smoke,
    quick,
    paper,
    record,
    ledger,
    html,


wildcard_constraints:
    profile="smoke|quick|paper",
    slug="|".join(SLUGS),


rule site:
    input:
        "_build/html/index.html",


rule smoke:
    input:
        expand("_build/smoke/{slug}.outcome.json", slug=SLUGS),


rule quick:
    input:
        expand("_build/quick/{slug}.outcome.json", slug=SLUGS),


rule paper:
    input:
        expand("_build/paper/{slug}.outcome.json", slug=SLUGS),


rule execute:
    input:
        "_build/{profile}/{slug}.digest",
    output:
        "_build/{profile}/{slug}.status.json",
    resources:
        mem_mb=lambda w: request(layout, w.slug, w.profile).mib,
        runtime=lambda w: request(layout, w.slug, w.profile).minutes,
        gpu=lambda w: request(layout, w.slug, w.profile).gpus,
    shell:
        STEP + " execute {wildcards.profile} {wildcards.slug}"


rule record:
    input:
        "_build/{profile}/{slug}.status.json",
    output:
        "_build/{profile}/{slug}.outcome.json",
    shell:
        STEP + " record {wildcards.profile} {wildcards.slug}"


rule ledger:
    input:
        expand("_build/quick/{slug}.outcome.json", slug=SLUGS),
        sorted(str(p.relative_to(layout.root)) for p in layout.root.glob("book/records/*.paper.json")),
        sorted(str(p.relative_to(layout.root)) for p in layout.root.glob("notebooks/*/*.toml")),
    output:
        "_build/claims.json",
    shell:
        STEP + " ledger"


rule html:
    input:
        "_build/claims.json",
        "_config.yml",
        "_toc.yml",
        "references.bib",
        sorted(str(p.relative_to(layout.root)) for p in layout.root.glob("book/**/*") if p.is_file()),
        sorted(str(p.relative_to(layout.root)) for p in layout.root.glob("lib/replib/press/*.py")),
        sorted(str(p.relative_to(layout.root)) for p in layout.root.glob("benchmarks/results/*.json")),
        "lib/replib/render.py",
    output:
        "_build/html/index.html",
    shell:
        STEP + " site"
