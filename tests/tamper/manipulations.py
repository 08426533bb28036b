"""Two hundred ways to change a trail, chosen at random: each says what a verification has to name."""

# ruff: noqa: S608 - the names of tables and columns stand in this folder, and the values are the tests'

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from random import Random

from made_trails import RING
from smsp_provider.audit.chain import SALT_BYTES, Lane, commitment_of, first_link, microseconds, next_link
from smsp_provider.audit.encoding import encode
from smsp_provider.audit.lane_events import Opening
from smsp_provider.storage.audit_sealing import LaneSealer
from tamper.scene import Copy

__all__ = ["MANIPULATIONS", "Named", "Sought"]


@dataclass(frozen=True)
class Sought:
    """What a finding has to name: a record (``lane`` and ``n``), a lane, or a root; nothing where none can be."""

    lane: str | None = None
    n: int | None = None
    root: int | None = None


Named = Callable[[Random, Copy], Sought]


def _record(random: Random, copy: Copy, *, least: int = 1, spare: int = 0) -> tuple[Lane, int]:
    """Some record with at least ``spare`` records after it; not one whose content was erased."""
    while True:
        lane = random.choice(copy.lanes)
        n = random.randint(least, copy.lengths[lane.token] - spare)
        if copy.reader.content(lane, n) is not None:
            return lane, n


def _other_bytes(random: Random, old: bytes) -> bytes:
    place = random.randrange(len(old))
    return old[:place] + bytes([old[place] ^ random.randint(1, 255)]) + old[place + 1 :]


def _edit_chain(column: str) -> Named:
    def edit(random: Random, copy: Copy) -> Sought:
        lane, n = _record(random, copy)
        old = copy.hand.get("chain", lane, n)[column]
        match column:
            case "at":
                new: object = old + random.choice((-1, 1, 3_600_000_000))
            case "kind":
                new = random.choice([kind for kind in ("intent", "ending", "closing", "opening", "act") if kind != old])
            case "exchange":
                new = "exchange-of-another" if old is None or random.random() < 0.5 else None
            case _:
                new = _other_bytes(random, old)
        copy.hand.set("chain", lane, n, {column: new})
        return Sought(lane.token, n)

    return edit


def _renumber(kind: str) -> Named:
    def edit(random: Random, copy: Copy) -> Sought:
        lane, n = _record(random, copy)
        copy.hand.set(kind, lane, n, {"n": copy.lengths[lane.token] + random.randint(1, 50)})
        return Sought(lane.token, n)

    return edit


def _another_lane(kind: str) -> Named:
    def edit(random: Random, copy: Copy) -> Sought:
        lane, n = _record(random, copy)
        copy.hand.set(kind, lane, n, {"lane": 4711})
        return Sought(lane.token, n)

    return edit


def _edit_content(random: Random, copy: Copy) -> Sought:
    lane, n = _record(random, copy)
    copy.hand.set("content", lane, n, {"sealed": _other_bytes(random, copy.hand.get("content", lane, n)["sealed"])})
    return Sought(lane.token, n)


def _forge_content(random: Random, copy: Copy) -> Sought:
    """With the keys of the contents: another text, sealed as it should be."""
    lane, n = _record(random, copy)
    salted = copy.opened(lane, n)
    copy.hand.set("content", lane, n, {"sealed": copy.sealed(lane, n, salted[:-1] + b" }")})
    return Sought(lane.token, n)


def _swap(kind: str, *, lanes: bool) -> Named:
    def edit(random: Random, copy: Copy) -> Sought:
        lane, n = _record(random, copy, spare=1)
        other, m = _record(random, copy) if lanes else (lane, 0)
        while (other.token, m) == (lane.token, n) or (not lanes and (m <= n or copy.reader.content(lane, m) is None)):
            other, m = _record(random, copy) if lanes else (lane, random.randint(n + 1, copy.lengths[lane.token]))
        one, two = copy.hand.get(kind, lane, n), copy.hand.get(kind, other, m)
        copy.hand.set(kind, lane, n, two)
        copy.hand.set(kind, other, m, one)
        # Of two in one lane the first one is named.
        return Sought(lane.token, min(n, m) if other.token == lane.token else n)

    return edit


