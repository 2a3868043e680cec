"""From rows to what a person reads: tables and curves.

Experiments write rows, reports read rows; the file of `rows` is all they share.
"""
