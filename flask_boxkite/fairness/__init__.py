"""Fairness: does a model select the rows of one group as often as the rows of another?

Functions here take counts and give numbers; they read and keep nothing. `selection` says which rows count as selected.
"""
