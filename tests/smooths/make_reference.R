# mgcv's curve of the motorcycle data beside brms's: Rscript tests/smooths/make_reference.R
# The brms part is of brms 2.18, 2 x 2500 draws: accel ~ s(times, k = 15), normal(-25, 50) for the intercept,
# normal(0, 200) for b, exponential(0.01) for sds, exponential(0.05) for sigma; it stays as it is.
suppressMessages({ library(mgcv); library(jsonlite) })
file <- "tests/smooths/reference.json"
known <- fromJSON(file)
d <- read.csv("tests/smooths/mcycle.csv")
fit <- gam(accel ~ s(times, k = 15), data = d, method = "REML")
known$mgcv <- list(fit = as.numeric(predict(fit, data.frame(times = known$brms$at))), edf = sum(fit$edf) - 1)
write(toJSON(known, digits = 8, auto_unbox = TRUE, pretty = TRUE), file)
