# Fit the reference models with lme4 and write lme4_reference.json beside this script.
#
#   Rscript make_reference.R                     refit everything, rewrite lme4_reference.json
#   Rscript make_reference.R --check             refit everything, compare with lme4_reference.json
#   Rscript make_reference.R --check cbpp …      the same for the models named
#
# Needs the R packages lme4 (the stored numbers are from 1.1-31) and jsonlite. The data are the CSV files that ship
# with the package, so that both sides of the comparison read the same bytes; README.md names their R packages.

suppressPackageStartupMessages({
  library(lme4)
  library(jsonlite)
})

here <- dirname(normalizePath(sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))))
stored <- file.path(here, "lme4_reference.json")

# Text columns become factors with sorted levels; codes such as "308" become numbers, which lme4 turns into factors
# where they group. So `Trt`, `service` and `nutrient` are numeric covariates here.
read_data <- function(name) {
  file <- Sys.glob(file.path(here, "..", "..", "hierbayes", "datasets", paste0(name, ".csv*")))
  read.csv(file, stringsAsFactors = TRUE) # reads .xz as it is
}

arabidopsis <- function() transform(read_data("arabidopsis"), rack = factor(rack))

models <- list(
  sleepstudy_slopes = function() lmer(Reaction ~ Days + (Days | Subject), read_data("sleepstudy")),
  sleepstudy_intercepts = function() lmer(Reaction ~ Days + (1 | Subject), read_data("sleepstudy")),
  sleepstudy_uncorrelated = function() lmer(Reaction ~ Days + (Days || Subject), read_data("sleepstudy")),
  cbpp = function() {
    data <- transform(read_data("cbpp"), period = factor(period))
    glmer(cbind(incidence, size - incidence) ~ period + (1 | herd), data, family = binomial)
  },
  pastes_nested = function() lmer(strength ~ 1 + (1 | batch / cask), read_data("pastes")),
  dyestuff2_singular = function() lmer(Yield ~ 1 + (1 | Batch), read_data("dyestuff2")),
  insteval_crossed = function() lmer(y ~ service + (1 | s) + (1 | d) + (1 | dept), read_data("insteval")),
  radon_slopes = function() lmer(log_radon ~ floor + log_uranium + (floor | county), read_data("radon")),
  radon_intercepts = function() lmer(log_radon ~ floor + log_uranium + (1 | county), read_data("radon")),
  oats_splitplot = function() lmer(yield ~ nitro + Variety + (1 | Block / Variety), read_data("oats")),
  hsb82_slopes = function() lmer(mAch ~ meanses * cses + sector * cses + (cses | school), read_data("hsb82")),
  contraception = function() {
    glmer(use ~ age + I(age^2) + urban + livch + (1 | district), read_data("contraception"), family = binomial)
  },
  epilepsy_olre = function() {
    glmer(count ~ zAge + zBase * Trt + (1 | patient) + (1 | obs), read_data("epilepsy"), family = poisson)
  },
  arabidopsis = function() {
    glmer(total.fruits ~ nutrient * amd + rack + status + (1 | popu) + (1 | gen), arabidopsis(), family = poisson)
  }
)

summarise <- function(fit, seconds) {
  effects <- ranef(fit, condVar = FALSE)
  list(
    fixef = as.list(fixef(fit)),
    se = as.list(sqrt(diag(as.matrix(vcov(fit))))),
    varcorr = as.data.frame(VarCorr(fit)),
    logLik = as.numeric(logLik(fit)),
    reml = isREML(fit),
    nobs = nobs(fit),
    singular = isSingular(fit),
    seconds = round(seconds, 3),
    # A factor with more than 100 levels stays empty: the file is for reading, too.
    ranef = lapply(unclass(effects)[names(effects)], function(table) {
      if (nrow(table) <= 100) data.frame(level = rownames(table), table, check.names = FALSE)
    })
  )
}

refit <- function(name) {
  seconds <- system.time(fit <- models[[name]]())[["elapsed"]]
  summarise(fit, seconds)
}

as_json <- function(x) toJSON(x, auto_unbox = TRUE, digits = 8, na = "null", pretty = TRUE)

# Largest difference of a block of numbers: relative to the stored number, or to 0.01 where that is smaller.
# NA where the two blocks have different names, shapes or texts.
distance <- function(new, old) {
  new <- unlist(new)
  old <- unlist(old)
  if (!identical(names(new), names(old)) || length(new) != length(old)) return(NA)
  x <- suppressWarnings(as.numeric(new)) # a level's name becomes NA
  y <- suppressWarnings(as.numeric(old))
  text <- is.na(y)
  if (!identical(new[text], old[text])) return(NA)
  max(0, abs(x - y)[!text] / pmax(abs(y[!text]), 0.01))
}

check <- function(names) {
  old <- fromJSON(stored, simplifyVector = FALSE)
  blocks <- c("fixef", "se", "varcorr", "logLik", "ranef")
  worst <- t(sapply(names, function(name) {
    new <- fromJSON(as_json(refit(name)), simplifyVector = FALSE)
    same <- identical(new[c("reml", "nobs", "singular")], old[[name]][c("reml", "nobs", "singular")])
    c(sapply(blocks, function(block) distance(new[[block]], old[[name]][[block]])), flags = if (same) 0 else NA)
  }))
  print(signif(worst, 2))
  close <- !is.na(worst) & worst < 1e-4
  bad <- names[rowSums(close) < ncol(close)]
  if (length(bad)) stop("differs from ", basename(stored), ": ", paste(bad, collapse = ", "))
}

arguments <- commandArgs(TRUE)
if (length(arguments) && arguments[1] == "--check") {
  check(if (length(arguments) > 1) arguments[-1] else names(models))
} else {
  writeLines(as_json(sapply(names(models), refit, simplify = FALSE)), stored)
}
