"""Every way to change an audit trail is found, in SQLite and in PostgreSQL; ``python -m tamper`` does 200 of each."""

from pathlib import Path
from random import Random

import pytest

from smsp_provider.audit.verification import Means, verify
from smsp_provider.storage.sqlite_audit_schema import first_id, suffix_of
from smsp_provider.storage.witness_file import read_witness_file
from tamper.manipulations import MANIPULATIONS, Sought
from tamper.postgres import PostgresScene
from tamper.run import SWAPS, manipulate, names
from tamper.scene import Scene, SqliteScene

SEED = 4
ON_POSTGRES = (
    "edit chain.at",
    "edit content.n",
    "swap records of lanes",
    "cut the tail of a lane",
    "rewrite, and sign all roots again",
    "remove the tables of a day",
    "edit lane.pid",
    "erase without a tombstone",
    "put back what was erased",
    "add a lane of a day that is over, bound",
    "remove roots",
    "put a row among those of another day",
    *SWAPS,
)
"""A part, for the sake of time: what the two databases have of their own."""


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    directory = tmp_path_factory.mktemp("sqlite")
    return Scene(directory, SqliteScene(directory))


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    directory = tmp_path_factory.mktemp("postgresql")
    return Scene(directory, PostgresScene(directory))


@pytest.mark.rule("SMSP-AUDIT-001", "SMSP-AUDIT-009")
def test_an_untouched_trail_is_whole(sqlite: Scene, postgresql: Scene) -> None:
    for scene in (sqlite, postgresql):
        with scene.copy() as copy:
            copy.hand.hide()
            report = copy.verified()
        assert report.findings == ()
        assert report.not_checked == ()
        assert (report.roots, report.witnessed, report.unbound) == (scene.roots, scene.roots, 0)
        assert (report.lanes, report.records - report.contents, report.erased) == (7, 2, 2)


@pytest.mark.rule("SMSP-AUDIT-001", "SMSP-AUDIT-009")
@pytest.mark.parametrize("name", [*MANIPULATIONS, *SWAPS])
def test_a_manipulation_in_sqlite_is_found_and_named(sqlite: Scene, name: str) -> None:
    (outcome,) = manipulate(sqlite, [name], Random(SEED))
    assert outcome.found
    assert outcome.named is not False, outcome


@pytest.mark.rule("SMSP-AUDIT-001", "SMSP-AUDIT-009")
@pytest.mark.parametrize("name", ON_POSTGRES)
def test_a_manipulation_in_postgresql_is_found_and_named(postgresql: Scene, name: str) -> None:
    (outcome,) = manipulate(postgresql, [name], Random(SEED))
    assert outcome.found
    assert outcome.named is not False, outcome


class _EqualToAll:
    """A digest that is as it should be, whatever it should be."""

    __hash__ = None  # type: ignore[assignment]  # nobody asks for it

    def __eq__(self, other: object) -> bool:
        return True


NO_WITNESS = ("smsp_provider.audit.verified_roots.RootsCheck._next_line", lambda _: None)
LEFT_OUT = {
    "contents": (("smsp_provider.audit.verified_lane.commitment_of", lambda *_: _EqualToAll()),),
    "the witness": (NO_WITNESS,),
    "signatures": (NO_WITNESS, ("smsp_provider.audit.roots.check_signature", lambda *_: None)),
    "links": (("smsp_provider.audit.chain_walk.next_link", lambda *_: _EqualToAll()),),
    "missing contents": (("smsp_provider.audit.verification.check_contents", lambda *_: ()),),
    "moments": (("smsp_provider.audit.verified_lane.MomentsCheck.wrong_with", lambda *_: None),),
    "tables beside the records": (("smsp_provider.audit.verification.check_books", lambda *_, **__: ()),),
}


