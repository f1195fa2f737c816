"""The last weeks of a model, read from the totals of hours and days in the state directory (`live.history_file`).

`past` reads them, `timeline` makes stretches of days, `change` finds where one began, `reporting` makes a `report`, and
`filling` adds days from records. `model` puts these together.
"""
