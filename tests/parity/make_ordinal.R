# Posteriors of ordinal and categorical models by brms, and estimates by ordinal::clmm: Rscript make_ordinal.R
# Intercepts' priors are about centred predictors, as ours of thresholds are. Written to ordinal_reference.json.

suppressMessages({library(brms); library(ordinal); library(jsonlite); library(posterior)})
rstan::rstan_options(boost_lib = "/usr/include")
options(mc.cores = 2)

data(wine, package = "ordinal")
wine$score <- as.integer(wine$rating)
wine$liking <- factor(c("low", "low", "middle", "high", "high")[wine$score], levels = c("low", "middle", "high"))
data(inhaler, package = "brms")

common <- prior(normal(0, 2.5), class = Intercept) + prior(normal(0, 2.5), class = b) + prior(exponential(1), class = sd)
nominal <- do.call(c, lapply(c("mumiddle", "muhigh"), function(p) {
  set_prior("normal(0, 2.5)", class = "Intercept", dpar = p) + set_prior("normal(0, 2.5)", class = "b", dpar = p) +
    set_prior("exponential(1)", class = "sd", dpar = p)
}))
models <- list(
  wine_probit_disc = list(
    bf(rating ~ temp + contact + (1 | judge)) + lf(disc ~ 0 + contact, cmc = FALSE), wine, cumulative("probit"),
    common + prior(normal(0, 1), class = b, dpar = disc)),
  wine_equidistant = list(bf(rating ~ temp + contact + (1 | judge)), wine, cumulative(threshold = "equidistant"),
    common + prior(exponential(1), class = delta)),
  wine_by_contact = list(bf(rating | thres(gr = contact) ~ temp + (1 | judge)), wine, cumulative(), common),
  inhaler_cratio_cloglog = list(bf(rating ~ period + carry + treat + (1 | subject)), inhaler, cratio("cloglog"), common),
  inhaler_acat_cs = list(bf(rating ~ period + carry + cs(treat) + (1 | subject)), inhaler, acat(), common),
  inhaler_sratio_cs = list(bf(rating ~ period + carry + cs(treat) + (1 | subject)), inhaler, sratio(), common),
  wine_categorical = list(bf(liking ~ temp + contact + (1 | judge)), wine, categorical(), nominal)
)
found <- if (file.exists("ordinal_reference.json")) read_json("ordinal_reference.json") else list()
for (name in setdiff(names(models), names(found))) {
  m <- models[[name]]
  fit <- try(brm(m[[1]], data = m[[2]], family = m[[3]], prior = m[[4]], chains = 2, iter = 3500, warmup = 1000,
                 seed = 1, refresh = 0, control = list(adapt_delta = 0.95)))
  if (inherits(fit, "try-error")) next
  draws <- as_draws_df(fit)
  kept <- grep("^(b_|bcs_|sd_|disc|delta)", variables(draws), value = TRUE)
  s <- summarise_draws(draws[, c(kept, ".chain", ".iteration", ".draw")], "mean", "sd", "ess_bulk")
  found[[name]] <- lapply(split(s, seq_len(nrow(s))), function(r) as.list(r))
  names(found[[name]]) <- NULL
  write(toJSON(found, digits = 8, auto_unbox = TRUE, pretty = TRUE), "ordinal_reference.json")
}
# clmm (of 2022.11) has cloglog and loglog the other way round than clm and MASS::polr, which agree with brms
estimates <- list()
for (link in c("logit", "probit", "cloglog", "cauchit")) {
  asked <- if (link == "cloglog") "loglog" else link
  fit <- clmm(rating ~ temp + contact + (1 | judge), data = wine, link = asked, nAGQ = 21)
  estimates[[link]] <- c(as.list(coef(fit)), sd = sqrt(unlist(VarCorr(fit))[[1]]), logLik = as.numeric(logLik(fit)))
}
found$clmm <- estimates
found$clm <- lapply(c(logit = "logit", probit = "probit", cloglog = "cloglog", cauchit = "cauchit"), function(link) {
  fit <- clm(rating ~ temp + contact, data = wine, link = link)
  c(as.list(coef(fit)), logLik = as.numeric(logLik(fit)))
})
write(toJSON(found, digits = 8, auto_unbox = TRUE, pretty = TRUE), "ordinal_reference.json")
