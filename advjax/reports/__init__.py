"""From rows to what a person reads: tables and curves.

Experiments write rows, reports read rows: files of `advjax.runs` are all they share.
"""
