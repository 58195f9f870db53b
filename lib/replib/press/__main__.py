"""``python -m replib.press``: the steps of the Snakefile, and the command that runs them all.

Each command imports what it needs when it runs: a build starts many short processes.
"""

import argparse
import fcntl
import os
import signal
import subprocess
import sys
import time

from replib.press.layout import BuildError, Layout, here
from replib.press.process import dies_with_parent
from replib.press.status import Status, read_status
from replib.record import PROFILES, RecordError

# seconds by which a file's time may be ahead, on a shared file system
CLOCK_TOLERANCE = 2


def _progress(layout: Layout, status: Status) -> str:
    """One line: state, seconds, and how many chapters of this profile still wait."""
    done = 0
    for slug in layout.chapters:
        other = read_status(layout.status(slug, status.profile))
        expected = layout.digest(slug, status.profile)
        done += other is not None and expected.exists() and other.inputs["digest"] in expected.read_text()
    left = len(layout.chapters) - done
    ended = f"[{status.profile}] {status.slug}: {status.state}, {status.seconds:.0f} s"
    return f"{ended}; {left} of {len(layout.chapters)} left"


def _leave_by_exception() -> None:
    """Asked to stop, end on the way what was started."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def _execute(layout: Layout, slug: str, profile: str) -> None:
    from replib.press import execute

    _leave_by_exception()
    print(f"[{profile}] {slug}: started", flush=True)
    status = execute.execute(layout, slug, profile)
    print(_progress(layout, status), flush=True)


def _snakemake(layout: Layout, targets: list[str], where: list[str]) -> int:
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(layout.root / "Snakefile")]
    command += [
        "--directory",
        str(layout.root),
        *where,
        "--keep-going",
        "--rerun-incomplete",
        "--nolock",
    ]
    command += ["--rerun-triggers", "mtime", "--quiet", "all", "--", *targets]
    # a group of its own: asked to stop, everything below is asked too, and nothing is left behind
    process = subprocess.Popen(command, start_new_session=True, preexec_fn=dies_with_parent(signal.SIGTERM))
    try:
        return process.wait()
    except BaseException:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        raise


def _run(layout: Layout, profile: str, slugs: list[str], where: list[str], with_site: bool, tell: bool) -> int:
    """Bring a profile, or the site, up to date. One build at a time in a checkout.

    Args:
        tell: print the verdicts in the end.
        where: Snakemake's options for local cores or for a cluster.
    """
    from replib.press import digest, outcome

    _leave_by_exception()
    try:
        layout.build.mkdir(exist_ok=True)
        (layout.build / ".lock").touch()
    except OSError as error:
        raise BuildError(
            f"{layout.build} cannot be written ({error.strerror}): make it writable, then run again"
        ) from None
    with (layout.build / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BuildError("another build is running in this checkout: wait for it to end") from None
        digest.refresh(layout, (profile,))
        _rewind(layout)
        for slug in slugs:  # what failed, is of another text, or is damaged, is tried again
            if not outcome.is_current(layout, slug, profile):
                for leftover in (layout.status(slug, profile), layout.outcome(slug, profile)):
                    leftover.unlink(missing_ok=True)
        # each outcome by name: a missing one would not be missed while what is made from it is still there
        targets = [str(layout.outcome(s, profile).relative_to(layout.root)) for s in slugs]
        if with_site:
            targets.append("site")
            if layout.unfinished.exists():  # killed while it was written: newer than its inputs, yet not whole
                (layout.html / "index.html").unlink(missing_ok=True)
        code = _snakemake(layout, targets, where)
    code = max(code, _summary(layout, profile, slugs))
    if tell:
        from replib import render

        for slug in slugs:
            if outcome.is_current(layout, slug, profile) and layout.outcome(slug, profile).exists():
                print(f"\n{render.plain_table(outcome.load(layout, slug, profile).record)}")
    return code


def _rewind(layout: Layout) -> None:
    """Results of a clock that was ahead would look newer than what is edited now: shift their times."""
    files = [*layout.build.glob("*.json"), *layout.build.glob("*/*.*"), *layout.html.glob("index.html")]
    times = {f: f.stat().st_mtime for f in files if f.is_file()}
    ahead = max(times.values(), default=0.0) - time.time()
    if ahead > CLOCK_TOLERANCE:
        for file, modified in times.items():
            os.utime(file, (modified - ahead - 1, modified - ahead - 1))


def _summary(layout: Layout, profile: str, slugs: list[str]) -> int:
    """Print what failed, with the last lines of each traceback; 0 if nothing did."""
    failed = 0
    for slug in slugs:
        status = read_status(layout.status(slug, profile))
        if status is not None and status.state == "ok":
            continue
        failed += 1
        state = "did not run" if status is None else f"{status.state} after {status.seconds:.0f} s"
        print(f"\n{slug} ({profile}) {state}")
        for line in (status.message if status else "").splitlines():
            print(f"    {line}")
    print(
        f"\n{len(slugs) - failed} of {len(slugs)} chapters are up to date in {profile}"
        + f", {failed} failed" * bool(failed)
    )
    return int(failed > 0)


def main(arguments: list[str] | None = None) -> int:
    """Command line of the build; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m replib.press", description="Build steps of the book.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (("execute", "run one chapter"), ("record", "extract the record of a run")):
        step = commands.add_parser(name, help=text)
        step.add_argument("profile", choices=PROFILES)
        step.add_argument("slug")
    commands.add_parser("ledger", help="join all records into claims.json")
    commands.add_parser("site", help="build the site from what was executed")
    commands.add_parser("notebooks", help="write the executed notebooks and their Binder environment for publishing")
    run = commands.add_parser("run", help="bring a profile, or the whole book, up to date")
    run.add_argument("target", choices=(*PROFILES, "book"))
    run.add_argument("slugs", nargs="*", help="chapters; all of them by default")
    place = run.add_mutually_exclusive_group()
    place.add_argument("--cores", default="all", help="chapters side by side (default: one per core)")
    place.add_argument("--cluster", metavar="FOLDER", help="a Snakemake profile, such as profiles/slurm")
    accept = commands.add_parser("accept", help="publish fresh records")
    accept.add_argument("profile", choices=("quick", "paper"))
    accept.add_argument("slugs", nargs="*")
    options = parser.parse_args(arguments)
    try:
        layout = here()
        if options.command == "execute":
            _execute(layout, options.slug, options.profile)
        elif options.command == "record":
            from replib.press import outcome

            outcome.write(layout, options.slug, options.profile)
        elif options.command == "ledger":
            from replib.press import ledger

            ledger.write(layout)
        elif options.command == "site":
            from replib.press import site

            site.build(layout)
        elif options.command == "notebooks":
            from replib.press import notebooks

            print(notebooks.publish(layout, os.environ.get(notebooks.REPOSITORY_VARIABLE, "")))
        elif options.command == "run":
            slugs = options.slugs or list(layout.chapters)
            for slug in slugs:
                layout.chapter(slug)
            profile = "quick" if options.target == "book" else options.target
            where = ["--profile", options.cluster] if options.cluster else ["--cores", options.cores]
            return _run(layout, profile, slugs, where, options.target == "book", bool(options.slugs))
        elif options.command == "accept":
            from replib.press import outcome

            for slug in options.slugs or list(layout.chapters):
                print(outcome.accept(layout, slug, options.profile))
    except (BuildError, RecordError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
