"""When a criterion was set is read from git: in checkouts with histories made here."""

import json
import subprocess

import pytest
from replib import claimsfile
from replib.press.registration import History, summary

TEXT = '[[claim]]\nid = "c1"\nstatement = "s"\npaper = "p"\ncriterion = "{}"\n'
SLUG = "author2024_topic"


class Checkout:
    def __init__(self, root):
        self.root = root
        self.git("init", "-q")

    def git(self, *arguments, date="2024-01-01"):
        identity = ("-c", "user.name=n", "-c", "user.email=e@x", "-c", "commit.gpgsign=false")
        stamp = f"{date}T00:00:00+00:00"
        environment = {
            "GIT_AUTHOR_DATE": stamp,
            "GIT_COMMITTER_DATE": stamp,
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.root),
        }
        subprocess.run(["git", *identity, *arguments], cwd=self.root, env=environment, check=True, capture_output=True)

    def claims(self, criterion):
        path = self.root / "notebooks" / "part" / f"{SLUG}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TEXT.format(criterion))

    def record(self, criterion, profile="quick"):
        path = self.root / "book" / "records" / f"{SLUG}.{profile}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"claims": [{"id": "c1", "criteria": {"": criterion}}], "note": str(path.exists())}))

    def commit(self, date):
        self.git("add", "-A")
        self.git("commit", "-qm", "m", date=date)

    def state(self, profile="quick"):
        found = claimsfile.read(self.root / "notebooks" / "part" / f"{SLUG}.toml").claims(profile)["c1"]
        return History(self.root).of(SLUG, profile, found)


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


def test_a_criterion_set_before_its_record_is_not_marked(checkout):
    checkout.claims("> 1")
    checkout.commit("2024-01-01")
    assert (checkout.state().date, checkout.state().before_record, checkout.state().marked) == (
        "2024-01-01",
        None,
        False,
    )
    checkout.record("> 1")
    checkout.commit("2024-01-02")
    found = checkout.state()
    assert (found.date, found.before_record, found.changes, found.marked) == ("2024-01-01", True, (), False)


def test_a_criterion_set_with_or_after_its_record_is_marked(checkout):
    checkout.claims("> 1")
    checkout.record("> 1")
    checkout.commit("2024-01-01")
    assert checkout.state().before_record is False
    assert checkout.state().marked


def test_a_record_of_before_claims_files_sets_the_criterion(checkout):
    checkout.record("> 1")
    checkout.commit("2024-01-01")
    checkout.claims("> 1")
    checkout.commit("2024-02-01")
    found = checkout.state()
    assert (found.date, found.before_record, found.marked) == ("2024-01-01", False, True)


def test_changes_are_kept_with_both_texts_and_whether_a_record_was_there(checkout):
    for day, criterion in enumerate(("> 1", "> 2"), 1):
        checkout.claims(criterion)
        checkout.commit(f"2024-01-0{day}")
    checkout.record("> 2")
    checkout.commit("2024-01-03")
    assert not checkout.state().marked  # changed, yet before any record
    checkout.claims("> 0.5")
    assert checkout.state().commit == ""
    assert checkout.state().marked
    checkout.commit("2024-01-04")
    found = checkout.state()
    assert [(c.date, c.old, c.new, c.after_record) for c in found.changes] == [
        ("2024-01-02", ("> 1",), ("> 2",), False),
        ("2024-01-04", ("> 2",), ("> 0.5",), True),
    ]
    assert (found.date, found.marked) == ("2024-01-04", True)


def test_profiles_are_apart(checkout):
    checkout.claims("> 1")
    checkout.commit("2024-01-01")
    checkout.record("> 1")
    checkout.commit("2024-01-02")
    assert checkout.state("quick").before_record is True
    assert checkout.state("paper").before_record is None


def test_a_version_that_cannot_be_read_sets_nothing(checkout):
    checkout.claims("> abc")
    checkout.commit("2024-01-01")
    checkout.claims("> 1")
    checkout.commit("2024-01-02")
    assert checkout.state().date == "2024-01-02"
    assert checkout.state().changes == ()


def test_without_git_and_in_a_shallow_clone_nothing_is_said_to_be_known(checkout, tmp_path_factory):
    checkout.claims("> 1")
    checkout.commit("2024-01-01")
    checkout.record("> 1")
    checkout.commit("2024-01-02")
    shallow = tmp_path_factory.mktemp("shallow") / "clone"
    checkout.git("clone", "-q", "--depth", "1", f"file://{checkout.root}", str(shallow))
    for root, words in ((shallow, "newest part"), (tmp_path_factory.mktemp("none"), "no version history")):
        history = History(root)
        assert words in history.unknown
        assert history.of(SLUG, "quick", None) is None
    assert summary(None, None) == "criterion of an unknown date, not run"
