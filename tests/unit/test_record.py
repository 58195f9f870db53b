"""Records on disk: valid or refused, whole or untouched."""

import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from replib.claims import Verdict
from replib.record import (
    SCHEMA_VERSION,
    RecordError,
    compare,
    dump,
    likely_causes,
    parse,
    read,
    write_atomically,
)
from replib.render import plain_verdicts


def changed(record, **updates):
    return record.model_copy(update=updates)


def with_value(record, value, values=None):
    quantity = record.claims[0].quantities[0]
    moved = quantity.model_copy(update={"value": value, "values": values or quantity.values, "low": -1e9, "high": 1e9})
    claim = record.claims[0].model_copy(update={"quantities": [moved]})
    return changed(record, claims=[claim, *record.claims[1:]])


def test_round_trip_is_byte_identical(record, tmp_path):
    path = tmp_path / "r.json"
    write_atomically(path, dump(record))
    assert read(path) == record
    assert dump(read(path)) == path.read_text(encoding="utf-8")


def test_missing(tmp_path):
    with pytest.raises(RecordError, match="run the chapter first"):
        read(tmp_path / "none.json")


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", "null", '{"schema_version": 1}', "\x00", "[" * 100_000])
def test_corrupted_and_left_alone(tmp_path, content):
    path = tmp_path / "r.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(RecordError, match="r.json"):
        read(path)
    assert path.read_text(encoding="utf-8") == content


@pytest.mark.parametrize("version", [0, SCHEMA_VERSION + 1, "1", None])
def test_another_schema_version(record, version):
    payload = record.model_dump(mode="json") | {"schema_version": version}
    with pytest.raises(RecordError, match=f"reads version {SCHEMA_VERSION}"):
        parse(payload, "here")


def test_numbers_that_are_none_and_unknown_fields_are_refused(record):
    payload = record.model_dump(mode="json")
    payload["cost"]["wall_s"] = float("nan")
    with pytest.raises(RecordError, match="cost.wall_s"):
        parse(payload, "here")
    with pytest.raises(RecordError, match="surprise"):
        parse(record.model_dump(mode="json") | {"surprise": 1}, "here")


def test_ids_used_twice(record):
    payload = record.model_dump(mode="json")
    payload["controls"].append(payload["claims"][0])
    with pytest.raises(RecordError, match="ids used twice: c1"):
        parse(payload, "here")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    junk=st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)
    )
)
def test_no_input_does_worse_than_a_clear_error(record, junk):
    for payload in (junk, record.model_dump(mode="json") | {"claims": junk}):
        try:
            parse(payload, "junk")
        except RecordError as error:
            assert "junk" in str(error)  # noqa: PT017


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "r.json"
    write_atomically(path, "old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RecordError, match="No space left.*Nothing was changed"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_unwritable_folder(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("x")
    with pytest.raises(RecordError, match="cannot be written"):
        write_atomically(blocker / "r.json", "new")
    assert blocker.read_text() == "x"


def test_same_bits_within_tolerance_differs(record):
    def states(other):
        return {r.quantity: r.state for r in compare(record, other) if r.claim == "c1"}

    assert states(record) == {"verdict": "same bits", "": "same bits"}
    tolerance = record.claims[0].quantities[0].tolerance
    assert states(with_value(record, 3.0 + 0.9 * tolerance))[""] == "within tolerance"
    assert states(with_value(record, 3.0 + 1.1 * tolerance))[""] == "differs"
    assert states(with_value(record, 3.0, [2.0, 3.1, 3.9]))[""] == "within tolerance"


def test_times_and_verdicts_that_rest_on_them_do_not_differ(record):
    def marked(value, verdict, *, timed=True):
        quantity = record.claims[0].quantities[0].model_copy(update={"value": value, "judged": True, "timed": timed})
        claim = record.claims[0].model_copy(update={"quantities": [quantity], "verdict": verdict})
        return changed(record, claims=[claim, *record.claims[1:]])

    def states(a, b):
        return {r.quantity: r.state for r in compare(a, b) if r.claim == "c1"}

    fast, slow = marked(1.0, Verdict.REPLICATED), marked(9.0, Verdict.NOT_REPLICATED)
    assert states(fast, slow) == {"verdict": "a time", "": "a time"}
    assert states(fast, marked(9.0, Verdict.NOT_REPLICATED, timed=False)) == {"verdict": "a time", "": "differs"}
    assert states(marked(1.0, Verdict.REPLICATED, timed=False), slow)["verdict"] == "differs"
    assert "judged by times" in plain_verdicts(fast)
    assert plain_verdicts(fast) == plain_verdicts(slow)


def test_missing_claims_and_quantities_differ(record):
    fewer = changed(record, claims=record.claims[:1])
    assert [(r.claim, r.state) for r in compare(record, fewer) if r.state == "differs"] == [("c2", "differs")]
    assert [(r.claim, r.state) for r in compare(fewer, record) if r.state == "differs"] == [("c2", "differs")]
    empty = changed(record, claims=[record.claims[0].model_copy(update={"quantities": []}), record.claims[1]])
    assert [r.theirs for r in compare(record, empty) if r.state == "differs"] == ["not measured"]
    assert [r.ours for r in compare(empty, record) if r.state == "differs"] == ["not measured"]


@pytest.mark.parametrize(("name", "value"), [("slug", "other2024_topic"), ("profile", "paper"), ("seed", 3)])
def test_runs_of_different_things_are_not_compared(record, name, value):
    with pytest.raises(RecordError, match=f"{name} is"):
        compare(record, changed(record, **{name: value}))


@pytest.mark.parametrize(
    ("field", "value", "cause"),
    [
        ("threads", 4, "threads: 1 in the published run, 4 in this one"),
        ("cpu_capability", "DEFAULT", "CPU capability"),
        ("packages", {"numpy": "1.0"}, "version of numpy"),
        ("gpu", "H200", "GPU: none in the published run, H200"),
        ("python", "3.99", "Python"),
    ],
)
def test_the_cause_is_named(record, field, value, cause):
    other = changed(record, environment=record.environment.model_copy(update={field: value}))
    assert any(cause in c for c in likely_causes(record, other))
    assert likely_causes(record, record) == []


def test_json_of_a_record_is_small_and_plain(record):
    assert len(dump(record)) < 10_000
    assert json.loads(dump(record))["schema_version"] == SCHEMA_VERSION
