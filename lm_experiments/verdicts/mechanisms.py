"""Which account of protection is right: experiments E2 to E5 on the models of a study such as `deciding`.

Written down before any model of `deciding` was trained (seeds 40 to 44). M is the model exposed at the largest lambda, U the unexposed
one of the same seed; "matched" is loss_ret at matched loss_ft, over the stage-3 rates. Every statistic is paired by seed, Student 95 %; the
same statistic with the shuffled decoy in the place of M stands beside it (variant "shuffled").

    E2   primary     matched M minus U held by L2 at M's displacement in stage 2; below 0 supports. U's curve is interpolated, by seed,
                     in lm.moved_post over its L2 weights (0 among them), and taken at its nearest end beyond them
         secondary   M minus extra, M minus slow, M minus each L2 weight; the same of forgetting, loss_ret minus loss_im
    E3   primary     rise of the D_post loss under noise of .03 of each matrix's root mean square (5 draws): M minus U; below 0 supports
         secondary   noise .1; rise after a step of length 1 up D_ft's gradient; second differences of the D_post loss along both;
                     matched (SAM M - SAM U) - (M - U), above 0: the gains of SAM and exposure do not add
    E4   primary     share of the energy of D_ft's gradient that falls into the input directions of every linear layer that D_post uses
                     most relative to D_pre (an eighth of the generalised eigenvectors of their second moments), at theta_post: M minus
                     U; below 0 supports
         secondary   the same after stage 3, at each rate; the same by coordinates whose Fisher information on D_post is largest relative to
                     D_pre's (an eighth); U's weights after stage 2 plus theta_pre^M - theta_pre^U, against U, matched, below 0;
                     M's minus it, against M, above 0
    E5   primary     log of (loss after 24 steps of stage 2's optimiser on D_post, from theta_ret at the middle rate, minus loss_im) over
                     the same before these steps: M minus U; below 0 supports
         secondary   after 6, 12, 48 steps
         shown       barrier of the D_post loss on the straight line from theta_pre to theta_post and from there to theta_ret; linear CKA of
                     the last hidden layer between the three, on D_post

    account         E2        E3        E4        E5
    S               below 0   0         below 0   0
    pathways        below 0   0         below 0   below 0
    plain           0         0         0         0
    flatness        below 0   below 0   0         0
    displacement    0         0         0         0
"""
