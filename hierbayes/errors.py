"""The exceptions and warnings of hierbayes, drawn in one place.

::

    HierBayesError
    ├── FormulaError      (ValueError)           the formula's text cannot be read
    ├── DataError         (ValueError)           the data do not fit the model
    ├── PriorError        (ValueError)           a prior is misspelt, misaddressed or out of its domain
    └── UnsupportedError  (NotImplementedError)  a model that is meaningful but not fitted here

    DataWarning      (UserWarning)  a fact about the data worth knowing before sampling
    SamplingWarning  (UserWarning)  a fact about the draws worth knowing before using them
"""


class HierBayesError(Exception):
    """Root of every exception that hierbayes raises on purpose."""


class FormulaError(HierBayesError, ValueError):
    """A formula cannot be read to its end; the message points at the place with a caret."""


class DataError(HierBayesError, ValueError):
    """The data do not fit the model: a missing column, a value outside the family's support, …"""


class PriorError(HierBayesError, ValueError):
    """A prior names no known distribution or parameter, or its arguments are out of their domain."""


class UnsupportedError(HierBayesError, NotImplementedError):
    """The request is meaningful, but this version does not do it; the message says what does."""


class DataWarning(UserWarning):
    """A fact about the data that changes how far the answers can be trusted."""


class SamplingWarning(UserWarning):
    """A fact about the draws (divergences, R-hat, effective sample size) and what to do about it."""
