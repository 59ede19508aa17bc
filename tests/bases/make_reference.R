# What mgcv makes of smooths on thirty rows, for tests/bases/test_mgcv.py: Rscript tests/bases/make_reference.R
suppressMessages({ library(mgcv); library(jsonlite) })
i <- 1:30
d <- data.frame(x = round(10 * ((i * 0.618034) %% 1)^2, 3), z = round((i * 0.4142136) %% 1, 3),
                w = round(sin(i), 3), f = factor(c("a", "b", "c")[1 + i %% 3]))
new <- data.frame(x = c(-1, 0.5, 4.25, 12), z = c(0.2, 0.9, 0.5, 1.3), w = c(1, -0.5, 2, 0.3),
                  f = factor(c("a", "b", "b", "a"), levels = c("a", "b", "c")))
terms <- list(tp = quote(s(x, k = 7)), cr = quote(s(x, k = 7, bs = "cr")), cc = quote(s(x, k = 7, bs = "cc")),
              ps = quote(s(x, k = 7, bs = "ps")), surface = quote(s(x, z, k = 9)), number = quote(s(x, k = 6, by = w)),
              level = quote(s(x, k = 6, by = f)), knots = quote(s(x, k = 6, bs = "cc")))
known <- list(knots = list(x = c(0, 12)))
made <- lapply(names(terms), function(name) {
  sm <- smoothCon(eval(terms[[name]]), data = d, absorb.cons = TRUE, knots = known[[name]])
  sm <- sm[[if (name == "level") 2 else 1]]
  sd <- smoothCon(eval(terms[[name]]), data = d, absorb.cons = TRUE, diagonal.penalty = TRUE, knots = known[[name]])
  Z <- smooth2random(sd[[if (name == "level") 2 else 1]], names(d), type = 2)$rand[[1]]
  list(term = deparse(terms[[name]]), X = unname(sm$X), new = unname(PredictMat(sm, new)), penalised = unname(Z))
})
names(made) <- names(terms)
r <- 1:2100  # more distinct values than a thin plate spline has sites
many <- data.frame(x = round((r * 0.6180339887) %% 1, 8))
Z <- smooth2random(smoothCon(s(x, k = 8), data = many, absorb.cons = TRUE, diagonal.penalty = TRUE)[[1]], "x", type = 2)$rand[[1]]
made$many <- list(penalised = unname(Z)[1:20, ])
write(toJSON(list(mgcv = as.character(packageVersion("mgcv")), data = d, new_rows = new, terms = made), digits = 13),
      "tests/bases/mgcv.json")
