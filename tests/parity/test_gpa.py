"""Growth of college grades: 200 students × 6 occasions (Hox, Multilevel Analysis). The data are not ours to ship."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hierbayes as hb

CSV = Path(__file__).parents[3] / "shared" / "data" / "gpa.csv"


@pytest.mark.skipif(
    not CSV.exists(), reason="the GPA data may not be redistributed; put gpa.csv in ../shared/data"
)
def test_gpa_gives_the_published_answers():
    fit = hb.fit("gpa ~ occasion + (1 | student)", pd.read_csv(CSV), seed=1, draws=2000, progress=False)
    fixed = fit.fixef().set_index("effect")
    np.testing.assert_allclose(fixed["mean"], [2.599, 0.106], atol=0.003)
    np.testing.assert_allclose(fixed["sd"], [0.022, 0.004], atol=0.001)
    sds = fit.varcorr().set_index("group")["mean"]
    assert sds["student"] == pytest.approx(0.252, abs=0.003)
    assert sds["Residual"] == pytest.approx(0.241, abs=0.002)
    sd, sigma = (fit.posterior[name].to_numpy().ravel() for name in ("sd_student", "sigma"))
    assert np.mean(sd**2 / (sd**2 + sigma**2)) == pytest.approx(0.52, abs=0.01)
    assert fit.icc().set_index("group").loc["student", "mean"] == pytest.approx(0.52, abs=0.01)
    students = fit.ranef().set_index("level").loc[[1, 2, 3, 4, 5], "mean"]
    np.testing.assert_allclose(students, [-0.071, -0.216, 0.088, -0.187, 0.030], atol=0.01)
