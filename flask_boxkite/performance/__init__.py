"""Performance: is the model still right? Quality as validated, as expected from live outputs, and as outcomes show it.

Functions here take counts and give numbers; they read and keep nothing. `binary`, `classes` and `regression` have the
same functions, one module for each kind of validation.
"""
