"""Names that were probably meant: slips of the finger, never another thing that merely has a similar name."""

import difflib
from collections.abc import Iterable


def meant(word: str, known: Iterable[str], cutoff: float = 0.6) -> list[str]:
    """The known names, at most three, of which `word` may be a misspelling; the nearest first.

    A known name with more around it is not misspelt but another thing: an ex-Gaussian is no Gaussian, logit no log.

    Examples
    --------
    >>> meant("gausian", ["gaussian", "gamma"]), meant("exgaussian", ["gaussian", "gamma"])
    (['gaussian'], [])
    >>> meant("lgo", ["log", "exp"]), meant("logit", ["log", "exp"]), meant("log2", ["log", "exp"])
    (['log'], [], [])
    """
    words = sorted(name for name in known if not _is_variant(word.lower(), name.lower()))
    near = [
        name
        for spelt in (word, word.lower())
        for name in difflib.get_close_matches(spelt, words, cutoff=cutoff)
    ]
    return list(dict.fromkeys(near))[:3]


def _is_variant(word: str, name: str) -> bool:
    before, found, after = word.partition(name)
    more = before + after
    return bool(found) and (len(more) > 1 or more.isdigit())
