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
        if not any(Path(self.get_ext_fullpath(extension.name)).exists() for extension in self.extensions):
            self.be_pure()

    def be_pure(self) -> None:
        """Let a wheel without the compiled part be named as one for every machine, which it is."""
        self.distribution.ext_modules = []
        if wheel := self.distribution.command_obj.get("bdist_wheel"):
            wheel.root_is_pure = True


setup(
    ext_modules=[Extension("flask_boxkite.compiled.native", ["flask_boxkite/compiled/native.pyx"], optional=True)],
    cmdclass={"build_ext": BuildAlways},
)
