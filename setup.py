"""The compiled part of the package, which is left out where there is no compiler; all else is in pyproject.toml."""

from setuptools import Extension, setup

setup(ext_modules=[Extension("flask_boxkite.compiled.native", ["flask_boxkite/compiled/native.pyx"], optional=True)])
