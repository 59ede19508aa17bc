"""Every row of the table by its name, in the order of the page."""

from tests.benchmarks.measure import Row
from tests.benchmarks.rows import (
    cbpp,
    compressed,
    contraception,
    crossed_bernoulli,
    defaults,
    epilepsy,
    growth,
    insteval,
    many_bernoulli,
    million,
    parquet,
    prior_predictive,
    schools,
    sleepstudy,
    startup,
    tables,
)

ROWS: dict[str, Row] = {
    module.ROW.name: module.ROW
    for module in (
        sleepstudy,
        startup,
        million,
        insteval,
        schools,
        growth,
        parquet,
        cbpp,
        contraception,
        crossed_bernoulli,
        many_bernoulli,
        epilepsy,
        compressed,
        prior_predictive,
        defaults,
        tables,
    )
}
