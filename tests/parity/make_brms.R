# Posteriors of brms under priors that are all written out, for brms_posteriors.json: Rscript make_brms.R FOLDER [model ...]
#
# Needs brms and rstan (Debian: r-cran-brms); a model compiles for a minute or two. Rows are in brms/: of the package's own
# data sets with predictors centred and scaled, of nlme's Ovary, and simulated (members, errors, shares, sim, hs, mm, catch,
# rt). FOLDER gets a file a model, of all variables; brms_posteriors.json has those that are compared. Four older entries,
# ovary_ar, catch_hurdle_lognormal, rt_shifted and mm_mm, were made in the same way, with 2 chains of 2500 draws.
suppressMessages({library(brms); library(posterior)})
rstan::rstan_options(boost_lib = "/usr/include")
FOLDER <- commandArgs(TRUE)[1]
P <- function(...) do.call(c, lapply(list(...), function(p) do.call(set_prior, as.list(p))))
I <- function(p, ...) c(prior = p, class = "Intercept", ...)
B <- function(p, ...) c(prior = p, class = "b", ...)
S <- function(p, ...) c(prior = p, class = "sd", ...)
C <- function(p, class, ...) c(prior = p, class = class, ...)
M <- list()
read <- function(n) read.csv(file.path("brms", paste0(n, ".csv")), stringsAsFactors = FALSE, na.strings = c("NA", ""))
mat <- function(n) as.matrix(read.csv(file.path("brms", paste0(n, ".csv")), row.names = 1, check.names = FALSE))
base <- list(I("normal(0, 3)"), B("normal(0, 1)"), S("exponential(1)"), C("exponential(1)", "sigma"))
M$gr_student <- list(data = "sleep", formula = quote(y ~ Dc + (Dc | gr(Subject, dist = "student"))),
  prior = list(I("normal(3, 1)"), B("normal(0, 0.2)"), S("exponential(2)"), C("lkj(2)", "cor"), C("exponential(2)", "sigma"), C("gamma(2, 0.1)", "df", group = "Subject")))
M$gr_by <- list(data = "orthodont", formula = quote(distance ~ agec * sex + (agec | gr(child, by = sex))),
  prior = list(I("normal(24, 5)"), B("normal(0, 2)"), S("exponential(0.5)"), C("lkj(2)", "cor"), C("exponential(1)", "sigma")))
M$mmc <- list(data = "members", formula = quote(y ~ x1 + (1 + mmc(x1, x2) | mm(g1, g2))), prior = c(base, list(C("lkj(1)", "cor"))))
M$bym2 <- list(data = "sids", formula = quote(deaths ~ x + offset(logb) + car(W, gr = county, type = "bym2")), family = "poisson",
  prior = list(I("normal(0, 1)"), B("normal(0, 1)"), C("exponential(2)", "sdcar"), C("beta(1, 1)", "rhocar")), data2 = list(W = "sids_W"))
M$cosy <- list(data = "orthodont", formula = quote(distance ~ agec * sex + cosy(gr = child)), prior = list(I("normal(24, 5)"), B("normal(0, 2)"), C("exponential(1)", "sigma")))
M$id_sigma <- list(data = "sleep", formula = quote(bf(y ~ Dc + (Dc | p | Subject), sigma ~ 1 + (1 | p | Subject))),
  prior = list(I("normal(3, 1)"), B("normal(0, 0.2)"), S("exponential(2)"), C("lkj(2)", "cor"), I("normal(-1, 1)", dpar = "sigma"), S("exponential(1)", dpar = "sigma")))
M$two_gauss <- list(data = "bdf", formula = quote(bf(l ~ q + (1 | p | school)) + bf(a ~ q + (1 | p | school)) + set_rescor(TRUE)),
  prior = list(I("normal(0, 1)", resp = "l"), I("normal(0, 1)", resp = "a"), B("normal(0, 1)", resp = "l"), B("normal(0, 1)", resp = "a"), S("exponential(1)", resp = "l"), S("exponential(1)", resp = "a"),
    C("exponential(1)", "sigma", resp = "l"), C("exponential(1)", "sigma", resp = "a"), C("lkj(2)", "cor"), C("lkj(1)", "rescor")))
sm <- list(I("normal(0, 3)"), B("normal(0, 2)"), C("exponential(1)", "sds"), C("exponential(1)", "sigma"))
M$s_by <- list(data = "chile", formula = quote(statusquo ~ sex + s(age, by = sex, k = 6)), factors = "sex", prior = sm)
M$mo_g <- list(data = "chile", formula = quote(statusquo ~ mo(inc) + (mo(inc) | region)), prior = list(I("normal(0, 3)"), B("normal(0, 0.5)"), S("exponential(2)"), C("lkj(2)", "cor"), C("exponential(1)", "sigma"), C("dirichlet(1)", "simo", coef = "moinc1")))
M$me <- list(data = "errors", formula = quote(bf(y ~ me(xo, sdx) + v + (1 | g))), prior = c(base, list(C("normal(0, 1)", "meanme"), C("exponential(1)", "sdme"))))
M$mi <- list(data = "errors", formula = quote(bf(ym ~ mi(xm) + v) + bf(xm | mi() ~ v) + set_rescor(FALSE)),
  prior = list(I("normal(0, 3)", resp = "ym"), I("normal(0, 3)", resp = "xm"), B("normal(0, 1)", resp = "ym"), B("normal(0, 1)", resp = "xm"), C("exponential(1)", "sigma", resp = "ym"), C("exponential(1)", "sigma", resp = "xm")))
