"""The batches that a list leaves out, as a newer release registered them."""

from contract.errors import NEXT_STEP, ErrorCode, PermanentError

MAX_NAMED = 3
NEXT = NEXT_STEP[ErrorCode.NEWER_RELEASE]


class LeftOut:
    """Collects them: an `on_unreadable` of `Batches.progress_of`."""

    def __init__(self) -> None:
        self._batches: list[str] = []

    def __call__(self, batch: str, _: PermanentError) -> None:
        self._batches.append(batch)

    @property
    def sentence(self) -> str:
        """How many were left out, and which; empty if none."""
        count, named = len(self._batches), ", ".join(self._batches[:MAX_NAMED])
        if not count:
            return ""
        subject = "1 batch comes" if count == 1 else f"{count:,} batches come"
        more = " and others" if count > MAX_NAMED else ""
        return f"{subject} from a newer release, which this one cannot read: {named}{more}."

    @property
    def notice(self) -> str:
        """The same with the next step."""
        return f"{self.sentence} {NEXT}" if self._batches else ""
