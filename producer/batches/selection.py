"""Chooses the photographs of a batch among the objects of its source."""

import fnmatch
import hashlib
import heapq
import re
from collections.abc import Iterable

import structlog

from contract import names
from contract.batch import BatchSpec
from contract.storage import ObjectInfo
from producer.batches.locations import is_below
from producer.batches.outputs import OutputIndex

log = structlog.get_logger(__name__)

MAX_LINKED_FOLDERS = 10
"""Links to folders that a batch names; the log has all."""
MAX_UNREADABLE_ROWS = 10
"""Unreadable rows of a manifest that a batch names; the log has all."""


def linked_folders_text(folders: Iterable[str]) -> str:
    """Return the sentences about links to folders; empty without any."""
    shown = ", ".join(map(names.printable, folders))
    return (
        f"Linked folders are not followed: {shown}. Submit each as a source of its own."
        if shown
        else ""
    )


def unreadable_text(count: int, rows: Iterable[str]) -> str:
    """Return the sentences about rows that cannot be read; empty without any.

    `rows`: the first ones, such as `line 7: not JSON`.
    """
    shown = "; ".join(map(names.printable, rows))
    return (
        f"{count:,} rows of the manifest cannot be read and were left out: {shown}. Submit them"
        " again, corrected."
        if count
        else ""
    )


class PhotographFilter:
    """Drops what is no photograph, or not in the selection, and counts it.

    `choose` returns what a page adds to the batch, and `rest` what is added at the end.
    """

    def __init__(self, spec: BatchSpec, outputs: OutputIndex | None) -> None:
        """Prepare for a batch. `outputs`: set if only changed photographs are selected."""
        selection = spec.selection
        self.ignored = 0
        """objects that are no photographs"""
        self.excluded = 0
        """photographs that are not in the selection"""
        self.linked_folders: list[str] = []
        """the first MAX_LINKED_FOLDERS links to folders, all of which count as ignored"""
        self.unreadable = 0
        """rows of a manifest that cannot be read"""
        self.unreadable_rows: list[str] = []
        """the first MAX_UNREADABLE_ROWS of them"""
        self.taken = 0
        """photographs that are in the batch"""
        self._limit = selection.limit
        self._sample = Sample(selection.sample) if selection.sample else None
        self._batch = spec.id
        self._is_ours = is_below(spec.destination, spec.source)
        self._include = _matcher(selection.include)
        self._exclude = _matcher(selection.exclude)
        self._since = selection.since or 0
        self._outputs = outputs
        self._everything = not (self._include or self._exclude or self._since or outputs)

    def skip_linked(self, folders: Iterable[str]) -> None:
        """Count and name links to folders, which are not followed."""
        for folder in folders:
            if self._is_ours(folder):
                continue
            self.ignored += 1
            printable = names.printable(folder)
            log.warning("linked folder not followed", batch=self._batch, folder=printable)
            if len(self.linked_folders) < MAX_LINKED_FOLDERS:
                self.linked_folders.append(printable)  # JSON holds no name that is not Unicode

    def skip_unreadable(self, rows: Iterable[str]) -> None:
        """Count and name the rows of a manifest that cannot be read."""
        for row in rows:
            self.unreadable += 1
            log.warning("unreadable row left out", batch=self._batch, row=names.printable(row))
            if len(self.unreadable_rows) < MAX_UNREADABLE_ROWS:
                self.unreadable_rows.append(row)

    def choose(self, items: Iterable[ObjectInfo]) -> list[ObjectInfo]:
        photographs = []
        for item in items:
            if self._is_ours(item.key):
                # a folder with such a name may be the user's all the same
                self.ignored += names.is_reserved(item.key) and names.is_image(item.key)
                continue
            if names.is_image(item.key) and not names.is_companion(item.key):
                photographs.append(item)
            else:
                self.ignored += 1
        if self._everything:
            chosen = photographs
        else:
            chosen = [item for item in photographs if self._is_selected(item)]
        if self._sample:
            self._sample.add(chosen)
            chosen = []
        return self._take(chosen, len(photographs))

    def rest(self) -> list[ObjectInfo]:
        """Return the sample, if the selection has one."""
        if not self._sample:
            return []
        chosen = self._sample.photographs()
        self.excluded -= len(chosen)
        return self._take(chosen, len(chosen))

    @property
    def is_full(self) -> bool:
        """True once the batch has as many photographs as the selection allows."""
        return self._limit is not None and self.taken >= self._limit

    def _take(self, chosen: list[ObjectInfo], seen: int) -> list[ObjectInfo]:
        """Return what the limit allows of the chosen ones, and count the rest of the `seen`."""
        if self._limit is not None:
            chosen = chosen[: self._limit - self.taken]
        self.taken += len(chosen)
        self.excluded += seen - len(chosen)
        return chosen

    def _is_selected(self, item: ObjectInfo) -> bool:
        if self._include and not self._include.match(item.key):
            return False
        if self._exclude and self._exclude.match(item.key):
            return False
        if item.modified < self._since:
            return False
        return not (self._outputs and self._outputs.has_newer(item))


def _matcher(globs: tuple[str, ...]) -> re.Pattern[str] | None:
    """Return a pattern that matches what any of the globs matches; None without globs."""
    return re.compile("|".join(map(fnmatch.translate, globs))) if globs else None


class Sample:
    """Some photographs out of many: those whose keys have the smallest digests.

    The same source always gives the same sample, in whatever order it is listed.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._chosen: list[tuple[int, ObjectInfo]] = []
        """a heap with the largest digest first: (negated digest, photograph)"""

    def add(self, items: Iterable[ObjectInfo]) -> None:
        for item in items:
            key = item.key.encode(errors="surrogatepass")  # a manifest may name any text
            digest = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest())
            if len(self._chosen) < self._size:
                heapq.heappush(self._chosen, (-digest, item))
            elif -digest > self._chosen[0][0]:
                heapq.heapreplace(self._chosen, (-digest, item))

    def photographs(self) -> list[ObjectInfo]:
        """Return the sample in the order of the keys."""
        return sorted(item for _, item in self._chosen)
