"""The compiled part of the package, which is left out where there is no compiler; all else is in pyproject.toml."""

from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext


class BuildAlways(build_ext):
    """Builds again what was built before: it would be installed where the compiler fails, beside new Python code."""

    def run(self) -> None:
        """Remove what was built before, and build."""
        for place in [self.build_lib, *(["."] if self.inplace else [])]:
            for extension in self.extensions:
                Path(place, self.get_ext_filename(extension.name)).unlink(missing_ok=True)
        super().run()


setup(
    ext_modules=[Extension("flask_boxkite.compiled.native", ["flask_boxkite/compiled/native.pyx"], optional=True)],
    cmdclass={"build_ext": BuildAlways},
)
