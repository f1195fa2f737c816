"""The last weeks: totals of hours and days in the state directory, and the reports and changes found in them."""
