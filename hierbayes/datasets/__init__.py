"""Small data sets that ship with the package, each with its source."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING

from hierbayes.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DATASETS", "load_dataset"]

_NO_YES = ("N", "Y")
_ONE_TO_FOUR = ("1", "2", "3", "4")


@dataclass(frozen=True, slots=True)
class _Dataset:
    """A shipped file and how to read its columns; a column not named here is a number."""

    description: str
    file: str
    text: tuple[str, ...] = ()
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # in R's order


_SHIPPED = {
    "sleepstudy": _Dataset(
        "Reaction times of 18 sleep-deprived subjects over 10 days",
        "sleepstudy.csv",
        text=("Subject",),
    ),
    "cbpp": _Dataset(
        "New cases of bovine pleuropneumonia in 15 Ethiopian herds over 4 periods",
        "cbpp.csv",
        text=("herd",),
        levels={"period": _ONE_TO_FOUR},
    ),
    "radon": _Dataset(
        "Radon in 919 houses of 85 Minnesota counties",
        "radon.csv",
        text=("county",),
    ),
    "pastes": _Dataset(
        "Strength of a chemical paste, 3 casks nested in each of 10 batches",
        "pastes.csv",
        text=("batch", "cask", "sample"),
    ),
    "dyestuff2": _Dataset(
        "Simulated dyestuff yields of 6 batches whose variance is estimated as zero",
        "dyestuff2.csv",
        text=("Batch",),
    ),
    "oats": _Dataset(
        "Split-plot experiment on 3 varieties of oats and 4 amounts of nitrogen",
        "oats.csv",
        text=("Block", "Variety"),
    ),
    "contraception": _Dataset(
        "Use of contraception by 1934 women in 60 districts of Bangladesh",
        "contraception.csv",
        text=("woman", "district"),
        levels={"use": _NO_YES, "livch": ("0", "1", "2", "3+"), "urban": _NO_YES},
    ),
    "epilepsy": _Dataset(
        "Seizure counts of 59 patients at 4 visits in a randomized trial",
        "epilepsy.csv",
        text=("patient", "obs"),
        levels={"visit": _ONE_TO_FOUR},
    ),
    "insteval": _Dataset(
        "73421 ratings of 1128 lecturers by 2972 students of ETH Zürich, crossed",
        "insteval.csv.xz",
        text=("s", "d", "dept"),
    ),
    "arabidopsis": _Dataset(
        "Fruits of 625 Arabidopsis plants by nutrients and simulated herbivory",
        "arabidopsis.csv",
        text=("reg", "popu", "gen", "rack"),
        levels={"amd": ("clipped", "unclipped"), "status": ("Normal", "Petri.Plate", "Transplant")},
    ),
    "hsb82": _Dataset(
        "Mathematics achievement of 7185 pupils in 160 US high schools",
        "hsb82.csv.xz",
        text=("school", "sx", "sector"),
        levels={"minrty": ("No", "Yes")},
    ),
    "bdf": _Dataset(
        "Language and arithmetic tests of 2287 pupils in 131 Dutch schools",
        "bdf.csv",
        text=("school", "pupil"),
    ),
    "wine": _Dataset(
        "Bitterness of white wine, 1 to 5, rated by 9 judges in a factorial experiment",
        "wine.csv",
        text=("bottle", "judge"),
        levels={"temp": ("cold", "warm"), "contact": ("no", "yes")},
    ),
    "inhaler": _Dataset(
        "Clarity of the leaflets of two inhalers, 1 to 4, rated by 286 subjects of a cross-over trial",
        "inhaler.csv",
        text=("subject",),
    ),
    "bcg": _Dataset(
        "13 trials of BCG vaccine against tuberculosis: log risk ratios and their standard errors",
        "bcg.csv",
        text=("trial", "author", "allocation"),
    ),
    "kidney": _Dataset(
        "Days until the infection of a catheter, twice for each of 38 kidney patients, some censored",
        "kidney.csv",
        text=("patient", "sex", "disease"),
    ),
    "loblolly": _Dataset(
        "Height of loblolly pines of 14 seed sources at six ages",
        "loblolly.csv",
        text=("seed",),
    ),
    "faithful": _Dataset(
        "Waiting times between eruptions of the Old Faithful geyser, and how long each eruption was",
        "faithful.csv",
    ),
    "galaxies": _Dataset(
        "Velocities of 82 galaxies from the Corona Borealis region",
        "galaxies.csv",
    ),
    "salamanders": _Dataset(
        "Counts of 7 kinds of salamanders in 23 streams, with and without mining above",
        "salamanders.csv",
        text=("site", "spp"),
        levels={"mined": ("no", "yes")},
    ),
    "mroz": _Dataset(
        "Hours of paid work and wages of 753 married women, of whom 325 had none",
        "mroz.csv",
        levels={"city": ("no", "yes")},
    ),
    "lexical": _Dataset(
        "Reaction times of 17 persons who told words from nonwords, fast or with care",
        "lexical.csv",
        text=("person", "condition", "frequency", "word"),
    ),
    "seatbelts": _Dataset(
        "People killed or seriously injured in cars in Great Britain, by month and seat, 1969 to 1984",
        "seatbelts.csv",
    ),
    "orthodont": _Dataset(
        "Growth of a distance in the jaws of 27 children, measured at 8, 10, 12 and 14 years",
        "orthodont.csv",
        text=("child", "sex"),
    ),
    "blue_tits": _Dataset(
        "Tarsus and colour of 828 blue tit chicks, half of each brood raised by foster parents, with their pedigree",
        "blue_tits.csv",
        text=("animal", "sire", "dam", "fosternest", "sex"),
    ),
    "mammals": _Dataset(
        "Body mass and home range of 49 species of mammals", "mammals.csv", text=("species",)
    ),
    "mammal_tree": _Dataset(
        "The phylogenetic tree of those 49 species, a branch a row",
        "mammal_tree.csv",
        text=("node", "parent"),
    ),
    "chile": _Dataset(
        "Support for the government among 2581 Chileans in 1988, by income and education",
        "chile.csv",
        text=("region", "sex"),
        levels={"education": ("primary", "secondary", "post-secondary")},
    ),
    "sids": _Dataset(
        "Sudden infant deaths in the 100 counties of North Carolina, over two periods",
        "sids.csv",
        text=("county",),
        levels={"period": ("1974-78", "1979-84")},
    ),
    "sids_neighbours": _Dataset(
        "The pairs of counties of North Carolina that border on each other",
        "sids_neighbours.csv",
        text=("county", "neighbour"),
    ),
    "sids_counties": _Dataset(
        "Where the counties of North Carolina are",
        "sids_counties.csv",
        text=("county",),
    ),
}

DATASETS: Mapping[str, str] = MappingProxyType({name: d.description for name, d in _SHIPPED.items()})
"""One line on every data set that `load_dataset` reads, by name."""


def load_dataset(name: str) -> "pd.DataFrame":
    """Load one of the data sets that ship with hierbayes.

    Codes and names that tell things apart (``Subject``, ``herd``, ``county``, …) are text, even where they
    are written in digits: ``"308"``, not 308. Factors with an order, and no/yes answers, are unordered
    categoricals with their levels in R's order. Everything else is numeric. Under treatment coding the first
    level of a categorical is the reference, and of text the first in alphabetical order. No data set has
    missing values.

    Parameters
    ----------
    name : str
        One of the names below, which are also the keys of `DATASETS`.

    Returns
    -------
    pandas.DataFrame
        A new data frame at every call.

    Raises
    ------
    DataError
        When no data set has that name.

    Notes
    -----
    **sleepstudy**, 180 rows: average reaction times of the subjects who were allowed 3 hours in bed a night.

    - ``Reaction``: average reaction time of the day (ms)
    - ``Days``: day of the study, 0 to 9; 0 and 1 are adaptation and training, 2 the baseline
    - ``Subject``: 18 subjects, text

    Belenky, G., Wesensten, N. J., Thorne, D. R., Thomas, M. L., Sing, H. C., Redmond, D. P., Russo, M. B. and
    Balkin, T. J. (2003). Patterns of performance degradation and restoration during sleep restriction and
    subsequent recovery: a sleep dose-response study. *Journal of Sleep Research* 12(1), 1-12. From the R
    package lme4.

    **cbpp**, 56 rows: contagious bovine pleuropneumonia in zebu herds, followed quarterly.

    - ``herd``: 15 herds, text
    - ``incidence``: new serological cases in the period (animals)
    - ``size``: herd size at the beginning of the period (animals)
    - ``period``: categorical, ``1`` (reference) to ``4``

    Lesnoff, M., Laval, G., Bonnet, P., Abdicho, S., Workalemahu, A., Kifle, D., Peyraud, A., Lancelot, R. and
    Thiaucourt, F. (2004). Within-herd spread of contagious bovine pleuropneumonia in Ethiopian highlands.
    *Preventive Veterinary Medicine* 64(1), 27-40. From the R package lme4.

    **bdf**, 2287 rows: pupils of about eleven years in primary schools of the Netherlands.

    - ``school``: 131 schools, text
    - ``pupil``: 2287 pupils, text
    - ``iq``: verbal IQ (a score of the test, not scaled to 100)
    - ``ses``: social and economic status of the family
    - ``language``, ``arithmetic``: test scores at the end of grade 8

    Snijders, T. and Bosker, R. (1999). *Multilevel Analysis: An Introduction to Basic and Advanced Multilevel
    Modeling*. Sage. From the R package nlme, columns schoolNR, pupilNR, IQ.verb, ses, langPOST and aritPOST.

    **radon**, 919 rows: radon measured in houses of Minnesota.

    - ``floor``: where it was measured, 0 the basement, 1 the first floor
    - ``county``: 85 counties, text
    - ``log_radon``: natural logarithm of the house's radon level (pCi/L)
    - ``log_uranium``: natural logarithm of the county's uranium level (ppm)

    Gelman, A. and Hill, J. (2007). *Data Analysis Using Regression and Multilevel/Hierarchical Models.*
    Cambridge University Press, chapter 12. From the R package rstanarm.

    **pastes**, 60 rows: two assays of each of 30 samples, one from each of 3 casks in each of 10 batches.

    - ``strength``: strength of the paste (the source names no unit)
    - ``batch``: 10 deliveries ``A`` to ``J``, text
    - ``cask``: ``a`` to ``c`` within the batch, text; cask ``a`` of two batches are two casks
    - ``sample``: batch and cask in one, ``A:a`` to ``J:c``, text

    Davies, O. L. and Goldsmith, P. L. (eds) (1972). *Statistical Methods in Research and Production*, 4th ed.
    Oliver and Boyd, section 6.5. From the R package lme4.

    **dyestuff2**, 30 rows: data made up so that the variance between batches is estimated as zero.

    - ``Batch``: 6 batches ``A`` to ``F``, text
    - ``Yield``: simulated yield (the dyestuff data that it imitates are in grams of standard colour)

    Box, G. E. P. and Tiao, G. C. (1973). *Bayesian Inference in Statistical Analysis.* Addison-Wesley,
    section 5.1.2. From the R package lme4.

    **oats**, 72 rows: 6 blocks, each of 3 plots for the varieties, each of 4 sub-plots for the nitrogen.

    - ``Block``: 6 blocks ``I`` to ``VI``, text
    - ``Variety``: ``Golden Rain`` (reference), ``Marvellous``, ``Victory``, text
    - ``nitro``: nitrogen manure, 0 to 0.6 (hundredweight/acre)
    - ``yield``: yield of the sub-plot of 1/80 acre (quarter pounds)

    Yates, F. (1935). Complex experiments. *Supplement to the Journal of the Royal Statistical Society* 2(2),
    181-247. From the R package nlme.

    **contraception**, 1934 rows: the Bangladesh Fertility Survey of 1988.

    - ``woman``: 1934 women, text
    - ``district``: 60 districts (there is no 54), text
    - ``use``: uses contraception, categorical ``N``, ``Y``
    - ``livch``: living children, categorical ``0`` (reference), ``1``, ``2``, ``3+``
    - ``age``: age minus the mean age (years)
    - ``urban``: lives in an urban area, categorical ``N`` (reference), ``Y``

    Huq, N. M. and Cleland, J. (1990). *Bangladesh Fertility Survey 1989: Main Report.* National Institute of
    Population Research and Training, Dhaka. Analysed in Steele, F., Diamond, I. and Amin, S. (1996).
    Immunization uptake in rural Bangladesh: a multilevel analysis. *Journal of the Royal Statistical Society,
    Series A* 159(2), 289-299. From the R package mlmRev.

    **epilepsy**, 236 rows: an anti-convulsant against placebo.

    - ``Age``: age (years)
    - ``Base``: seizures in the 8 weeks before the trial
    - ``Trt``: 0 placebo, 1 treated; a number, so that its coefficient is ``Trt``
    - ``patient``: 59 patients, text
    - ``visit``: categorical, ``1`` (reference) to ``4``
    - ``count``: seizures between two visits
    - ``obs``: one code a row, text
    - ``zAge``, ``zBase``: ``Age`` and ``Base`` standardized (sds)

    Thall, P. F. and Vail, S. C. (1990). Some covariance models for longitudinal count data with
    overdispersion. *Biometrics* 46, 657-671. From the R package brms.

    **insteval**, 73421 rows: one student's rating of one lecture each.

    - ``s``: 2972 students, text
    - ``d``: 1128 lecturers, text
    - ``studage``: semesters that the student has been enrolled, 2, 4, 6 or 8; a number
    - ``lectage``: how many semesters back the lecture was, 1 to 6; a number
    - ``service``: 1 when the lecture was held for a department other than the lecturer's own, else 0; a
      number
    - ``dept``: 14 departments, coded at random, text
    - ``y``: rating, 1 (poor) to 5 (very good)

    Lecture evaluations at ETH Zürich, made anonymous and simplified by the authors of lme4: Bates, D.,
    Mächler, M., Bolker, B. and Walker, S. (2015). Fitting linear mixed-effects models using lme4. *Journal of
    Statistical Software* 67(1), 1-48. ``InstEval`` of the R package lme4.

    **arabidopsis**, 625 rows: plants under minimal or added nutrients, some with their apical meristem
    removed.

    - ``reg``: region, ``NL`` Netherlands, ``SP`` Spain, ``SW`` Sweden, text
    - ``popu``: 9 populations, text
    - ``gen``: 24 genotypes, text
    - ``rack``: greenhouse rack, ``1`` (reference), ``2``, text
    - ``nutrient``: 1 minimal, 8 added; a number
    - ``amd``: simulated herbivory, categorical ``clipped`` (reference), ``unclipped``
    - ``status``: germination, categorical ``Normal`` (reference), ``Petri.Plate``, ``Transplant``
    - ``total.fruits``: fruits of the plant

    Banta, J. A., Stevens, M. H. H. and Pigliucci, M. (2010). A comprehensive test of the 'limiting resources'
    framework applied to plant tolerance to apical meristem damage. *Oikos* 119(2), 359-369. From the R
    package lme4.

    **hsb82**, 7185 rows: a part of the High School and Beyond survey of 1982.

    - ``school``: 160 schools, text
    - ``minrty``: member of a racial or ethnic minority, categorical ``No`` (reference), ``Yes``
    - ``sx``: ``Female`` (reference), ``Male``, text
    - ``ses``: socio-economic status of the pupil (a standardized scale)
    - ``mAch``: mathematics achievement (test score)
    - ``meanses``: mean of ``ses`` over the school's pupils
    - ``sector``: ``Catholic`` (reference), ``Public``, text; the R package puts ``Public`` first
    - ``cses``: ``ses`` minus ``meanses``

    Raudenbush, S. W. and Bryk, A. S. (2002). *Hierarchical Linear Models: Applications and Data Analysis
    Methods*, 2nd ed. Sage, chapter 4. ``Hsb82`` of the R package mlmRev.

    **wine**, 72 rows: bitterness of wine made at two temperatures, with and without contact of juice and skins.

    - ``response``: bitterness as marked on a scale from 0 to 100
    - ``rating``: the same in five categories, 1 (least bitter) to 5
    - ``temp``: temperature when crushing, categorical ``cold`` (reference), ``warm``
    - ``contact``: contact of juice and skins, categorical ``no`` (reference), ``yes``
    - ``bottle``: 8 bottles, two of each treatment, text
    - ``judge``: 9 judges, text

    Randall, J. (1989). The analysis of sensory data by generalised linear model. *Biometrical Journal* 31(7),
    781-793. From the R package ordinal.

    **inhaler**, 572 rows: two inhalers, each used for a week by every subject.

    - ``subject``: 286 subjects, text
    - ``rating``: how clear the leaflet's instructions are, 1 (easy) to 4 (confusing)
    - ``treat``: 0.5 the first device, -0.5 the second; a number
    - ``period``: 0.5 first week, -0.5 second; a number
    - ``carry``: 1 or -1 in the second week by the device of the first, 0 in the first week; a number

    Ezzet, F. and Whitehead, J. (1991). A random effects model for ordinal responses from a crossover trial.
    *Statistics in Medicine* 10(6), 901-907. From the R package brms.

    **bcg**, 13 rows: trials of BCG vaccine against tuberculosis.

    - ``trial``: 13 trials, text
    - ``author``, ``year``: who reported it and when
    - ``latitude``: absolute latitude of the place (degrees)
    - ``allocation``: how subjects were allocated, ``random``, ``alternate`` or ``systematic``, text
    - ``log_rr``: logarithm of the risk of tuberculosis among the vaccinated over that of the others
    - ``se``: standard error of ``log_rr``

    Colditz, G. A., Brewer, T. F., Berkey, C. S., Wilson, M. E., Burdick, E., Fineberg, H. V. and Mosteller, F. (1994).
    Efficacy of BCG vaccine in the prevention of tuberculosis: meta-analysis of the published literature. *Journal of
    the American Medical Association* 271(9), 698-702. ``dat.bcg`` of the R package metafor, by its ``escalc``.

    **kidney**, 76 rows: how long a catheter of portable dialysis equipment stayed without an infection.

    - ``patient``: 38 patients with two rows each, text
    - ``time``: days until the infection, or until the catheter was removed for another reason
    - ``status``: 1 an infection, 0 removed (the time is censored)
    - ``age``: age (years)
    - ``sex``: ``female`` (reference), ``male``, text
    - ``disease``: of the kidney, ``AN`` (reference), ``GN``, ``Other``, ``PKD``, text

    McGilchrist, C. A. and Aisbett, C. W. (1991). Regression with frailty in survival analysis. *Biometrics* 47(2),
    461-466. From the R package survival.

    **loblolly**, 84 rows: the growth of loblolly pines.

    - ``height``: height (ft)
    - ``age``: 3, 5, 10, 15, 20 and 25 (years)
    - ``seed``: 14 seed sources, text

    Kung, F. H. (1986). Fitting logistic growth curve with predetermined carrying capacity. *Proceedings of the
    Statistical Computing Section, American Statistical Association*, 340-343. ``Loblolly`` of R.

    **faithful**, 272 rows: eruptions of the Old Faithful geyser in Yellowstone National Park.

    - ``eruptions``: how long the eruption was (minutes)
    - ``waiting``: how long it was until the next (minutes)

    Härdle, W. (1991). *Smoothing Techniques with Implementation in S*. Springer. ``faithful`` of R.

    **galaxies**, 82 rows: galaxies in the region of Corona Borealis, moving away from us.

    - ``velocity``: how fast (1000 km/s); the faster, the farther

    Roeder, K. (1990). Density estimation with confidence sets exemplified by superclusters and voids in the galaxies.
    *Journal of the American Statistical Association* 85(411), 617-624. ``galaxies`` of the R package MASS.

    **salamanders**, 644 rows: salamanders found in streams of Kentucky, four visits to each.

    - ``site``: 23 streams, text
    - ``mined``: whether mountaintops were removed for coal above it, categorical ``no`` (reference), ``yes``
    - ``cover``: objects to hide under, standardized, as are the next three
    - ``sample``: visit, 1 to 4
    - ``DOP``: days since it rained
    - ``Wtemp``: temperature of the water
    - ``DOY``: day of the year
    - ``spp``: 7 kinds, five species and for two of them larvae (``-L``) by themselves, text
    - ``count``: animals found

    Price, S. J., Muncy, B. L., Bonner, S. J., Drayer, A. N. and Barton, C. D. (2016). Effects of mountaintop removal
    mining and valley filling on the occupancy and abundance of stream salamanders. *Journal of Applied Ecology*
    53(2), 459-468. ``Salamanders`` of the R package glmmTMB.

    **mroz**, 753 rows: married white women of the United States, 30 to 60 years old, in 1975.

    - ``hours``: hours of paid work in the year, 0 of 325 women
    - ``wage``: average pay per hour (dollars), 0 of those without work
    - ``youngkids``, ``oldkids``: children below 6, and from 6 to 18
    - ``age``: age (years)
    - ``education``, ``experience``: years at school, and of paid work before
    - ``husband_wage``: the husband's pay per hour (dollars)
    - ``city``: lives in a large city, categorical ``no`` (reference), ``yes``

    Mroz, T. A. (1987). The sensitivity of an empirical model of married women's hours of work to economic and
    statistical assumptions. *Econometrica* 55(4), 765-799. ``PSID1976`` of the R package AER.

    **lexical**, 2117 rows: is it a word? Two kinds of words among nonwords, asked for speed or for accuracy.

    - ``person``: 17 persons, text
    - ``condition``: what was asked for in the block of trials, ``accuracy`` (reference), ``speed``, text
    - ``frequency``: of the word in the language, ``high`` (reference), ``very low``, text
    - ``word``: which word, a code, text
    - ``correct``: 1 when it was taken for a word, else 0
    - ``rt``: reaction time (ms)

    Wagenmakers, E.-J., Ratcliff, R., Gomez, P. and McKoon, G. (2008). A diffusion model account of criterion
    shifts in the lexical decision task. *Journal of Memory and Language* 58(1), 140-159. From ``speed_acc`` of the R
    package rtdists: blocks 7 to 10, words of high and very low frequency, without the trials that the authors
    left out (below 180 ms, above 3 s, other keys).

    **seatbelts**, 192 rows: a month each. From February 1983 on seat belts were compulsory in the front.

    - ``year``, ``month``: 1969 to 1984, 1 to 12
    - ``drivers``, ``front``, ``rear``: drivers, front-seat and rear-seat passengers killed or seriously injured
    - ``kms``: distance driven (the source names no unit)
    - ``petrol``: price of petrol (deflated)
    - ``law``: 1 when the law was in force, else 0

    Harvey, A. C. and Durbin, J. (1986). The effects of seat belt legislation on British road casualties: a case
    study in structural time series modelling. *Journal of the Royal Statistical Society, Series A* 149(3), 187-227.
    ``Seatbelts`` of R.

    **orthodont**, 108 rows: the distance from the pituitary to the pterygomaxillary fissure on X-ray images.

    - ``child``: 27 children, text
    - ``sex``: 16 ``male`` and 11 ``female`` (reference), text
    - ``age``: 8, 10, 12 and 14 (years)
    - ``distance``: the distance (mm)

    Potthoff, R. F. and Roy, S. N. (1964). A generalized multivariate analysis of variance model useful especially
    for growth curve problems. *Biometrika* 51(3-4), 313-326. ``Orthodont`` of the R package nlme.

    **mammals**, 49 rows: a species each, carnivores and ungulates.

    - ``species``: 49 species, the genus an initial, text
    - ``body_mass``: mass of the body (kg)
    - ``home_range``: area that an animal lives in (km²)

    Garland, T., Harvey, P. H. and Ives, A. R. (1992). Procedures for the analysis of comparative data using
    phylogenetically independent contrasts. *Systematic Biology* 41(1), 18-32. ``mammal.data`` of the R package
    phytools.

    **blue_tits**, 828 rows: chicks of 106 broods, cross-fostered; their parents are taken to be unrelated.

    - ``animal``: the chick, text
    - ``sire``, ``dam``: its parents, text
    - ``fosternest``: the nest that it was reared in, text
    - ``hatchdate``: when the first egg of the nest hatched, standardized
    - ``sex``: ``female`` (reference), ``male``, ``unknown``, text
    - ``tarsus``: length of the tarsus, standardized
    - ``back``: colour of the back, standardized

    Hadfield, J. D., Nutall, A., Osorio, D. and Owens, I. P. F. (2007). Testing the phenotypic gambit: phenotypic,
    genetic and environmental correlations of colour. *Journal of Evolutionary Biology* 20(2), 549-557. ``BTdata`` and
    ``BTped`` of the R package MCMCglmm.

    **mammal_tree**, 96 rows: the branches of their tree, from ``parent`` to ``node``. The root is ``n1``.

    - ``node``: a species of ``mammals``, or ``n2``, ``n3``, ... where the tree forks, text
    - ``parent``: where the branch comes from, text
    - ``length``: its length (millions of years)

    From the same source, ``mammal.tree`` of the R package phytools.

    **chile**, 2581 rows: a survey in April and May 1988, before the plebiscite on whether Pinochet should remain.

    - ``region``: ``C`` centre, ``M`` Santiago's surroundings, ``N`` north, ``S`` south, ``SA`` Santiago, text
    - ``population``: people in the community
    - ``sex``: ``female`` (reference), ``male``, text
    - ``age``: age (years)
    - ``education``: categorical ``primary`` (reference), ``secondary``, ``post-secondary``
    - ``income``: a month's income (pesos), the middles of seven brackets from 2500 to 200000
    - ``statusquo``: scale of support for the status quo, standardized

    FLACSO/Chile, in Fox, J. and Weisberg, S. (2019). *An R Companion to Applied Regression*, 3rd ed. Sage. ``Chile``
    of the R package carData, without its rows in which something is missing.

    **sids**, 200 rows: sudden infant deaths in North Carolina.

    - ``county``: 100 counties, text
    - ``period``: ``1974-78`` (reference), ``1979-84``, categorical: from July to June
    - ``births``: live births
    - ``deaths``: sudden infant deaths
    - ``nonwhite``: live births to nonwhite mothers

    Cressie, N. and Read, T. R. C. (1985). Do sudden infant deaths come in clusters? *Statistics and Decisions*,
    Supplement 2, 333-349; the second period by Cressie, N. (1993). *Statistics for Spatial Data*. Wiley. ``nc.sids`` of
    the R package spData.

    **sids_neighbours**, 246 rows: the counties of ``sids`` that border on each other, each pair once.

    - ``county``, ``neighbour``: text

    ``ncCR85.nb`` of the R package spData, by Cressie and Read (1985).

    **sids_counties**, 100 rows: the middles of the counties of ``sids``.

    - ``county``: text
    - ``lon``, ``lat``: the centroid (degrees)

    Computed from the U.S. Census Bureau's borders, ``nc.shp`` of the R package sf.

    Examples
    --------
    >>> from hierbayes.datasets import load_dataset
    >>> sleep = load_dataset("sleepstudy")
    >>> sleep.shape
    (180, 3)
    >>> sleep.loc[0].to_dict()
    {'Reaction': 249.56, 'Days': 0, 'Subject': '308'}
    >>> load_dataset("contraception")["livch"].cat.categories.tolist()
    ['0', '1', '2', '3+']
    """
    if name not in _SHIPPED:
        raise DataError(_unknown(name))
    import pandas as pd  # late: importing the package must stay cheap

    dataset = _SHIPPED[name]
    text = dict.fromkeys((*dataset.text, *dataset.levels), str)
    with resources.files(__name__).joinpath(dataset.file).open("rb") as stream:
        # Nothing is missing, so no code that happens to read "NA" may become so.
        table = pd.read_csv(
            stream,
            compression="xz" if dataset.file.endswith(".xz") else None,
            dtype=text,
            na_filter=False,
        )
    return table.assign(
        **{column: pd.Categorical(table[column], levels) for column, levels in dataset.levels.items()}
    )


def _unknown(name: object) -> str:
    near = get_close_matches(str(name).lower(), DATASETS, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"no data set is called {name!r}.{hint} There are: {', '.join(sorted(DATASETS))}."