@pytest.mark.parametrize(
    ("check", "name"),
    [
        ("contents", "edit a content with its key"),
        ("the witness", "rewrite, and sign all roots again"),
        ("signatures", "edit root.signature"),
        ("links", "edit chain.exchange"),
        ("missing contents", "delete a content"),
        ("moments", "append a record of hours ago, bound"),
        ("moments", "append a record that is older than the last"),
        ("moments", "add a lane of a day that is over, bound"),
        ("tables beside the records", "edit lane_end.at"),
    ],
)
def test_a_verification_without_one_of_its_checks_lets_something_through(
    sqlite: Scene, monkeypatch: pytest.MonkeyPatch, check: str, name: str
) -> None:
    for target, instead in LEFT_OUT[check]:
        monkeypatch.setattr(target, instead)
    (outcome,) = manipulate(sqlite, [name], Random(SEED))
    assert not outcome.found


@pytest.mark.rule("SMSP-AUDIT-001", "SMSP-AUDIT-009")
@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("ALTER TABLE content ENABLE ROW LEVEL SECURITY", "row level security of content"),
        ("CREATE RULE nothing AS ON INSERT TO lane_end DO INSTEAD NOTHING", "rule nothing of lane_end"),
        (
            "CREATE TRIGGER swallow BEFORE INSERT ON content FOR EACH ROW EXECUTE FUNCTION refuse()",
            "trigger swallow of content",
        ),
        (
            "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
            "function refuse() is not as",
        ),
        ("GRANT SELECT ON content TO PUBLIC", "everybody has the right SELECT on content"),
    ],
    ids=["row level security", "a rule", "a trigger", "an emptied function", "a right of everybody"],
)
def test_what_somebody_did_to_the_guards_of_postgresql_is_found(postgresql: Scene, statement: str, what: str) -> None:
    with postgresql.copy() as copy:
        copy.hand.run(statement)
        copy.hand.hide()
        found = [finding.what for finding in copy.verified().findings]
    assert any(what in text for text in found)


@pytest.mark.rule("SMSP-AUDIT-001", "SMSP-AUDIT-009")
def test_what_sqlite_takes_for_a_number_is_found(sqlite: Scene) -> None:
    with sqlite.copy() as copy:
        lane = copy.lanes[0]
        # (As whole microseconds it is the same, and so is the link.)
        copy.hand.run(f"UPDATE chain_{suffix_of(lane.day)} SET at = at + 0.25 WHERE id = ?", (first_id(lane.id, 2),))  # noqa: S608 - a day's table
        copy.hand.hide()
        assert [(finding.lane, finding.n) for finding in copy.verified().findings] == [(lane.token, 2)]


_AS_TEXT = "CAST({column} AS TEXT)"
_NO_TEXT = "CAST(x'ff41' AS TEXT)"
OTHER_CLASSES = {
    **{f"chain.{column}, no text": ("chain", column, _NO_TEXT) for column in ("n", "kind", "at", "exchange")},
    "chain.kind, bytes": ("chain", "kind", "CAST(kind AS BLOB)"),
    "chain.commitment, as text": ("chain", '"commitment"', _AS_TEXT),
    "chain.commitment, text": ("chain", '"commitment"', "'text'"),
    "chain.link, as text": ("chain", "link", _AS_TEXT),
    "content.n, text": ("content", "n", "'text'"),
    "content.n, bytes": ("content", "n", "x'00'"),
    "content.sealed, as text": ("content", "sealed", _AS_TEXT),
    "content.sealed, text": ("content", "sealed", "'text'"),
    "content.sealed, a number": ("content", "sealed", "7"),
    "lane.day, text": ("lane", "day", "'text'"),
    "lane.day, a number": ("lane", "day", "7"),
    "lane.day, bytes": ("lane", "day", "CAST(day AS BLOB)"),
    "lane.token, no text": ("lane", "token", _NO_TEXT),
    "lane.wrapped_key, as text": ("lane", "wrapped_key", _AS_TEXT),
    "erased.n, text": ("erased", "n", "'text'"),
    "erased.n, bytes": ("erased", "n", "x'00'"),
    "erased.n, a fraction": ("erased", "n", "n + 0.5"),
    "root.statement, text": ("root", "statement", _AS_TEXT),
    "root.statement, no text": ("root", "statement", _NO_TEXT),
    "root.signature, as text": ("root", "signature", _AS_TEXT),
}
"""Table, column and value: what SQLite keeps in a column that is declared otherwise."""


