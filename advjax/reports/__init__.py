"""From rows to what a person reads: tables and curves.

Experiments write rows, reports read them: the files of `advjax.runs` are all they share.
"""