M$nl <- list(data = "loblolly", formula = quote(bf(h ~ Asym - (Asym - R0) * exp(-exp(lrc) * age10), Asym ~ 1 + (1 | seed), R0 ~ 1, lrc ~ 1, nl = TRUE)),
  prior = list(B("normal(10, 3)", nlpar = "Asym"), B("normal(0, 1)", nlpar = "R0"), B("normal(-1, 1)", nlpar = "lrc"), S("exponential(2)", nlpar = "Asym"), C("exponential(5)", "sigma")))
M$r2d2 <- list(data = "hs", formula = quote(y ~ x1 + x2 + x3 + x4 + x5 + x6 + x7 + x8), prior = list(I("normal(0, 5)"), B("R2D2(mean_R2 = 0.4, prec_R2 = 5, cons_D2 = 0.7)"), C("exponential(1)", "sigma")))
M$hurdle_gamma <- list(data = "mroz", formula = quote(bf(w ~ e + x, hu ~ k + e, shape ~ x)), family = "hurdle_gamma()",
  prior = list(I("normal(1, 1)"), B("normal(0, 1)"), I("normal(0, 1)", dpar = "hu"), B("normal(0, 1)", dpar = "hu"), I("normal(1, 1)", dpar = "shape"), B("normal(0, 0.5)", dpar = "shape")))
M$zoib <- list(data = "shares", formula = quote(bf(y ~ x + (1 | g), zoi ~ x, coi ~ x, phi ~ x)), family = "zero_one_inflated_beta()",
  prior = list(I("normal(0, 1)"), B("normal(0, 1)"), S("exponential(1)"), I("normal(0, 1)", dpar = "zoi"), B("normal(0, 1)", dpar = "zoi"), I("normal(0, 1)", dpar = "coi"), B("normal(0, 1)", dpar = "coi"), I("normal(1, 1)", dpar = "phi"), B("normal(0, 0.5)", dpar = "phi")))
M$weibull_cens <- list(data = "kidney", formula = quote(t | cens(cens) ~ agec + male + (1 | patient)), family = "weibull()", prior = list(I("normal(0, 2)"), B("normal(0, 1)"), S("exponential(1)"), C("gamma(2, 1)", "shape")))
M$gamma_trunc <- list(data = "sim_trunc", formula = quote(yt | trunc(lb = 0.3) ~ x + (1 | g)), family = "Gamma(link = \"log\")", prior = list(I("normal(0, 2)"), B("normal(0, 1)"), S("exponential(1)"), C("gamma(2, 1)", "shape")))
M$cox <- list(data = "sim", formula = quote(ty | cens(tc) ~ x + (1 | g)), family = "cox()", prior = list(I("normal(0, 2)"), B("normal(0, 1)"), S("exponential(1)"), C("dirichlet(1)", "sbhaz")))
M$exgaussian <- list(data = "sim", formula = quote(ex ~ x + (1 | g)), family = "exgaussian()", prior = c(base, list(C("gamma(2, 2)", "beta"))))
M$skew_normal <- list(data = "sim", formula = quote(ex ~ x + (1 | g)), family = "skew_normal()", prior = c(base, list(C("normal(0, 4)", "alpha"))))

wanted <- commandArgs(TRUE)[-1]
for (n in if (length(wanted)) wanted else names(M)) {
  m <- M[[n]]
  d <- read(m$data)
  for (f in m$factors) d[[f]] <- factor(d[[f]])
  for (f in intersect(c("patient", "Subject", "child", "county", "school", "seed"), names(d))) d[[f]] <- as.character(d[[f]])
  f <- eval(m$formula)
  family <- if (is.null(m$family)) gaussian() else eval(parse(text = m$family))
  if (is.function(family)) family <- family()
  a <- list(formula = f, data = d, family = family, prior = do.call(P, m$prior), data2 = lapply(m$data2, mat))
  if (inherits(f, "mvbrmsformula")) a$family <- NULL
  fit <- do.call(brm, c(a, list(chains = 4, iter = 2500, warmup = 700, seed = 1, control = list(adapt_delta = 0.95))))
  draws <- summarise_draws(fit, mean, sd, ess_bulk, mcse_mean, mcse_sd)
  divergent <- sum(nuts_params(fit, pars = "divergent__")$Value)
  jsonlite::write_json(list(draws = draws, divergences = divergent), file.path(FOLDER, paste0(n, ".json")), digits = 8, auto_unbox = TRUE)
}
