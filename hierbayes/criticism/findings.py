"""What a finding is: a code, what was found, what to do. `docs/findings.md` has a paragraph for each code."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing worth knowing.

    Attributes
    ----------
    code : str
        ``"few-levels"``, ``"divergences"``, …
    found : str
        What was found, with the names and numbers.
    advice : str
        What to do about it.
    question : bool
        Whether it may as well be meant: told by `Model.check` or `Fit.check`, and not as a warning.
    """

    code: str
    found: str
    advice: str
    question: bool = False

    def __str__(self) -> str:
        return f"[{self.code}] {self.found}. {self.advice}."
