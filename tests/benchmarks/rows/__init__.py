"""Every row of the table by its name, in the order of the page."""

from tests.benchmarks.measure import Row
from tests.benchmarks.rows import (
    campaigns,
    cbpp,
    children,
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
    ticks,
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
        children,
        ticks,
        campaigns,
        compressed,
        prior_predictive,
        defaults,
        tables,
    )
}
