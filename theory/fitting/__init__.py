"""Least squares of the linear models to lambda studies, and an honest account of what the fits are worth.

points       the observed curves                                  `Points`, `points_from`
spectrum     a power law of specialised features                  `Spectrum`
models       parameters, bounds and model losses                  `Family`, `FAMILIES`, `model_losses`
affine       floors and scale, solved for inside the fit          `best_scale`, `centre`
outcome      a fit, its curves and its criterion                  `Fit`, `aicc`
solver       starts, refinement, the best fit                     `Problem`, `best_fit`
intervals    a wild bootstrap over curves                         `bootstrap`
prediction   what a fit says about curves that it has not seen    `leave_one_out`, `cross`
assessment   all of it for one model, as plain data               `assess`
report       tables for a person, and the fitted curves           `show`, `curves`
"""
