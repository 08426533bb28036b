"""The roots of a trail under verification: each against the one before it, and against the witness's."""

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Final

from smsp_provider.audit.chain import SignedRoot, TrailReader
from smsp_provider.audit.roots import RootChain, RootInvalid, RootStatement
from smsp_provider.audit.verified_lane import Finding
from smsp_provider.audit.witness import WitnessLineInvalid

__all__ = ["RootsCheck"]


class RootsCheck:
    """Goes through roots and lines side by side, as long as they agree; then through what the witness has.

    ``witness`` None: there is none to compare with. ``since``: signatures of roots before that day are left to the hash
    of the roots after them. Of a ``part`` of a trail the witness has more roots, before and after.
    """

    def __init__(
        self,
        reader: TrailReader,
        trail: str,
        witness: Iterable[SignedRoot] | None,
        since: date | None,
        *,
        part: bool = False,
    ) -> None:
        self._reader: Final = reader
        self._lines: Final = None if witness is None else iter(witness)
        self._since: Final = since
        self._part: Final = part
        self._chain: Final = RootChain(trail, part=part)
        self.findings: Final[list[Finding]] = []
        self.roots = 0
        """Roots of the database that were read."""
        self.witnessed = 0
        """Of these, those that the witness has to the byte."""

    @property
    def last(self) -> RootStatement | None:
        """The last root that was accepted, of the database or the witness."""
        return self._chain.last

    @property
    def signers(self) -> list[bytes]:
        """The keys that signed the roots, in order."""
        return self._chain.signers

    def statements(self) -> Iterator[RootStatement]:
        """The roots that lanes have to agree with, in order; ends at the first that does not follow."""
        line = self._next_line()
        for root in self._all_roots():
            self.roots += 1
            while self._part and line is not None and line.number < root.number:
                line = self._next_line()
            if line is not None and line != root:
                self._compare(root, line)
                break
            statement = self._accept(root)
            if statement is None:
                return
            if line is not None:
                self.witnessed += 1
                line = self._next_line()
            yield statement
        else:
            if self._part:
                return
            if line is not None:
                self._find(line.number, "the witness has it, and the database ends before it")
        while line is not None:
            statement = self._accept(line)
            if statement is None:
                return
            yield statement
            line = self._next_line()

    def _all_roots(self) -> Iterator[SignedRoot]:
        """Also those that are made meanwhile: the witness may have them, and its lines are read after these are."""
        last = 0
        while True:
            before = last
            for root in self._reader.roots(after=before):
                yield root
                last = root.number
            if last == before:
                return

    def _compare(self, root: SignedRoot, line: SignedRoot) -> None:
        """Say what is wrong where the two differ: the root by itself, or only that the witness has another one."""
        number = line.number
        if root.number != number:
            self._find(
                min(number, root.number), f"the witness goes on with root {number}, the database with {root.number}"
            )
            return
        try:
            self._chain.check(root)
        except RootInvalid as invalid:
            self._find(number, str(invalid))
        else:
            self._find(number, "the witness has another root of this number")

    def _accept(self, root: SignedRoot) -> RootStatement | None:
        try:
            return self._chain.accept(root, signed_since=self._since)
        except RootInvalid as invalid:
            self._find(root.number, str(invalid))
            return None

    def _next_line(self) -> SignedRoot | None:
        if self._lines is None:
            return None
        try:
            return next(self._lines, None)
        except WitnessLineInvalid as invalid:
            self.findings.append(Finding(f"the witness: {invalid}"))
            return None

    def _find(self, number: int, what: str) -> None:
        self.findings.append(Finding(what, root=number))
