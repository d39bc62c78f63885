"""The name of a model on the Hub."""

import re
from dataclasses import dataclass

_WORD = r"[A-Za-z0-9_](?:[\w.-]{0,94}\w)?"
_REFERENCE = re.compile(rf"({_WORD}/{_WORD})(?:@(\w(?:[\w./-]*\w)?))?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Reference:
    """``owner/name[@revision]``: a repo and its branch, tag or commit, ``main`` if there is none.

    Both parts are safe to use in paths.
    """

    repo: str
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Reference | None":
        """Parse ``text``; None if it has another form."""
        match = _REFERENCE.fullmatch(text)
        if match is None or ".." in text or "--" in match[1] or match[1].endswith(".git"):
            return None
        return cls(match[1], match[2])

    @property
    def commit(self) -> str | None:
        """The revision, if it is a full commit hash, which never changes its meaning."""
        return self.revision if self.revision and _COMMIT.fullmatch(self.revision) else None

    def __str__(self) -> str:
        return f"{self.repo}@{self.revision}" if self.revision else self.repo
