"""Radii from f-divergences, to compare with the one of Neyman and Pearson.

Noise around x + delta has a bounded divergence from noise around x. A divergence cannot
grow when a copy is reduced to one bit, whether it gets the top class. So the prediction
holds while the divergence of the two distributions is below that of a fair coin from a
coin of probability p: the certificate from p alone, with 1 - p for the best rival. Each
radius has the shape of `Noise.radius`, for `gaussian` noise, and never exceeds its
sigma PhiInv(p):

    p                          0.6     0.9    0.99   0.999  0.99993
    PhiInv(p)                0.253   1.282   2.326   3.090    3.811
    Renyi, best order        0.202   1.032   1.908   2.576    3.225
    Kullback and Leibler     0.202   1.011   1.797   2.350    2.863

The hockey-stick divergences E_b of all b >= 1 together lose nothing: at b = exp(z^2/2)
with z = PhiInv(p) the certificate is sigma z itself, the exact worst case for isotropic
normal noise. Other divergences serve distributions whose worst case is not known.

Source: the formulas are derived here.
"""

import math

import numpy as np

ORDERS = np.geomspace(0.5, 10.0, 400)
"""Orders of Renyi's divergence. Order 1, Kullback and Leibler's, lies between two. The
best order is 1.5 at p = 0.6 and approaches 1 as p does."""


def kl_radius(sigma: float, p_lower: float) -> float:
    """The l2 radius by Kullback and Leibler's divergence, in units of sigma.

    The divergence of the normal distributions is r^2 / (2 sigma^2); a fair coin's from
    one of p is -log(4 p (1 - p)) / 2. 0 at or below one half.
    """
    if p_lower <= 0.5:
        return 0.0
    return sigma * math.sqrt(-math.log(4 * p_lower * (1 - p_lower)))


def renyi_radius(sigma: float, p_lower: float) -> float:
    """The l2 radius by Renyi's divergence of the best order, in units of sigma.

    The divergence of order b of the normal distributions is b r^2 / (2 sigma^2); a fair
    coin's from one of p is log(2^-b (p^(1-b) + (1-p)^(1-b))) / (b - 1). Each order
    certifies a radius, so the greatest over `ORDERS` holds. 0 at or below one half.
    """
    if p_lower <= 0.5:
        return 0.0
    powers = [(1 - ORDERS) * math.log(p) for p in (p_lower, 1 - p_lower)]
    divergence = (np.logaddexp(*powers) - ORDERS * math.log(2)) / (ORDERS - 1)
    return sigma * math.sqrt(2 * (divergence / ORDERS).max())
