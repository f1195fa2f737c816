"""What clients send and models answer, as rows of values. Pure functions: no request object comes in here."""

from flask_boxkite.payloads.requests import csv_table, form_table, json_table
from flask_boxkite.payloads.responses import csv_output, found_output, output_table
from flask_boxkite.payloads.table import Table, as_table

__all__ = ["Table", "as_table", "csv_output", "csv_table", "form_table", "found_output", "json_table", "output_table"]
