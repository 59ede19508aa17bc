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
    first,
    growth,
    insteval,
    large_crossed,
    many_bernoulli,
    million,
    parquet,
    prior_predictive,
    responses,
    schools,
    sleepstudy,
    smooths,
    startup,
    structured,
    tables,
    ticks,
)

ROWS: dict[str, Row] = {
    row.name: row
    for row in (
        sleepstudy.ROW,
        startup.ROW,
        first.ROW,
        million.ROW,
        insteval.ROW,
        schools.ROW,
        growth.ROW,
        parquet.ROW,
        cbpp.ROW,
        contraception.ROW,
        crossed_bernoulli.ROW,
        many_bernoulli.ROW,
        epilepsy.ROW,
        children.ROW,
        ticks.ROW,
        campaigns.ROW,
        compressed.ROW,
        *large_crossed.ROWS,
        *responses.ROWS,
        *structured.ROWS,
        *smooths.ROWS,
        prior_predictive.ROW,
        defaults.ROW,
        tables.ROW,
    )
}
