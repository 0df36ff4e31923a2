"""Which exposure to choose, from laws and linear models that are weighted by what they predict out of sample.

plan        what is to be trained: D_post, D_pre, passes or a budget                        `Plan`
sampling    parameters that explain the measurements about as well as the best ones         `sample`
members     the accounts with their draws, and their weights                                `Member`, `published`, `fitted`, `updated`
choice      the best exposure, its interval, what it costs, and what is as good             `recommend`
cells       the measurements that would shrink the interval most                            `next_cells`
held_out    what the recommendations would have cost where the answer was held back         `trials`
"""