@pytest.mark.rule("SMSP-AUDIT-001", "SMSP-AUDIT-009")
@pytest.mark.parametrize(("kind", "column", "value"), OTHER_CLASSES.values(), ids=OTHER_CLASSES)
def test_a_value_of_another_kind_than_was_written_is_found_and_named(
    sqlite: Scene, kind: str, column: str, value: str
) -> None:
    with sqlite.copy() as copy:
        if kind == "erased":
            (lane_id,) = {lane for lane, _ in copy.hand.ask("SELECT lane, n FROM erased")}
            lane = next(lane for lane in copy.lanes if lane.id == lane_id)
            table, where = kind, f"lane = {lane.id} AND n = 4"
            sought = Sought(lane.token, 4)
        else:
            lane = copy.lanes[1]
            table = kind if kind in ("lane", "root") else f"{kind}_{suffix_of(lane.day)}"
            place = {"lane": lane.id, "root": 5}.get(kind, first_id(lane.id, 3))
            where = f"{'number' if kind == 'root' else 'id'} = {place}"
            sought = {"lane": Sought(lane.token), "root": Sought(root=5)}.get(kind, Sought(lane.token, 3))
        copy.hand.run(f"UPDATE {table} SET {column} = {value.format(column=column)} WHERE {where}")  # noqa: S608 - see above
        copy.hand.hide()
        findings = copy.verified().findings
        if kind == "lane":
            assert sought.lane in {finding.lane for finding in findings}
        else:
            assert any(names(finding, sought) for finding in findings), findings


@pytest.mark.rule("SMSP-AUDIT-001", "SMSP-AUDIT-009")
def test_another_form_of_the_trail_is_found(sqlite: Scene) -> None:
    with sqlite.copy() as copy:
        copy.hand.run("UPDATE trail SET form = form + 1")
        copy.hand.hide()
        assert ["form" in finding.what for finding in copy.verified().findings] == [True]


@pytest.mark.rule("SMSP-AUDIT-001")
@pytest.mark.parametrize("kept", [0, 5])
def test_a_witness_that_is_behind_is_told(sqlite: Scene, tmp_path: Path, kept: int) -> None:
    behind = tmp_path / "roots.jsonl"
    behind.write_bytes(b"".join(sqlite.witness.read_bytes().splitlines(keepends=True)[:kept]))
    with sqlite.copy() as copy:
        copy.hand.hide()
        report = verify(copy.reader, Means(books=copy.books, witness=read_witness_file(behind)))
        assert report.whole
        assert any(f"not got the last {sqlite.roots - kept}:" in text for text in report.not_checked)


@pytest.mark.rule("SMSP-AUDIT-001")
def test_without_the_keys_of_the_contents_the_chain_is_verified_all_the_same(sqlite: Scene) -> None:
    with sqlite.copy() as copy:
        copy.hand.hide()
        report = copy.verified(keys=False)
        assert report.findings == ()
        assert "contents" in report.not_checked[0]
    for name in ("edit chain.at", "cut the tail of a lane", "remove a lane", "rewrite a suffix, relinked"):
        with sqlite.copy() as copy:
            sought = MANIPULATIONS[name](Random(SEED), copy)
            copy.hand.hide()
            assert sought.lane in {finding.lane for finding in copy.verified(keys=False).findings}


@pytest.mark.rule("SMSP-AUDIT-001")
def test_the_roots_of_somebody_elses_key_are_not_those_of_the_trail(sqlite: Scene, tmp_path: Path) -> None:
    other = Scene(tmp_path, SqliteScene(tmp_path))
    with sqlite.copy() as copy:
        copy.hand.hide()
        copy.scene = other
        assert any("given public key" in finding.what for finding in copy.verified(witness=False).findings)
