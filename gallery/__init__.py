"""The gallery: a static site of all figures, claims and errata, and a page on which the closed forms answer to sliders."""