def _insert(random: Random, copy: Copy) -> Sought:
    """With the keys of the contents: a copy of a record in the middle of a lane, and correct links after it."""
    lane, n = _record(random, copy, least=2, spare=1)
    last = copy.lengths[lane.token]
    for m in range(last, n - 1, -1):
        row = copy.hand.get("chain", lane, m)
        has_content = copy.reader.content(lane, m) is not None
        salted = copy.opened(lane, m) if has_content else b""
        if m == n:
            copy.hand.put("chain", lane, n + 1, row)
            copy.hand.put("content", lane, n + 1, {"sealed": copy.sealed(lane, n + 1, salted)})
            break
        copy.hand.remove("chain", lane, m, m)
        copy.hand.put("chain", lane, m + 1, row)
        copy.hand.remove("content", lane, m, m)
        if has_content:
            copy.hand.put("content", lane, m + 1, {"sealed": copy.sealed(lane, m + 1, salted)})
    copy.lengths[lane.token] = last + 1
    copy.relink(lane, n)
    return Sought(lane.token, n + 1)


def _append(random: Random, copy: Copy) -> Sought:
    """A record after the last one of a lane that is ended, linked as it should be."""
    ended = [lane for lane in copy.lanes if lane is not copy.lanes[-1]]
    lane = random.choice(ended)
    last = copy.lengths[lane.token]
    row = copy.hand.get("chain", lane, last)
    copy.hand.put("chain", lane, last + 1, row | {"kind": "ending", "exchange": "exchange-1"})
    salted = copy.opened(lane, last)
    copy.hand.put("content", lane, last + 1, {"sealed": copy.sealed(lane, last + 1, salted)})
    copy.lengths[lane.token] = last + 1
    copy.relink(lane, last + 1)
    return Sought(lane.token, last + 1)


def _add(copy: Copy, lane: Lane, at: datetime) -> int:
    """One more record at the end of a lane: the one before it once more, with another moment."""
    n = copy.lengths[lane.token] = copy.lengths[lane.token] + 1
    copy.hand.put("chain", lane, n, copy.hand.get("chain", lane, n - 1) | {"at": microseconds(at)})
    copy.hand.put("content", lane, n, {"sealed": copy.sealed(lane, n, copy.opened(lane, n - 1))})
    copy.relink(lane, n)
    return n


def _back_date(random: Random, copy: Copy) -> Sought:
    """With the keys of the contents: a record of hours ago in a lane that goes on, which the keeper binds."""
    lane, last = copy.lanes[-1], copy.last_root_at()
    n = _add(copy, lane, last - timedelta(seconds=random.randint(400, 40_000)))
    copy.bind(lane, n - 1, last + timedelta(seconds=1))
    return Sought(lane.token, n)


def _back_date_in_a_lane(random: Random, copy: Copy) -> Sought:
    """With the keys of the contents: no root yet, and a record that is older than the one before it."""
    lane, last = copy.lanes[-1], copy.last_root_at()
    n = _add(copy, lane, last + timedelta(seconds=700)) + 1
    _add(copy, lane, last + timedelta(seconds=random.randint(0, 300)))
    return Sought(lane.token, n)


def _back_date_a_lane(random: Random, copy: Copy) -> Sought:
    """With the keys of the contents: a lane of a day that is over, which the keeper binds."""
    # (The last day is not over, and noon of it not yet.)
    over = [lane.day for lane in copy.lanes if lane.day < copy.lanes[-1].day]
    day, token = random.choice(over), "00000000-0000-4000-8000-00000000000D"
    opening = Opening(
        datetime.combine(day, time(12), UTC), "writer-of-another", "host", 4711, "build", "00" * 32, "11" * 32
    )
    salt, text, at = bytes(SALT_BYTES), encode(opening).encode("ascii"), microseconds(opening.at)
    sealer = LaneSealer(RING, token)
    lane = Lane(4711, token, day, opening.writer, sealer.key_id, sealer.wrapped_key)
    copy.hand.run(
        "INSERT INTO lane (id, token, day, writer, pid, at, key_id, wrapped_key) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (lane.id, token, day.isoformat(), lane.writer, opening.pid, at, lane.key_id, lane.wrapped_key),
    )
    commitment = commitment_of(salt, text)
    link = next_link(first_link(copy.reader.trail_id(), token, day), 1, "opening", at, None, commitment)
    row = {"kind": "opening", "at": at, "exchange": None, "commitment": commitment, "link": link}
    copy.hand.put("chain", lane, 1, row)
    copy.hand.put("content", lane, 1, {"sealed": copy.sealed(lane, 1, salt + text)})
    copy.bind(lane, 0, copy.last_root_at() + timedelta(seconds=1))
    return Sought(token, 1)


