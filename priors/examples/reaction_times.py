"""Beliefs about reaction times, the data they imply, a look, a revision: before any data are seen."""

import matplotlib

matplotlib.use("Agg")
import hierbayes as hb

rows = hb.design_grid(subject=20, day=range(10))
beliefs = {
    "Intercept": "Normal(300, 100)",  # ms, at the mean day
    "b": "Normal(0, 100)",  # ms a day: far too wide, as the simulation shows
    "sd": "HalfNormal(50)",
    "sigma": "HalfNormal(50)",
}
first = hb.Model("rt ~ day + (day | subject)", rows, priors=beliefs)
print("First beliefs\n", first.prior_summary(), "\n", sep="")

revised = hb.Model(
    "rt ~ day + (day | subject)",
    rows,
    priors=[beliefs, {"b": "Normal(0, 15)", "sd[subject, day]": "HalfNormal(10)"}],
)
print("Revised\n", revised.prior_summary(), sep="")
print(revised.priors.to_string(index=False))

axes = revised.plot_prior_predictive(bounds=(100, 600), label="reaction time (ms)", seed=1)
axes[0].figure.savefig("reaction_times.png", dpi=100)
