# A job by lme4: Rscript with_lme4.R JOB. Point estimates, with the package's default optimizers.
suppressPackageStartupMessages({
  library(lme4)
  library(jsonlite)
})

job <- fromJSON(commandArgs(TRUE)[1], simplifyVector = FALSE)
columns <- fromJSON(file.path(job$folder, "columns.json"), simplifyVector = FALSE)
data <- lapply(seq_along(columns), function(j) {
  file <- file.path(job$folder, paste0(j - 1, ".f8"))
  values <- readBin(file, "double", file.size(file) / 8, endian = "little")
  levels <- unlist(columns[[j]]$levels)
  if (is.null(levels)) values else factor(levels[values + 1], levels = levels)
})
names(data) <- vapply(columns, function(column) column$name, "")
data <- as.data.frame(data, check.names = FALSE)

fit_once <- function() {
  if (job$family == "gaussian") {
    lmer(as.formula(job$formula), data)
  } else {
    glmer(as.formula(job$formula), data, family = job$family)
  }
}
times <- suppressMessages(suppressWarnings(sapply(seq_len(1 + job$repeats), function(i) system.time(fit_once())[1:3])))
counted <- if (job$repeats > 0) times[, -1, drop = FALSE] else times
cat(toJSON(list(
  seconds = median(counted[3, ]),
  cpu = median(colSums(counted[1:2, , drop = FALSE])),
  first = unname(times[3, 1]),
  draws = "point estimate",
  version = paste("lme4", packageVersion("lme4"))
), auto_unbox = TRUE, digits = 6), "\n")
