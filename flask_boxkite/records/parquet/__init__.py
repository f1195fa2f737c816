"""Records in Parquet: months of them, as columns that this package counts at once and that other engines read.

A *table* is one folder of `compact`'s output: the records of one model, with the columns of one baseline. Below it are
folders ``boxkite_date=YYYY-MM-DD`` with *parts*, files whose names say which minutes they hold. A row is a predicted
row. Columns have the values of `Records.to_frame`; the line that was compacted stands beside them, so no field is lost.
"""
