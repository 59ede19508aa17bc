# What merTools and performance compute from lme4's fits, written out; neither package is needed.
#
#   Rscript make_answers.R       rewrite predict_interval.csv and variance.csv beside this script
#
# Needs lme4 (the stored numbers are from 1.1-31). README.md says what is computed.

suppressPackageStartupMessages(library(lme4))
here <- dirname(normalizePath(sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))))
read_data <- function(name) {
  file <- Sys.glob(file.path(here, "..", "..", "hierbayes", "datasets", paste0(name, ".csv*")))
  read.csv(file, stringsAsFactors = TRUE)
}
write <- function(table, name) write.csv(table, file.path(here, name), row.names = FALSE, quote = FALSE)

# -- merTools::predictInterval(fit, rows, level = 0.8, stat = "median", include.resid.var = TRUE) -----------------------

normal <- function(n, mean, covariance) {
  rep(mean, each = n) + matrix(rnorm(n * length(mean)), n) %*% chol(covariance)
}

set.seed(1)
draws <- 200000
fit <- lmer(Reaction ~ Days + (Days | Subject), read_data("sleepstudy"))
beta <- normal(draws, fixef(fit), as.matrix(vcov(fit)))
devcomp <- getME(fit, "devcomp")
df <- devcomp$dims[["n"]] - devcomp$dims[["p"]]
sigma <- sqrt(1 / rgamma(draws, 0.5 * df, 0.5 * devcomp$cmp[["pwrss"]]))
modes <- ranef(fit, condVar = TRUE)$Subject
variances <- attr(modes, "postVar")
between <- as.matrix(VarCorr(fit)$Subject)

interval <- function(subject, group, effects) {
  do.call(rbind, lapply(c(0, 5, 9), function(days) {
    y <- drop((beta + effects) %*% c(1, days)) + rnorm(draws, 0, sigma)
    q <- quantile(y, c(0.5, 0.1, 0.9), names = FALSE)
    data.frame(subject, group, days, fit = q[1], lwr = q[2], upr = q[3])
  }))
}
known <- lapply(seq_len(nrow(modes)), function(level) {
  interval(rownames(modes)[level], "known", normal(draws, unlist(modes[level, ]), variances[, , level]))
})
# of a new group merTools leaves the effects at 0, and says so; "population" draws them, from lme4's estimate
new <- list(interval("new", "zero", 0), interval("new", "population", normal(draws, c(0, 0), between)))
intervals <- do.call(rbind, c(known, new))
intervals[, c("fit", "lwr", "upr")] <- round(intervals[, c("fit", "lwr", "upr")], 3)
write(intervals, "predict_interval.csv")

# -- performance::icc, performance::r2_nakagawa ------------------------------------------------------------------------

answers <- function(model, fixed, random, own) {
  data.frame(
    model,
    icc_adjusted = random / (random + own), icc_unadjusted = random / (random + fixed + own),
    r2_marginal = fixed / (fixed + random + own), r2_conditional = (fixed + random) / (fixed + random + own)
  )
}
along <- function(fit) var(drop(model.matrix(fit) %*% fixef(fit)))
# Johnson (2014): tr(Z Σ Z') / n
spread <- function(fit, group) {
  covariance <- as.matrix(VarCorr(fit)[[group]])
  z <- model.matrix(fit)[, colnames(covariance), drop = FALSE]
  mean(rowSums((z %*% covariance) * z))
}

cows <- transform(read_data("cbpp"), period = factor(period))
herds <- glmer(cbind(incidence, size - incidence) ~ period + (1 | herd), cows, family = binomial)
seizures <- read_data("epilepsy")
patients <- glmer(count ~ zAge + zBase * Trt + (1 | patient) + (1 | obs), seizures, family = poisson)
null <- glmer(count ~ 1 + (1 | patient) + (1 | obs), seizures, family = poisson)
patient <- VarCorr(patients)$patient[1]
obs <- VarCorr(patients)$obs[1] # dispersion, in performance's words: part of what is left
# the mean count: of the model without predictors (performance's), or this model's averaged over the rows (hierbayes')
of_null <- exp(fixef(null)[[1]] + (VarCorr(null)$patient[1] + VarCorr(null)$obs[1]) / 2)
of_rows <- mean(exp(drop(model.matrix(patients) %*% fixef(patients)) + (patient + obs) / 2))
variance <- rbind(
  answers("sleepstudy", along(fit), spread(fit, "Subject"), sigma(fit)^2),
  answers("cbpp", along(herds), VarCorr(herds)$herd[1], pi^2 / 3),
  answers("epilepsy", along(patients), patient, obs + log1p(1 / of_null)),
  answers("epilepsy_rows", along(patients), patient, obs + log1p(1 / of_rows))
)
variance[, -1] <- round(variance[, -1], 6)
write(variance, "variance.csv")
