"""Least squares of the linear models and the laws to lambda studies, and an honest account of what the fits are worth.

points       the observed curves                                            `Points`, `points_from`
models       parameters, bounds and losses of the linear models             `Family`, `FAMILIES`, `model_losses`, `Spectrum`
solver       floors and scale solved for inside; starts, the best fit       `Problem`, `Fit`, `best_fit`
laws         the laws: coefficients solved for inside                       `LawProblem`, `law_problem`
worth        errors on what was left out, profiles, conditioning, bounds    `leave_out`, `cross`, `profile`
assessment   all of it for one model, as plain data                         `assess`
"""