def _content_alone(random: Random, copy: Copy) -> Sought:
    lane, n = _record(random, copy)
    after = copy.lengths[lane.token] + random.randint(1, 9)
    copy.hand.put("content", lane, after, copy.hand.get("content", lane, n))
    return Sought(lane.token, after)


def _delete(*kinds: str) -> Named:
    def edit(random: Random, copy: Copy) -> Sought:
        lane, n = _record(random, copy)
        for kind in kinds:
            copy.hand.remove(kind, lane, n, n)
        return Sought(lane.token, n)

    return edit


def _cut(random: Random, copy: Copy) -> Sought:
    """The last records of a lane, with all that says so in the tables."""
    lane, n = _record(random, copy, least=2)
    copy.hand.remove("chain", lane, n, copy.lengths[lane.token])
    copy.hand.remove("content", lane, n, copy.lengths[lane.token])
    copy.hand.run("DELETE FROM lane_end WHERE lane = ?", (lane.id,))
    return Sought(lane.token, n)


def _rewrite(random: Random, copy: Copy) -> Sought:
    """Another moment of a record, and correct links to the end of the lane."""
    lane, n = _record(random, copy)
    copy.hand.set("chain", lane, n, {"at": copy.hand.get("chain", lane, n)["at"] + 1})
    copy.relink(lane, n)
    return Sought(lane.token, n)


def _rewrite_and_sign(random: Random, copy: Copy) -> Sought:
    """With the signing key: a record of a lane that no other names, correct links, and all roots signed again."""
    lane = random.choice(copy.lanes[-2:])
    n = random.randint(2, copy.lengths[lane.token] - 1)
    copy.hand.set("chain", lane, n, {"at": copy.hand.get("chain", lane, n)["at"] + 1})
    copy.relink(lane, n)
    copy.sign_again()
    copy.hand.hide()
    assert copy.verified(witness=False).whole, "only the witness tells"
    return Sought(lane.token, n)


def _remove_lane(random: Random, copy: Copy) -> Sought:
    lane = random.choice(copy.lanes)
    _remove_rows(copy, lane)
    return Sought(lane.token)


def _remove_rows(copy: Copy, lane: Lane) -> None:
    for kind in ("chain", "content"):
        copy.hand.remove(kind, lane, 1, copy.lengths[lane.token])
    copy.hand.run("DELETE FROM lane_end WHERE lane = ?", (lane.id,))
    copy.hand.run("DELETE FROM erased WHERE lane = ?", (lane.id,))
    copy.hand.run("DELETE FROM erased WHERE tombstone_lane = ?", (lane.id,))
    copy.hand.run("DELETE FROM lane WHERE id = ?", (lane.id,))


def _remove_lane_and_sign(random: Random, copy: Copy) -> Sought:
    """With the signing key: the last lane is gone, and no root knows of it."""
    del random
    lane = copy.lanes[-1]
    _remove_rows(copy, lane)
    copy.sign_again(without=[lane.token])
    copy.hand.hide()
    assert copy.verified(witness=False).whole, "only the witness tells"
    return Sought(lane.token)


def _drop_day(*kinds: str) -> Named:
    def edit(random: Random, copy: Copy) -> Sought:
        lane = random.choice(copy.lanes)
        for kind in kinds:
            copy.hand.drop_day(kind, lane)
        return Sought(next(other.token for other in copy.lanes if other.day == lane.day), 1)

    return edit


def _edit_lane(column: str) -> Named:
    def edit(random: Random, copy: Copy) -> Sought:
        lane = random.choice(copy.lanes)
        new: object = {
            "token": "00000000-0000-4000-8000-00000000000F",
            "day": (lane.day + timedelta(days=1)).isoformat(),
            "writer": "writer-of-another",
            "pid": 1,
            "at": random.randint(1, 10**15),
            "key_id": "second",
            "wrapped_key": _other_bytes(random, lane.wrapped_key),
            "id": 4711,
        }[column]
        if column == "id":
            # (A referenced id: the tables that refer to it stay behind.)
            copy.hand.run("UPDATE lane SET id = ? WHERE id = ?", (new, lane.id))
        else:
            copy.hand.run(f"UPDATE lane SET {column} = ? WHERE id = ?", (new, lane.id))
        return Sought(lane.token)

    return edit


