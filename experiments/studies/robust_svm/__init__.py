"""The classical pipeline under attack: the study of Esmaeilpour et al. (2019)."""
