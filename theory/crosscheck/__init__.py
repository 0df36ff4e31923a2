"""What theory and laws say of anybody's lambda study, and what the study says of them.

reading     a results table, a CSV or a data frame as curves along lambda        `Curve`, `read_study`
effect      the measured effect, seed by seed, and the gates it meets            `effects`, `gates_of`
outside     predictions out of sample: held out within the study, and from the published one      `held_out`, `transferred`
judge       verdicts on claims and predictions, models that are excluded         `verdicts`, `excluded`
oddities    what is odd about the numbers, found by computation                  `oddities`
"""