def _swap_keys(random: Random, copy: Copy) -> Sought:
    one, two = random.sample(copy.lanes, 2)
    for lane, other in ((one, two), (two, one)):
        copy.hand.run("UPDATE lane SET wrapped_key = ? WHERE id = ?", (other.wrapped_key, lane.id))
    return Sought(one.token, 1)


def _edit_end(random: Random, copy: Copy) -> Sought:
    lane = random.choice(copy.lanes[:-1])
    copy.hand.run("UPDATE lane_end SET at = at + 1 WHERE lane = ?", (lane.id,))
    return Sought(lane.token)


def _remove_end(random: Random, copy: Copy) -> Sought:
    lane = random.choice(copy.lanes[:-1])
    copy.hand.run("DELETE FROM lane_end WHERE lane = ?", (lane.id,))
    return Sought(lane.token)


def _add_end(random: Random, copy: Copy) -> Sought:
    lane = copy.lanes[-1]
    copy.hand.run("INSERT INTO lane_end (lane, at) VALUES (?, ?)", (lane.id, random.randint(1, 10**15)))
    return Sought(lane.token)


def _erase(random: Random, copy: Copy) -> Sought:
    """A content that is gone, and a row that says it was erased, after a tombstone that does not name it."""
    lane, n = _record(random, copy)
    ((tombstone, m),) = copy.hand.ask("SELECT DISTINCT tombstone_lane, tombstone_n FROM erased")
    copy.hand.remove("content", lane, n, n)
    copy.hand.run("INSERT INTO erased VALUES (?, ?, ?, ?)", (lane.id, n, tombstone, m))
    return Sought(lane.token, n)


def _edit_erased(column: str) -> Named:
    def edit(random: Random, copy: Copy) -> Sought:
        lane, n = copy.hand.ask("SELECT lane, n FROM erased ORDER BY n")[0]
        other = {"lane": copy.lanes[-1].id, "n": 2, "tombstone_lane": copy.lanes[-1].id, "tombstone_n": 2}[column]
        copy.hand.run(f"UPDATE erased SET {column} = ? WHERE lane = ? AND n = ?", (other, lane, n))
        del random
        return Sought()

    return edit


def _forget_erasure(random: Random, copy: Copy) -> Sought:
    """The table of erasures loses a row: whoever has the content could put it back."""
    lanes = {lane.id: lane for lane in copy.lanes}
    lane, n = random.choice(copy.hand.ask("SELECT lane, n FROM erased"))
    copy.hand.run("DELETE FROM erased WHERE lane = ? AND n = ?", (lane, n))
    return Sought(lanes[lane].token, n)


def _restore_erased(random: Random, copy: Copy) -> Sought:
    """What was lawfully erased is there again, out of a backup."""
    lanes = {lane.id: lane for lane in copy.lanes}
    id_, n = random.choice(copy.hand.ask("SELECT lane, n FROM erased"))
    lane = lanes[id_]
    with copy.scene.copy("backup") as backup:
        copy.hand.put("content", lane, n, backup.hand.get("content", lane, n))
    copy.hand.run("DELETE FROM erased WHERE lane = ? AND n = ?", (id_, n))
    return Sought(lane.token, n)


def _empty_exchange(random: Random, copy: Copy) -> Sought:
    """No exchange becomes one without a name: its link is the same."""
    while True:
        lane, n = _record(random, copy)
        if copy.hand.get("chain", lane, n)["exchange"] is None:
            copy.hand.set("chain", lane, n, {"exchange": ""})
            return Sought(lane.token, n)


def _edit_root(column: str) -> Named:
    def edit(random: Random, copy: Copy) -> Sought:
        number = random.randint(1, copy.scene.roots)
        if column == "number":
            copy.hand.run("UPDATE root SET number = ? WHERE number = ?", (number + 10_000, number))
        else:
            ((old,),) = copy.hand.ask(f"SELECT {column} FROM root WHERE number = ?", (number,))
            copy.hand.run(f"UPDATE root SET {column} = ? WHERE number = ?", (_other_bytes(random, old), number))
        return Sought(root=number)

    return edit


def _remove_roots(random: Random, copy: Copy) -> Sought:
    first = random.randint(1, copy.scene.roots)
    last = random.choice((first, copy.scene.roots, random.randint(first, copy.scene.roots)))
    copy.hand.run("DELETE FROM root WHERE number BETWEEN ? AND ?", (first, last))
    return Sought(root=first)


def _replay_root(random: Random, copy: Copy) -> Sought:
    """An old root in the place of a newer one, or after the last one."""
    old = random.randint(1, copy.scene.roots - 1)
    place = random.randint(old + 1, copy.scene.roots + 1)
    ((statement, signature),) = copy.hand.ask("SELECT statement, signature FROM root WHERE number = ?", (old,))
    copy.hand.run("DELETE FROM root WHERE number = ?", (place,))
    copy.hand.run("INSERT INTO root VALUES (?, ?, ?)", (place, statement, signature))
    return Sought(root=place)


def _edit_trail(column: str) -> Named:
    def edit(random: Random, copy: Copy) -> Sought:
        del random
        if column == "made_at":
            # (Another millennium: the last digits may be what a change makes them.)
            ((old,),) = copy.hand.ask("SELECT made_at FROM trail")
            copy.hand.run("UPDATE trail SET made_at = ?", ("1" + old[1:],))
        else:
            copy.hand.run("UPDATE trail SET id = ?", ("00000000-0000-4000-8000-00000000000E",))
        return Sought()

    return edit


def _stray_row(random: Random, copy: Copy) -> Sought:
    """A row in the tables of another day than its lane's."""
    lane, n = _record(random, copy)
    other = next(one for one in copy.lanes if one.day != lane.day)
    foreign = Lane(lane.id, lane.token, other.day, lane.writer, lane.key_id, lane.wrapped_key)
    copy.hand.put("chain", foreign, n, copy.hand.get("chain", lane, n))
    return Sought()


MANIPULATIONS: dict[str, Named] = {
    **{f"edit chain.{column}": _edit_chain(column) for column in ("kind", "at", "exchange", "commitment", "link")},
    **{f"edit {kind}.n": _renumber(kind) for kind in ("chain", "content")},
    **{f"edit {kind}.lane": _another_lane(kind) for kind in ("chain", "content")},
    "edit content.sealed": _edit_content,
    "edit a content with its key": _forge_content,
    "swap records of a lane": _swap("chain", lanes=False),
    "swap records of lanes": _swap("chain", lanes=True),
    "swap contents of a lane": _swap("content", lanes=False),
    "swap contents of lanes": _swap("content", lanes=True),
    "insert a record, relinked": _insert,
    "append to an ended lane, linked": _append,
    "append a record of hours ago, bound": _back_date,
    "append a record that is older than the last": _back_date_in_a_lane,
    "add a lane of a day that is over, bound": _back_date_a_lane,
    "add a content alone": _content_alone,
    "delete a record": _delete("chain", "content"),
    "delete a record, not its content": _delete("chain"),
    "delete a content": _delete("content"),
    "cut the tail of a lane": _cut,
    "rewrite a suffix, relinked": _rewrite,
    "rewrite, and sign all roots again": _rewrite_and_sign,
    "remove a lane": _remove_lane,
    "remove a lane, and sign all roots again": _remove_lane_and_sign,
    "remove the tables of a day": _drop_day("chain", "content"),
    "remove the chain of a day": _drop_day("chain"),
    "remove the contents of a day": _drop_day("content"),
    **{
        f"edit lane.{column}": _edit_lane(column)
        for column in ("id", "token", "day", "writer", "pid", "at", "key_id", "wrapped_key")
    },
    "swap the keys of lanes": _swap_keys,
    "edit lane_end.at": _edit_end,
    "remove the end of a lane": _remove_end,
    "add an end of a lane": _add_end,
    "erase without a tombstone": _erase,
    **{f"edit erased.{column}": _edit_erased(column) for column in ("lane", "n", "tombstone_lane", "tombstone_n")},
    "forget an erasure": _forget_erasure,
    "put back what was erased": _restore_erased,
    "empty an exchange": _empty_exchange,
    **{f"edit root.{column}": _edit_root(column) for column in ("number", "statement", "signature")},
    "remove roots": _remove_roots,
    "replay an old root": _replay_root,
    **{f"edit trail.{column}": _edit_trail(column) for column in ("id", "made_at")},
    "put a row among those of another day": _stray_row,
}
"""By what they do. Each is done to a trail of its own."""
